"""What notices cost: steps per second with them and without, in pairs on one database and one worker.

Meanwhile an incident opens and another is over twice a second, which is a bad night. Run with
``python -m bench.notices [PAIRS]``.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

from bench.server import server
from bench.shapes import fan
from bench.speed import Batch, Setting, run_batch
from oban_powertools import Workflow
from oban_powertools.database import Connection, connect

PAIRS: Final = 20
EVERY: Final = 0.5
"""Seconds between two looks at incidents, each of which finds one that opens and one that is over."""

OFF: Final = b"""
ALTER TABLE powertools.incident_entries DISABLE TRIGGER told;
CREATE OR REPLACE FUNCTION powertools.write_notices(of_topic text, ids text[], kinds text[], datas jsonb[]) RETURNS void
LANGUAGE plpgsql AS 'BEGIN END'
"""
ON: Final = b"ALTER TABLE powertools.incident_entries ENABLE TRIGGER told"
WRITES: Final = b"SELECT pg_get_functiondef('powertools.write_notices'::regproc)"
TROUBLE: Final = b"""
UPDATE powertools.signals SET status = 'late' WHERE status = 'stored';
INSERT INTO powertools.signals (signal, correlation_key, status, inserted_at)
VALUES ('trouble-' || (SELECT count(*) FROM powertools.signals), 'k', 'stored', now() - interval '2 h');
SELECT powertools.project_incidents_v1()
"""


def build() -> list[Workflow]:
    """6,120 steps."""
    return [fan(100) for _ in range(60)]


@asynccontextmanager
async def troubled(dsn: str) -> AsyncIterator[None]:
    """Incidents come and go."""

    async def trouble() -> None:
        async with await connect(dsn) as conn:
            while True:
                await conn.execute(TROUBLE)
                await asyncio.sleep(EVERY)

    task = asyncio.create_task(trouble())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def measure(dsn: str, pairs: int) -> None:
    """Print the medians, their spread and that of the pairs; in each pair the other one comes first."""
    with_them: list[Batch] = []
    without: list[Batch] = []
    async with Setting(turbo=True).system(dsn) as (powertools, conn, workers):
        told = await count(conn)
        writes = await (await conn.execute(WRITES)).fetchone()
        assert writes is not None
        own = conn.info.dsn + f" password={conn.info.password}" if conn.info.password else conn.info.dsn
        async with troubled(own):
            await run_batch(powertools, conn, workers, build)
            for number in range(pairs):
                for on in (True, False) if number % 2 else (False, True):
                    await conn.execute(b";".join((writes[0].encode(), ON)) if on else OFF)
                    batch = await run_batch(powertools, conn, workers, build)
                    (with_them if on else without).append(batch)
        told = await count(conn) - told
    for name, batches in (("with notices", with_them), ("without", without)):
        rates = sorted(batch.rate for batch in batches)
        wal, cpu = (median(b.wal_bytes / b.steps for b in batches), median(b.cpu_seconds / b.steps for b in batches))
        print(
            f"{name:<13} {median(rates):6.0f} steps/s ({rates[0]:.0f} to {rates[-1]:.0f})  {wal:5.0f} B of WAL a step  "
            f"{cpu * 1e3:5.3f} ms of worker CPU a step"
        )
    async with Setting(turbo=True).system(dsn) as (_, conn, _):
        with_ms, without_ms = await looks(conn, 10 * pairs)
    print(
        f"one look      {with_ms:.2f} ms with notices, {without_ms:.2f} ms without: "
        f"{(with_ms - without_ms) / (EVERY * 1000):.2%} of the time of one session"
    )
    ratios = sorted(a.rate / b.rate for a, b in zip(with_them, without, strict=True))
    quarter = len(ratios) // 4
    print(
        f"pairs         {median(ratios):.3f} of the speed (half of {len(ratios)} pairs between {ratios[quarter]:.3f} "
        f"and {ratios[-1 - quarter]:.3f}); {told} notices"
    )


async def looks(conn: Connection, pairs: int) -> tuple[float, float]:
    """Milliseconds of a look that finds one incident that opens and one that is over, with notices and without."""
    writes = await (await conn.execute(WRITES)).fetchone()
    assert writes is not None
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * pairs):
        on = number % 2 == 0
        await conn.execute(b";".join((writes[0].encode(), ON)) if on else OFF)
        started = time.perf_counter()
        await conn.execute(TROUBLE)
        found[on].append((time.perf_counter() - started) * 1000)
    return median(found[True]), median(found[False])


async def count(conn: Connection) -> int:
    """Notices so far."""
    row = await (await conn.execute(b"SELECT count(*) FROM powertools.notices")).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    with server() as dsn:
        asyncio.run(measure(dsn, int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS))
