"""One workflow with very many steps: defined, checked, inserted, and run to its end.

    python -m bench.large [--steps N]

Shapes: layers (each step needs three of the layer above) and a fan (1, N - 2, 1). Checking and inserting 100,000 steps
must take less than 20 s.
"""

import asyncio
import time
from collections.abc import Callable

import click

from bench.server import server
from bench.shapes import fan, layers
from bench.speed import Setting, ended
from oban_powertools import Workflow

INSERTED_WITHIN = 20.0
"""Seconds, for 100,000 steps."""


async def measure(dsn: str, steps: int) -> None:
    """Print how long each shape takes."""
    shapes: dict[str, Callable[[], Workflow]] = {
        "layers": lambda: layers(depth=100, width=steps // 100),
        "fan": lambda: fan(steps - 2),
    }
    for name, build in shapes.items():
        await _measure_one(dsn, name, build)


async def _measure_one(dsn: str, name: str, build: Callable[[], Workflow]) -> None:
    async with Setting(turbo=True, limit=500).system(dsn) as (powertools, conn, workers):
        started = time.perf_counter()
        workflow = build()
        built = time.perf_counter()
        handle = await powertools.workflows.insert(workflow)
        inserted = time.perf_counter()
        await ended(conn, [handle.id])
        finished = time.perf_counter()
        record = await powertools.workflows.get(handle.id)
        ran = workers.usage().ran
    total = len(workflow.steps)
    if ran != total or record.state != "completed":
        raise RuntimeError(f"{ran} of {total} steps ran, the workflow is {record.state}")
    print(
        f"{name:<7} {total:>7,} steps  defined {built - started:5.2f} s  checked and inserted {inserted - built:5.2f} s"
        f"  run to the end {finished - inserted:6.2f} s  {total / (finished - started):6,.0f} steps/s in all",
        flush=True,
    )
    if inserted - built > INSERTED_WITHIN * max(1.0, total / 100_000):
        raise RuntimeError(f"inserting took {inserted - built:.1f} s, expected less than {INSERTED_WITHIN:.0f} s")


@click.command()
@click.option("--steps", default=100_000, show_default=True)
def main(steps: int) -> None:
    """Run one very large workflow of each shape."""
    with server() as dsn:
        asyncio.run(measure(dsn, steps))


if __name__ == "__main__":
    main()
