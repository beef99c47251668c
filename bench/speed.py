"""One measured submission, submitting included and durable: what the other benchmarks compare two ways of with."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.server import WalMeter, fresh_database
from bench.shapes import steps_in
from bench.worker import Fleet, fleet
from oban_powertools import Powertools, Workflow
from oban_powertools.database import Connection, connect

ALL_ENDED_WITHIN = 300.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One measured submission of many workflows, until the last has ended."""

    steps: int
    seconds: float
    submit_seconds: float
    wal_bytes: int
    cpu_seconds: float
    """Of the workers."""
    rss: int
    """Bytes, of the workers, at the end."""

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds


async def run_batch(
    powertools: Powertools, conn: Connection, workers: Fleet, build: Callable[[], list[Workflow]]
) -> Batch:
    """Define, submit and wait; all of it is measured."""
    before, wal = workers.usage(), await WalMeter.begin(conn)
    started = time.perf_counter()
    workflows = build()
    handles = await powertools.workflows.insert_many(workflows)
    submitted = time.perf_counter()
    await ended(conn, [handle.id for handle in handles])
    seconds = time.perf_counter() - started
    after, steps = workers.usage(), steps_in(workflows)
    if after.ran - before.ran != steps:
        raise RuntimeError(f"{after.ran - before.ran} steps ran, expected {steps}")
    return Batch(
        steps=steps,
        seconds=seconds,
        submit_seconds=submitted - started,
        wal_bytes=await wal.read(),
        cpu_seconds=after.cpu - before.cpu,
        rss=after.rss,
    )


async def ended(conn: Connection, ids: Sequence[int], poll: float = 0.01) -> None:
    """Return when these workflows have ended; asked every ``poll`` seconds."""
    query = b"SELECT count(*) FROM powertools.workflows WHERE id = ANY (%s) AND finished_at IS NULL"
    async with asyncio.timeout(ALL_ENDED_WITHIN):
        while await (await conn.execute(query, [list(ids)])).fetchone() != (0,):  # noqa: ASYNC110 - other processes end them
            await asyncio.sleep(poll)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the workers run."""

    turbo: bool
    limit: int = 100
    """Steps at a time in each process."""
    processes: int = 1

    def __str__(self) -> str:
        return f"{'turbo' if self.turbo else 'plain'}, {self.processes} x {self.limit}"

    @asynccontextmanager
    async def system(self, dsn: str) -> AsyncIterator[tuple[Powertools, Connection, Fleet]]:
        """A client, a connection to look on, and workers, on a new database."""
        async with fresh_database(dsn) as fresh, await connect(fresh) as conn, Powertools.open(fresh) as powertools:
            with fleet(fresh, limit=self.limit, turbo=self.turbo, processes=self.processes) as workers:
                yield powertools, conn, workers
