"""Answer probes and Prometheus from a worker process: ``/livez``, ``/readyz`` and ``/metrics`` on one port.

HTTP/1.1 without keep-alive, by nothing but asyncio. The rule that must never break: a probe asks nothing of the
database, so that a slow one makes no process restart.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from oban import telemetry

from ..errors import ExtraMissingError
from ..powertools import Powertools
from ..runtime.oban_attempts import dead_queues
from ..telemetry import Name

UNREADY_AFTER: Final = 10.0
"""Seconds without a good sweep after which a process is not ready."""

_ASKED_WITHIN: Final = 5.0
_LONGEST_REQUEST: Final = 16 * 1024
_REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_TEXT: Final = "text/plain; charset=utf-8"

type _Answer = tuple[int, str, bytes]


class Probes:
    """What a process says of itself.

    Args:
        stopping: Set once it stops.
    """

    def __init__(self, powertools: Powertools, stopping: asyncio.Event) -> None:
        self._powertools = powertools
        self._stopping = stopping
        self._swept_at: float | None = None
        self._scrape = _find_scrape(powertools)

    def live(self) -> str:
        """Why the process has to be restarted; empty while it has not."""
        dead = dead_queues(self._powertools.oban)
        return f"these queues have ended: {', '.join(dead)}" if dead else ""

    def ready(self) -> str:
        """Why the process takes no work now; empty when it does."""
        if self._stopping.is_set():
            return "it is stopping"
        if self._swept_at is None:
            return "it has not swept yet"
        age = time.monotonic() - self._swept_at
        return f"its last good sweep is {age:.0f} s old: the database may be away" if age > UNREADY_AFTER else ""

    @asynccontextmanager
    async def serve(self, listening: socket.socket) -> AsyncGenerator[None]:
        """Answer until the block is left."""
        name = f"powertools-probes-{id(self)}"
        telemetry.attach(name, [f"{Name.SWEEP}.stop"], self._on_sweep)
        server = await asyncio.start_server(self._answer, sock=listening, limit=_LONGEST_REQUEST)
        try:
            yield
        finally:
            server.close()
            telemetry.detach(name)

    def _on_sweep(self, *_: Any) -> None:
        self._swept_at = time.monotonic()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_ASKED_WITHIN):
                request = await reader.readuntil(b"\r\n\r\n")
            method, _, rest = request.partition(b" ")
            status, kind, body = await self._respond(method, rest.partition(b" ")[0].partition(b"?")[0])
            head = (
                f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                "cache-control: no-store\r\nconnection: close\r\n\r\n"
            )
            writer.write(head.encode() + (b"" if method == b"HEAD" else body))
            await writer.drain()
        writer.close()

    async def _respond(self, method: bytes, path: bytes) -> _Answer:
        if method not in (b"GET", b"HEAD"):
            return 405, _TEXT, b"only GET\n"
        match path:
            case b"/livez":
                return _probe(self.live())
            case b"/readyz":
                return _probe(self.ready())
            case b"/metrics" | b"/metrics/":
                return await self._scrape()
            case _:
                return 404, _TEXT, b"/livez, /readyz or /metrics\n"


def _probe(why: str) -> _Answer:
    return (503, _TEXT, f"{why}\n".encode()) if why else (200, _TEXT, b"ok\n")


def _find_scrape(powertools: Powertools) -> Callable[[], Any]:
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        from ..integrations.prometheus import PowertoolsCollector
    except (ModuleNotFoundError, ExtraMissingError):
        return _without_prometheus
    collector, registry = PowertoolsCollector(powertools), CollectorRegistry()
    registry.register(collector)

    async def scrape() -> _Answer:
        await collector.refresh()
        return 200, CONTENT_TYPE_LATEST, generate_latest(registry)

    return scrape


async def _without_prometheus() -> _Answer:
    return 404, _TEXT, b"metrics need the extra: pip install 'oban-powertools[prometheus]'\n"
