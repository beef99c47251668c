"""``executors list``: the executors and their health."""

from typing import Final

import click

from ..lifeline import ExecutorHealth
from ..plural import counted
from ..states import ExecutorState, ExecutorStatus
from ..times import ago
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .next_commands import command_line
from .output import print_list
from .tables import Column, Table
from .target import Database, answering
from .text import state_beside


def _state(executor: ExecutorHealth) -> str:
    blocked = executor.state is ExecutorState.LATE and executor.process_alive
    more = ["loop blocked"] * blocked + ["replaced"] * executor.replaced
    return state_beside(executor.status, executor.state, *more)


def _set_aside(executor: ExecutorHealth) -> str:
    outcomes = counted(executor.aside, "outcome")
    return f"{outcomes} set aside since {ago(executor.aside_since)}" if executor.aside else ""


EXECUTORS: Final = Table[ExecutorHealth](
    (
        Column("STATUS", lambda executor: executor.status, whole=True),
        Column("STATE", _state, whole=True, else_=lambda each: each.state),
        Column("QUEUE", lambda executor: executor.producer_scope),
        Column("NODE", lambda executor: executor.node),
        Column("JOBS", lambda executor: executor.executing, number=True),
        Column("LAST BEAT", lambda executor: ago(executor.beat_at), whole=True),
        Column("STARTED", lambda executor: ago(executor.started_at), whole=True, spare=True),
    ),
    sentence=lambda executor: (executor.executor_id, _set_aside(executor)),
)

_PAGE: Final = 50


@click.group(cls=Group)
def executors() -> None:
    """Look at executors: one for each queue of each process; changes nothing."""


@executors.command("list", epilog=examples("powertools executors list", "powertools executors list --status Missing"))
@click.option("--status", type=click.Choice([word.value for word in ExecutorStatus]), help="Only with this word.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), help="At most so many.  [default: 50, in JSON all of them]", metavar="N"
)
@click.option("--after", metavar="PLACE", help="Only those after this place: the next page.")
@answering
async def list_executors(
    target: Database, *, status: str | None, limit: int | None, after: str | None, form: Form
) -> int:
    """List executors with their health, those that have not stopped first.

    An executor is late when its last heartbeat is 45 s old, missing after 2 min.
    """
    page = limit if limit is not None or form.is_json else _PAGE
    more = None if page is None else page + 1
    async with target.calls() as calls:
        found = await calls.lifeline.list_executor_health(status=status, after=after, limit=more)
        counts = await calls.lifeline.count_executors()
    shown = found[:page]
    in_trouble = counts.by_status[ExecutorStatus.MISSING] - counts.replaced + counts.by_status[ExecutorStatus.LATE]
    then = [command_line("incidents", "list")] if in_trouble else []
    following = shown[-1].cursor if len(found) > len(shown) else None
    print_list(form, "executors", shown, EXECUTORS, empty="no executor", then=then, next_after=following)
    return Exit.DONE
