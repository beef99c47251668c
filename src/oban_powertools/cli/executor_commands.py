"""``executors list``: the executors and their health."""

from collections.abc import Sequence, Set
from typing import Final

import click

from ..lifeline import ExecutorHealth
from ..plural import counted
from ..runtime.executors import find_replaced
from ..states import ExecutorState, ExecutorStatus
from ..times import ago
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .next_commands import command_line, find_worst
from .output import print_list
from .tables import Column, Table
from .target import Database, answering
from .text import state_beside


def _state(executor: ExecutorHealth, replaced: Set[str]) -> str:
    blocked = executor.state is ExecutorState.LATE and executor.process_alive
    more = ["loop blocked"] * blocked + ["replaced"] * (executor.executor_id in replaced)
    return state_beside(executor.status, executor.state, *more)


def _set_aside(executor: ExecutorHealth) -> str:
    outcomes = counted(executor.aside, "outcome")
    return f"{outcomes} set aside since {ago(executor.aside_since)}" if executor.aside else ""


def executors_table(executors: Sequence[ExecutorHealth]) -> Table[ExecutorHealth]:
    """The table of these executors."""
    replaced = find_replaced(executors)
    return Table[ExecutorHealth](
        (
            Column("STATUS", lambda executor: executor.status, whole=True),
            Column("STATE", lambda executor: _state(executor, replaced), whole=True, else_=lambda each: each.state),
            Column("QUEUE", lambda executor: executor.producer_scope),
            Column("NODE", lambda executor: executor.node),
            Column("JOBS", lambda executor: executor.executing, number=True),
            Column("LAST BEAT", lambda executor: ago(executor.beat_at), whole=True),
            Column("STARTED", lambda executor: ago(executor.started_at), whole=True, spare=True),
        ),
        sentence=lambda executor: (executor.executor_id, _set_aside(executor)),
    )


_IN_TROUBLE: Final = (ExecutorStatus.MISSING, ExecutorStatus.LATE)


@click.group(cls=Group)
def executors() -> None:
    """Look at executors: one for each queue of each process; changes nothing."""


@executors.command("list", epilog=examples("powertools executors list"))
@answering
async def list_executors(target: Database, *, form: Form) -> int:
    """List executors with their health, those that have not stopped first.

    An executor is late when its last heartbeat is 45 s old, missing after 2 min.
    """
    async with target.calls() as calls:
        health = await calls.lifeline.list_executor_health()
    replaced = find_replaced(health)
    worst = find_worst([executor for executor in health if executor.executor_id not in replaced])
    then = [command_line("incidents", "list")] if worst and worst.status in _IN_TROUBLE else []
    print_list(form, "executors", health, executors_table(health), empty="no executor", then=then)
    return Exit.DONE
