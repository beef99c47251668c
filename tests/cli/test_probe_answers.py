"""What a process says of itself when something is wrong, asked over HTTP."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from oban_powertools import Powertools
from oban_powertools.cli.listening import listen
from oban_powertools.cli.probes import UNREADY_AFTER, Probes
from tests.support.ledger import eventually


class Asked:
    """Probes that are served, and what they answer."""

    def __init__(self, probes: Probes, address: tuple[str, int]) -> None:
        self.probes = probes
        self._address = address

    async def __call__(self, path: str, method: str = "GET") -> tuple[int, str]:
        head, _, body = (await self.raw(f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).partition("\r\n\r\n")
        return int(head.split()[1]), body

    async def raw(self, request: str) -> str:
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(request.encode())
        writer.write_eof()
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with listen("127.0.0.1", 0) as each:
        yield each


@asynccontextmanager
async def served(powertools: Powertools, listening: socket.socket) -> AsyncIterator[tuple[Asked, asyncio.Event]]:
    stopping = asyncio.Event()
    probes = Probes(powertools, stopping)
    async with probes.serve(listening):
        yield Asked(probes, listening.getsockname()), stopping


async def test_a_process_is_ready_from_its_first_sweep_until_it_stops(dsn: str, listening: socket.socket) -> None:
    async with (
        Powertools.open(dsn, queues={"default": 1}) as powertools,
        served(powertools, listening) as (ask, stopping),
    ):
        ask.probes._swept_at = None
        before = await ask("/readyz")
        powertools._sweep_loop.hurry()

        async def ready() -> bool:
            return (await ask("/readyz")) == (200, "ok\n")

        assert await eventually(ready)
        stopping.set()
        at_the_end = await ask("/readyz")
        live = await ask("/livez")

    assert before == (503, "it has not swept yet\n")
    assert at_the_end == (503, "it is stopping\n")
    assert live == (200, "ok\n")


async def test_a_process_whose_sweeps_fail_is_not_ready_and_lives(
    powertools: Powertools, listening: socket.socket
) -> None:
    async with served(powertools, listening) as (ask, _):
        ask.probes._swept_at = time.monotonic() - UNREADY_AFTER - 1
        ready, live = await ask("/readyz"), await ask("/livez")

    assert ready[0] == 503
    assert "s old: the database may be away" in ready[1]
    assert live == (200, "ok\n")


async def test_a_process_whose_queue_has_ended_does_not_live(dsn: str, listening: socket.socket) -> None:
    async with (
        Powertools.open(dsn, queues={"default": 1, "mail": 1}) as powertools,
        served(powertools, listening) as (ask, _),
    ):
        before = await ask("/livez")
        loop = powertools.oban._producers["mail"]._loop_task
        assert loop is not None
        loop.cancel()
        await asyncio.wait([loop])
        after = await ask("/livez")

    assert before == (200, "ok\n")
    assert after == (503, "these queues have ended: mail\n")


async def test_without_the_extra_metrics_name_it(
    powertools: Powertools, listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    async with served(powertools, listening) as (ask, _):
        metrics, live = await ask("/metrics"), await ask("/livez")

    assert metrics == (404, "metrics need the extra: pip install 'oban-powertools[prometheus]'\n")
    assert live == (200, "ok\n")


async def test_what_is_no_probe_is_refused(powertools: Powertools, listening: socket.socket) -> None:
    async with served(powertools, listening) as (ask, _):
        answers = [await ask("/"), await ask("/livez", "POST"), await ask("/livez", "HEAD"), await ask("/livez?x=1")]
        half = await ask.raw("GET /livez")

    assert answers == [(404, "/livez, /readyz or /metrics\n"), (405, "only GET\n"), (200, ""), (200, "ok\n")]
    assert half == ""
