"""Oban itself unharmed: what jobs that belong to no workflow cost while Powertools is installed.

    python -m bench.plain_jobs [--rounds N] [--jobs N]

Each comparison alternates both sides in one process and prints the median ratio with its spread; 1.0 is no difference.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median

import click
from oban import Oban
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from bench.server import fresh_database, scalar, server
from bench.steps import NoOp
from oban_powertools import Powertools
from oban_powertools.database import Connection, connect

LIMIT = 100
FINISHED = 20_000
"""Jobs that the pruner removes at once."""

type Side = Callable[[], Awaitable[float]]
"""Does some work and says how long it took, in seconds."""


async def compare(what: str, one: Side, other: Side, rounds: int, unit: float) -> None:
    """Print how much faster the first side is.

    Args:
        unit: What one side does, to print a rate: jobs.
    """
    await one()
    await other()
    pairs = [(await one(), await other()) for _ in range(rounds)]
    ratios = sorted(second / first for first, second in pairs)
    rates = [unit / median(side) for side in zip(*pairs, strict=True)]
    print(
        f"{what:<52} {rates[0]:9,.0f} : {rates[1]:9,.0f} jobs/s  "
        f"ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


async def run_jobs(oban: Oban, conn: Connection, queue: str, count: int) -> float:
    """Seconds from enqueueing until all of them are completed."""
    await conn.execute(b"TRUNCATE oban_jobs")
    started = time.perf_counter()
    await oban.enqueue_many([NoOp.new({"i": i}, queue=queue) for i in range(count)])
    query = "SELECT count(*) FROM oban_jobs WHERE state = 'completed'"
    async with asyncio.timeout(120):
        while await scalar(conn, query, int) < count:  # noqa: ASYNC110 - other connections complete them
            await asyncio.sleep(0.005)
    return time.perf_counter() - started


async def delete_jobs(conn: Connection) -> float:
    """Seconds that it takes to delete finished jobs of steps, as the pruner does."""
    await conn.execute(b"TRUNCATE oban_jobs")
    await conn.execute(
        b"INSERT INTO oban_jobs (state, worker, completed_at, meta)"
        b" SELECT 'completed', 'w', now(), jsonb_build_object('workflow_id', i / 10, 'position', mod(i, 10))"
        b" FROM generate_series(1, %s) AS i",
        [FINISHED],
    )
    started = time.perf_counter()
    await conn.execute(b"DELETE FROM oban_jobs WHERE id IN (SELECT id FROM oban_jobs ORDER BY id LIMIT %s)", [FINISHED])
    return time.perf_counter() - started


class Triggers:
    """Powertools' triggers on Oban's table, to be taken away and put back.

    Dropped, not disabled: PostgreSQL collects transition tables also for a disabled trigger.
    """

    def __init__(self, conn: Connection, definitions: list[str]) -> None:
        self._conn = conn
        self._definitions = definitions

    @classmethod
    async def find(cls, conn: Connection) -> "Triggers":
        query = (
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'oban_jobs'::regclass AND NOT tgisinternal"
        )
        return cls(conn, [row[0] for row in await (await conn.execute(query.encode())).fetchall()])

    async def present(self, present: bool) -> None:
        """Install or drop them, whichever is needed."""
        now = await scalar(self._conn, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'oban_jobs'::regclass", int)
        if present and now == 0:
            for definition in self._definitions:
                await self._conn.execute(definition.encode())
        if not present and now > 0:
            for definition in self._definitions:
                await self._conn.execute(f"DROP TRIGGER {definition.split()[2]} ON oban_jobs".encode())

    def side(self, work: Side, *, present: bool) -> Side:
        """The same work with or without them."""

        async def timed() -> float:
            await self.present(present)
            return await work()

        return timed


@asynccontextmanager
async def running(dsn: str, queue: str, *, turbo: bool) -> AsyncIterator[Oban]:
    """Oban with one queue, with Powertools' slots or as it comes."""
    async with AsyncConnectionPool[AsyncConnection](dsn, min_size=2, max_size=10, open=False) as pool:
        oban = Oban(pool=pool, queues={queue: LIMIT})
        if not turbo:
            async with oban:
                await asyncio.sleep(0.3)
                yield oban
            return
        powertools = Powertools(oban)
        async with oban, powertools:
            await asyncio.sleep(0.3)
            yield oban
        await powertools.close()


async def measure(dsn: str, rounds: int, jobs: int) -> None:
    """Print the three comparisons."""
    async with fresh_database(dsn) as fresh, await connect(fresh) as conn:
        triggers = await Triggers.find(conn)
        async with running(fresh, "stock", turbo=False) as stock:

            async def stock_jobs() -> float:
                return await run_jobs(stock, conn, "stock", jobs)

            with_them, without = triggers.side(stock_jobs, present=True), triggers.side(stock_jobs, present=False)
            await compare("stock Oban, our triggers : none", with_them, without, rounds, jobs)
            await triggers.present(True)
            async with running(fresh, "turbo", turbo=True) as turbo:

                async def turbo_jobs() -> float:
                    return await run_jobs(turbo, conn, "turbo", jobs)

                await compare("plain jobs, turbo : stock acks and inserts", turbo_jobs, stock_jobs, rounds, jobs)

        async def prune() -> float:
            return await delete_jobs(conn)

        with_them, without = triggers.side(prune, present=True), triggers.side(prune, present=False)
        await compare(f"prune {FINISHED:,} finished, our triggers : none", with_them, without, rounds, FINISHED)


@click.command()
@click.option("--rounds", default=7, show_default=True, help="Pairs of runs in each comparison.")
@click.option("--jobs", default=2000, show_default=True, help="Jobs in one run.")
def main(rounds: int, jobs: int) -> None:
    """Compare Oban with and without Powertools on jobs of no workflow."""
    with server() as dsn:
        asyncio.run(measure(dsn, rounds, jobs))


if __name__ == "__main__":
    main()
