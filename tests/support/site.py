"""A web site with the stream, as a host builds one; served in the test's process, or by ``python -m uvicorn`` in one
of its own, which reads ``SITE_DSN``."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import uvicorn
from fastapi import FastAPI
from psycopg import sql
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from oban_powertools import Powertools
from oban_powertools.integrations.sse import StreamLimits, events_app
from tests.support.ledger import eventually


def under_starlette(events: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Mount("/ops/events", events)])


def under_fastapi(events: ASGIApp) -> ASGIApp:
    app = FastAPI()
    app.mount("/ops/events", events)
    return app


def as_a_route(events: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Route("/ops/events/", events)])


HOSTS: dict[str, Callable[[ASGIApp], ASGIApp]] = {
    "starlette": under_starlette,
    "fastapi": under_fastapi,
    "route": as_a_route,
    "alone": lambda events: events,
}


class Site:
    """One served site, its users' rights in the test's hands."""

    def __init__(self, powertools: Powertools, host: str = "starlette", **options: Any) -> None:
        limits = {"authorize_every": timedelta(minutes=1), **options.pop("limits", {})}
        self.allowed: Callable[[HTTPConnection, str], Any] = lambda connection, topic: True
        self.powertools = powertools
        self.events = events_app(
            powertools,
            authorize=lambda connection, topic: self.allowed(connection, topic),
            limits=StreamLimits(**limits),
            **options,
        )
        self._host = HOSTS[host](self.events)
        self.url = ""

    @asynccontextmanager
    async def served(self) -> AsyncIterator["Site"]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            # Small, so that a client which reads nothing is felt soon.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/ops/events/"
            config = uvicorn.Config(self._host, lifespan="off", log_level="warning", timeout_graceful_shutdown=5)
            self.server = uvicorn.Server(config)
            serving = asyncio.create_task(self.server.serve(sockets=[listening]))
            try:
                yield self
            finally:
                self.server.should_exit = True
                await serving

    async def until_open(self, streams: int) -> None:
        """Until so many streams are open; at most 10 s."""

        async def reached() -> bool:
            return self.events.open_streams == streams

        await eventually(reached)


def from_environment() -> ASGIApp:
    """For ``python -m uvicorn --factory``: FastAPI as the documentation has it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Powertools.open(os.environ["SITE_DSN"]) as powertools:
            app.mount("/ops/events", events_app(powertools, authorize=lambda connection, topic: True))
            yield

    return FastAPI(lifespan=lifespan)


@contextmanager
def unreachable(dsn: str) -> Iterator[None]:
    """Nobody is let into the database, and those inside are thrown out."""
    parts = urlsplit(dsn)
    name = parts.path.removeprefix("/")
    with psycopg.connect(parts._replace(path="/postgres").geturl(), autocommit=True) as conn:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        conn.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            conn.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
