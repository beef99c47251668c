"""Whether a worker's memory stays flat while it runs steps.

    python -m bench.memory [--steps N]

Prints the resident memory along the way and its slope over the second half, in bytes a step.
"""

import asyncio
from itertools import pairwise
from statistics import linear_regression

import click

from bench.server import server
from bench.shapes import chain
from bench.speed import Setting, ended

CHAINS = 500
"""Workflows in one batch, of 10 steps each."""
FLAT = 5.0
"""Bytes a step that still count as flat: 1 MB in 200,000 steps."""


async def measure(dsn: str, steps: int) -> float:
    """Bytes a step over the second half."""
    samples: list[tuple[int, int]] = []
    async with Setting(turbo=True, limit=100).system(dsn) as (powertools, conn, workers):
        while not samples or samples[-1][0] < steps:
            handles = await powertools.workflows.insert_many([chain(10) for _ in range(CHAINS)])
            await ended(conn, [handle.id for handle in handles])
            used = workers.usage()
            samples.append((used.ran, used.rss))
            if any(before < mark <= used.ran for mark in range(0, steps + 1, steps // 10) for before in _last(samples)):
                print(f"{used.ran:>9,} steps  {used.rss / 2**20:6.1f} MB", flush=True)
    second_half = samples[len(samples) // 2 :]
    slope = linear_regression([ran for ran, _ in second_half], [rss for _, rss in second_half]).slope
    print(
        f"slope over the second half: {slope:.2f} bytes a step ({'flat' if slope < FLAT else 'NOT FLAT'})", flush=True
    )
    return slope


def _last(samples: list[tuple[int, int]]) -> list[int]:
    return [before for (before, _), _ in list(pairwise(samples))[-1:]] or [-1]


@click.command()
@click.option("--steps", default=200_000, show_default=True)
def main(steps: int) -> None:
    """Watch the memory of one worker process."""
    with server() as dsn:
        asyncio.run(measure(dsn, steps))


if __name__ == "__main__":
    main()
