"""``make bench``: the figures that need nothing from outside, in a few minutes; ``make bench-full``: all of them.

``bench/README.md`` says what each figure means. Compare figures of one run only: they move with the machine.
"""

import asyncio

import click

from bench import graph, large, memory, plain_jobs, rescue
from bench.peers.lineup import OTHERS, OURS
from bench.peers.publish import RESULTS, publish
from bench.peers.run import Everything, run
from bench.peers.table import table
from bench.server import server

QUICK = Everything(systems=[OURS], together=True, turbo_off=True, plain=False)
FULL = Everything(systems=[OURS, *OTHERS], full=True, history=1_000_000, history_within=300)


def among_peers(dsn: str, *, full: bool) -> None:
    """Print the table; the whole one goes into the documentation, too."""
    document = run(dsn, FULL if full else QUICK, RESULTS if full else None)
    print(table(document), flush=True)
    if full:
        publish(document)


async def measure(dsn: str, *, full: bool) -> None:
    """Print everything else."""
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
@click.option("--full", is_flag=True, help="Everything, and our peers: takes hours.")
def main(full: bool) -> None:
    """Measure speed, write-ahead log and memory."""
    with server() as dsn:
        _title("Workflows, no-op steps: submitting included, everything durable")
        among_peers(dsn, full=full)
        asyncio.run(measure(dsn, full=full))


if __name__ == "__main__":
    main()
