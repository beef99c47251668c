"""What a preview costs beside the repair itself: 1 to 100,000 steps held, released, cancelled and retried.

    python -m bench.repairs [--steps N ...] [--rounds N]

Each round does every repair three times: at once through ``workflows``, which writes no preview, and previewed and
executed. It prints medians with the smallest and the largest, and how many times as long as the plain command they are.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from statistics import median
from typing import Any, Final

import click
from oban import Job

from bench.server import fresh_database, server
from oban_powertools import Powertools, Workflow
from oban_powertools.states import WorkflowId

WHO: Final[dict[str, Any]] = {"actor": "ada", "reason": "to see what it costs"}
PAIRS: Final = (("workflow_hold", "workflow_release"), ("step_cancel", "workflow_retry"))
"""A repair, and what takes it back."""


def _everybody_may(*_: object) -> bool:
    return True


def fan(steps: int) -> Workflow:
    """One step whose job nobody runs, and the rest after it."""
    workflow = Workflow("fan")
    workflow.add("first", Job("bench.steps.NoOp", queue="nobody"))
    workflow.add_many({f"m{i}": Job("bench.steps.NoOp", queue="nobody") for i in range(steps - 1)}, deps="first")
    return workflow


async def _took(work: Awaitable[Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = await work
    return time.perf_counter() - started, done


def _plain(powertools: Powertools, workflow_id: WorkflowId, action: str) -> Awaitable[Any]:
    match action:
        case "workflow_hold":
            return powertools.workflows.hold(workflow_id, hold_for=timedelta(hours=1), **WHO)
        case "workflow_release":
            return powertools.workflows.release(workflow_id, **WHO)
        case "step_cancel":
            return powertools.workflows.recover(workflow_id, "first", "cancel", **WHO)
        case _:
            return powertools.workflows.recover(workflow_id, **WHO)


async def _previewed(powertools: Powertools, workflow_id: WorkflowId, action: str) -> tuple[float, float, int]:
    kind = action.partition("_")[0]
    target = f"{workflow_id}/first" if kind == "step" else str(workflow_id)
    hold_for = timedelta(hours=1) if action == "workflow_hold" else None
    lifeline = powertools.lifeline
    preview = lifeline.preview_repair(
        WHO["actor"], action=action, target_type=kind, target_id=target, hold_for=hold_for
    )
    previewing, shown = await _took(preview)
    executing, done = await _took(lifeline.execute_repair(WHO["actor"], shown.preview_token, WHO["reason"]))
    assert done.total_changes == shown.total_changes
    return previewing, executing, shown.total_changes


async def measure(powertools: Powertools, steps: int, rounds: int) -> None:
    """Print the figures of one workflow of so many steps."""
    handle = await powertools.workflows.insert(fan(steps))
    async with powertools.connect() as conn:
        await conn.execute(b"ANALYZE")
    for pair in PAIRS:
        taken: dict[str, list[tuple[float, float, float]]] = {action: [] for action in pair}
        rows: dict[str, int] = {}
        for _ in range(rounds):
            plain = {action: (await _took(_plain(powertools, handle.id, action)))[0] for action in pair}
            for action in pair:
                previewing, executing, rows[action] = await _previewed(powertools, handle.id, action)
                taken[action].append((plain[action], previewing, executing))
        for action in pair:
            _print(action, rows[action], taken[action])


def _print(action: str, rows: int, taken: list[tuple[float, float, float]]) -> None:
    plain = median(one[0] for one in taken)
    print(f"{rows:>8,} rows  {action:<17}", end="")
    for name, column in (("plain", 0), ("preview", 1), ("execute", 2)):
        found = sorted(one[column] * 1000 for one in taken)
        ratio = "" if column == 0 else f" = {median(found) / plain / 1000:4.1f} x"
        print(f"  {name} {median(found):8,.1f} ms ({found[0]:,.1f} to {found[-1]:,.1f}){ratio}", end="")
    print(flush=True)


async def main(dsn: str, steps: tuple[int, ...], rounds: int) -> None:
    """Measure each size in a database of its own."""
    for number in steps:
        async with (
            fresh_database(dsn) as fresh,
            Powertools.open(fresh, authorize=_everybody_may) as powertools,
        ):
            await measure(powertools, number, rounds if number < 50_000 else max(1, rounds // 2))


@click.command()
@click.option("--steps", type=int, multiple=True, default=(1, 100, 10_000, 100_000), show_default=True)
@click.option("--rounds", default=7, show_default=True, help="Halved for 50,000 steps and more.")
def command(steps: tuple[int, ...], rounds: int) -> None:
    """Measure and print."""
    with server() as dsn:
        asyncio.run(main(dsn, steps, rounds))


if __name__ == "__main__":
    command()
