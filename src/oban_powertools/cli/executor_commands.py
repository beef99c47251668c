"""``executors list``: the executors and their health."""

from typing import Final

import click

from ..calls import Calls
from ..lifeline import ExecutorCounts, ExecutorHealth
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
    """List executors with their health, those that were replaced or have stopped last.

    An executor is late when its last heartbeat is 45 s old, missing after 2 min.
    """
    page = limit if limit is not None or form.is_json else _PAGE
    more = None if page is None else page + 1
    async with target.calls() as calls:
        found = await calls.lifeline.list_executor_health(status=status, after=after, limit=more)
        counts = await calls.lifeline.count_executors()
        then = await _commands(calls, counts)
    shown = found[:page]
    following = shown[-1].cursor if len(found) > len(shown) else None
    print_list(form, "executors", shown, EXECUTORS, empty="no executor", then=then, next_after=following)
    return Exit.DONE


def nobody_lives(counts: ExecutorCounts) -> bool:
    """Whether none of those that were there is alive, so that nobody sweeps: rescues nothing, and finds no incident."""
    return counts.total > 0 == counts.alive


async def _commands(calls: Calls, counts: ExecutorCounts) -> list[str]:
    """What is told of them; where nobody lives who would find it, what helps: another process, or a repair by hand."""
    missing = counts.by_status[ExecutorStatus.MISSING] - counts.replaced
    if not missing + counts.by_status[ExecutorStatus.LATE]:
        return []
    if not nobody_lives(counts):
        return [command_line("incidents", "list")]
    gone = await calls.lifeline.list_executor_health(status=ExecutorStatus.MISSING if missing else ExecutorStatus.LATE)
    worst = max(gone, key=lambda executor: executor.executing)
    helps = [command_line("start", "--queues", f"{worst.producer_scope}:10")]
    if worst.executing and missing:
        helps.append(command_line("repair", "preview", "executor_rescue_all", worst.executor_id, acts=True))
    return helps
