"""``make bench``: the figures that need nothing from outside, in less than three minutes.

``bench/README.md`` says what each figure means. Compare figures of one run only: they move with the machine.
"""

import asyncio

import click

from bench import graph, large, memory, plain_jobs, rescue, speed
from bench.server import server
from bench.speed import Setting

SHORT = [Setting(turbo=True, limit=100), Setting(turbo=False, limit=100)]
FULL = [
    *(Setting(turbo=True, limit=limit) for limit in (20, 100, 500)),
    Setting(turbo=True, limit=100, processes=2),
    Setting(turbo=False, limit=100),
]


async def measure(dsn: str, *, full: bool) -> None:
    """Print everything."""
    _title("Workflows, no-op steps: submitting included, everything durable")
    await speed.measure(dsn, FULL if full else SHORT, runs=3)
    _title("Jobs of no workflow, with Powertools installed")
    await plain_jobs.measure(dsn, rounds=7 if full else 5, jobs=2000)
    _title("One large workflow")
    await large.measure(dsn, 100_000 if full else 10_000)
    _title("Killed processes and heartbeats")
    await rescue.measure(dsn, rounds=2, settings=("tight", "default") if full else ("tight",))
    _title("Drawings of 5,000 steps")
    graph.measure()
    if full:
        _title("Memory of a worker")
        await memory.measure(dsn, 200_000)


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


@click.command()
@click.option("--full", is_flag=True, help="Everything: 100,000 steps in one workflow, 200,000 steps for the memory.")
def main(full: bool) -> None:
    """Measure speed, write-ahead log and memory."""
    with server() as dsn:
        asyncio.run(measure(dsn, full=full))


if __name__ == "__main__":
    main()
