"""What the audit costs: a command with its record, sealing, and a verification of everything.

    python -m bench.audit [--rows N]

Prints the median of 200 holds and releases in milliseconds, rows sealed a second, rows verified a second, and the
memory that the verification took.
"""

import asyncio
import time
import tracemalloc
from datetime import timedelta
from statistics import median
from typing import Any

import click
from oban import Job

from bench.server import fresh_database, server
from oban_powertools import Powertools, Workflow
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session
from oban_powertools.operators.audit import seal

FILL = """
SELECT powertools.record_system_v1(
  'job_rescue', 'job', ARRAY(SELECT g::text FROM generate_series(1, 10000) AS g), 'its executor is gone',
  details => ARRAY(SELECT jsonb_build_object('attempt', g, 'executor', 'node-a') FROM generate_series(1, 10000) AS g)
)
"""
WHO: dict[str, Any] = {"actor": "ada", "reason": "to see what it costs"}


def _everybody_may(*_: object) -> bool:
    return True


async def measure(dsn: str, rows: int) -> dict[str, str]:
    """What was measured -> the figure."""
    async with fresh_database(dsn) as fresh, Powertools.open(fresh, authorize=_everybody_may) as powertools:
        command = await _milliseconds_a_command(powertools)
        async with powertools.connect() as conn:
            for _ in range(0, rows, 10_000):
                await conn.execute(FILL.encode())
            started = time.perf_counter()
            sealed = 0
            while found := await seal(Session(conn, Queries(Names()))):
                sealed += found
            sealing = sealed / (time.perf_counter() - started)
        tracemalloc.start()
        started = time.perf_counter()
        verified = await powertools.audit.verify()
        verifying = verified.rows / (time.perf_counter() - started)
        assert verified.sound
        return {
            "a command": f"{command:.1f} ms",
            "sealed": f"{sealing:,.0f} rows/s",
            "verified": f"{verifying:,.0f} rows/s of {verified.rows:,}",
            "memory of it": f"{tracemalloc.get_traced_memory()[1] / 2**10:,.0f} KiB of Python objects",
        }


async def _milliseconds_a_command(powertools: Powertools) -> float:
    workflow = Workflow("held")
    workflow.add("step", Job("bench.steps.NoOp", queue="nobody"))
    handle = await powertools.workflows.insert(workflow)
    taken: list[float] = []
    for _ in range(100):
        for call, more in (
            (powertools.workflows.hold, {"hold_for": timedelta(hours=1)}),
            (powertools.workflows.release, {}),
        ):
            started = time.perf_counter()
            await call(handle.id, **more, **WHO)
            taken.append(time.perf_counter() - started)
    return median(taken) * 1000


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Records in the audit.")
def main(rows: int) -> None:
    """Measure and print."""
    with server() as dsn:
        for name, figure in asyncio.run(measure(dsn, rows)).items():
            click.echo(f"{name:<14} {figure}")


if __name__ == "__main__":
    main()
