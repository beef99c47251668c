"""How long an explanation takes in a large workflow: the slowest questions, and an ordinary one.

    python -m bench.explain [--steps N]

Prints milliseconds, the median of 5 after one warm-up; nothing of the workflows has run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

import click
from oban import Job

from bench.server import fresh_database, server
from oban_powertools import Powertools, Workflow

REPEATS = 5


async def measure(dsn: str, steps: int) -> dict[str, float]:
    """What is explained -> milliseconds."""
    async with fresh_database(dsn) as fresh, Powertools.open(fresh) as powertools:
        chain, fan_in = [h.id for h in await powertools.workflows.insert_many([_chain(steps), _fan_in(steps)])]
        explain = powertools.explain
        return {
            "step 10 of the chain": await _milliseconds(lambda: explain.workflow_step(chain, "s10")),
            "last step of the chain": await _milliseconds(lambda: explain.workflow_step(chain, f"s{steps - 1}")),
            "join of the fan-in": await _milliseconds(lambda: explain.workflow_step(fan_in, "join")),
            "the whole chain": await _milliseconds(lambda: explain.workflow(chain)),
            "the whole fan-in": await _milliseconds(lambda: explain.workflow(fan_in)),
        }


async def _milliseconds(ask: Callable[[], Awaitable[object]]) -> float:
    await ask()
    taken: list[float] = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        await ask()
        taken.append(time.perf_counter() - started)
    return median(taken) * 1000


def _chain(steps: int) -> Workflow:
    workflow = Workflow("chain")
    for n in range(steps):
        workflow.add(f"s{n}", Job("bench.steps.NoOp"), deps=[f"s{n - 1}"] if n else [])
    return workflow


def _fan_in(steps: int) -> Workflow:
    workflow = Workflow("fan-in")
    parents = [workflow.add(f"s{n}", Job("bench.steps.NoOp")) for n in range(steps - 1)]
    workflow.add("join", Job("bench.steps.NoOp"), deps=parents)
    return workflow


@click.command()
@click.option("--steps", default=100_000, show_default=True, help="Steps in each of the two workflows.")
def main(steps: int) -> None:
    """Measure and print."""
    with server() as dsn:
        for question, milliseconds in asyncio.run(measure(dsn, steps)).items():
            click.echo(f"{question:<24} {milliseconds:8.1f} ms")


if __name__ == "__main__":
    main()
