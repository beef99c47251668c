"""A console on the furnished database, the shop at three in the morning; asked in this process, or served on loopback.

    async with furnished_console(dsn) as shop:
        answer = await shop.client.get("/incidents")

Only the test's own acts change the shop: nothing runs its jobs. ``served`` is for Chromium (``tests.support.browser``).
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
import uvicorn
from starlette.types import ASGIApp

from oban_powertools.web import Console, create_console
from tests.support.by_hand import Hand, everybody_may
from tests.support.furnished import furnished, set_ages

WHO = {"id": "ada", "label": "Ada Lovelace"}
HOST = "http://console.test"
"""Where the client is; its forms come from here."""

PATIENT: Final = timedelta(minutes=2)
"""How long a part of a page may read in tests that are not about that: a machine may be busy."""

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says of a form of our own."""


@dataclass
class Shop:
    hand: Hand
    console: Console
    client: httpx.AsyncClient
    """Follows no redirect; its POSTs come from a page of the console."""


@asynccontextmanager
async def furnished_console(dsn: str, **options: Any) -> AsyncIterator[Shop]:
    """The shop, and a console for Ada, who may do everything.

    Args:
        options: Of ``create_console``.
    """
    async with furnished(dsn) as hand, console_of(hand, **options) as (console, client):
        await set_ages(hand)  # of the incidents, too
        yield Shop(hand, console, client)


@asynccontextmanager
async def console_of(hand: Hand, **options: Any) -> AsyncIterator[tuple[Console, httpx.AsyncClient]]:
    """A console on whatever the hand's database holds, and its client."""
    console = create_console(
        hand.powertools,
        **{
            "actor": lambda connection: WHO,
            "authorize": everybody_may,
            "name": "shop",
            "read_within": PATIENT,
            **options,
        },
    )
    async with client_of(console) as client:
        try:
            yield console, client
        finally:
            await console.aclose()


def client_of(app: ASGIApp, path: str = "") -> httpx.AsyncClient:
    """A client of an app in this process.

    Args:
        path: Where the console is mounted.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=f"{HOST}{path}", headers=SAME_ORIGIN)


@asynccontextmanager
async def served(app: ASGIApp, *, root_path: str = "") -> AsyncIterator[str]:
    """Serves an app on loopback; its address, without a slash at the end.

    Args:
        root_path: As ``uvicorn --root-path``.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(
            app, root_path=root_path, lifespan="off", log_level="warning", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
