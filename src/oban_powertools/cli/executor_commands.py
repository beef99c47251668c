"""``executors list``: the executors and their health."""

import click

from ..lifeline import ExecutorHealth
from ..states import ExecutorState
from .exits import Exit
from .groups import Group, examples
from .output import print_json, print_table
from .target import Target, answering
from .text import instant


@click.group(cls=Group)
def executors() -> None:
    """Look at executors: one for each queue of each process; changes nothing."""


@executors.command("list", epilog=examples("powertools executors list"))
@answering
async def list_executors(target: Target, *, as_json: bool) -> int:
    """List executors with their health, those that have not stopped first.

    An executor is late when its last heartbeat is 45 s old, missing after 2 min.
    """
    async with target.calls() as calls:
        health = await calls.lifeline.list_executor_health()
    if as_json:
        print_json({"executors": health})
    else:
        headers = ("STATE", "QUEUE", "NODE", "EXECUTING", "ASIDE", "LAST BEAT", "STARTED", "EXECUTOR")
        print_table(headers, [_row(executor) for executor in health])
    return Exit.DONE


def _row(executor: ExecutorHealth) -> tuple[str, ...]:
    blocked = executor.state is ExecutorState.LATE and executor.process_alive
    return (
        f"{executor.state} (its event loop is blocked)" if blocked else executor.state,
        executor.producer_scope,
        executor.node,
        str(executor.executing),
        f"{executor.aside} since {instant(executor.aside_since)}" if executor.aside else "0",
        instant(executor.beat_at),
        instant(executor.started_at),
        executor.executor_id,
    )
