"""Steps per second (W1 to W3) and milliseconds per hop (W4): one worker process, submitting included, durable."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from bench.server import WalMeter, fresh_database
from bench.shapes import WORKLOADS, chain, steps_in
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


async def hops(powertools: Powertools, conn: Connection, repeats: int, size: int = 10) -> list[float]:
    """Milliseconds a hop, one figure for each chain."""
    figures: list[float] = []
    for _ in range(repeats):
        started = time.perf_counter()
        handle = await powertools.workflows.insert(chain(size))
        await ended(conn, [handle.id], poll=0.003)
        figures.append((time.perf_counter() - started) * 1000 / size)
        await asyncio.sleep(0.05)
    return figures


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


async def measure(dsn: str, settings: Sequence[Setting], runs: int) -> None:
    """Print the medians of W1 to W4; the settings take turns, and every run has a new database."""
    for name, build in WORKLOADS.items():
        batches: dict[Setting, list[Batch]] = {setting: [] for setting in settings}
        for _ in range(runs):
            for setting in settings:
                async with setting.system(dsn) as system:
                    batches[setting].append(await run_batch(*system, build))
        for setting in settings:
            print(f"{name}  {setting!s:<15} {_summary(batches[setting])}", flush=True)
    for setting in settings:
        async with setting.system(dsn) as (powertools, conn, _):
            await hops(powertools, conn, 3)
            figures = sorted(await hops(powertools, conn, 30))
        print(
            f"W4  {setting!s:<15} {median(figures):6.1f} ms a hop ({figures[0]:.1f} to {figures[-1]:.1f})", flush=True
        )


def _summary(batches: Sequence[Batch]) -> str:
    rates = [batch.rate for batch in batches]
    return (
        f"{median(rates):6.0f} steps/s ({min(rates):.0f} to {max(rates):.0f})  "
        f"{median(b.submit_seconds / b.seconds for b in batches):4.0%} of it submitting  "
        f"{median(b.wal_bytes / b.steps for b in batches):5.0f} B of WAL a step  "
        f"{median(b.cpu_seconds / b.steps for b in batches) * 1e3:5.3f} ms of worker CPU a step  "
        f"{batches[-1].rss / 2**20:4.0f} MB"
    )
