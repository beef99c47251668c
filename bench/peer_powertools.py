"""Powertools in the peers' harness, whose directory ``BENCH_PEERS`` names (by default ``../shared/peers``).

turbo: as installed. plain: ``turbo=False``, Oban's own acks and inserts, row by row.
Steps return what the harness's no-op body returns; results are stored. ``bench/run_peers.py`` runs it among the others.
"""

import asyncio
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from oban import Oban
from psycopg_pool import AsyncConnectionPool

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this file is run as a file

from bench import shapes, steps
from oban_powertools import Powertools, Workflow, schema
from oban_powertools.database import connect

PEERS = Path(os.environ.get("BENCH_PEERS") or Path(__file__).parents[2] / "shared" / "peers")
sys.path.insert(0, str(PEERS))
harness: Any = importlib.import_module("common")


class PowertoolsPeer(harness.Peer):
    """The driver's side: a client that only submits and looks on."""

    name = "powertools"
    packages = ("oban-powertools", "oban", "psycopg")
    modes = ("turbo", "plain")
    concurrency = 100
    module_file = __file__

    def prepare(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        async with await connect(self.uri) as conn:
            await schema.install(conn)
        self.pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]](self.uri, min_size=1, max_size=2, open=False)
        await self.pool.open(wait=True)
        self.powertools = Powertools(Oban(pool=self.pool))

    def submit(self, shape: str, n: int, size: int) -> list[int]:
        build = shapes.chain if shape == "chain" else shapes.fan
        workflows = [build(size) for _ in range(n)]
        return self.loop.run_until_complete(self._submit(workflows))

    async def _submit(self, workflows: list[Workflow]) -> list[int]:
        if len(workflows) == 1:
            return [(await self.powertools.workflows.insert(workflows[0])).id]
        return [handle.id for handle in await self.powertools.workflows.insert_many(workflows)]

    def finished(self, ids: list[int]) -> int:
        return self.scalar(
            "SELECT count(*) FROM powertools.workflows WHERE id = ANY (%s) AND state = 'completed'", [ids]
        )

    def recorded(self) -> int:
        return self.scalar("SELECT count(*) FROM powertools.steps WHERE state = 'completed' AND result IS NOT NULL")

    def stop(self) -> None:
        self.loop.run_until_complete(self.powertools.close())
        self.loop.run_until_complete(self.pool.close())
        self.loop.close()
        super().stop()


def work(args: Any) -> None:
    """The worker's side."""
    steps.Body.run = harness.step_body
    uvloop.run(_work(args.concurrency, args.mode == "turbo"))


async def _work(limit: int, turbo: bool) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Powertools.open(os.environ["BENCH_DB_URI"], queues={"default": limit}, turbo=turbo):
        await asyncio.sleep(0.3)
        harness.ready()
        await stop.wait()


if __name__ == "__main__":
    sys.exit(harness.main(PowertoolsPeer, work))
