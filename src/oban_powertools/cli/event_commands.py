"""``events tail``: print what happens to workflows, or to incidents, executors and records of operators, as it happens.

Each event is printed once and in order, even when the connection is lost and found again.
"""

import logging
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import click

from ..errors import InvalidArgumentError
from ..events.notices import ExecutorUpdated, IncidentUpdated, RepairEnded, RetentionRan, describe_notice, kind_of
from ..events.topics import WORKFLOWS, AnyEvent, Topic, TopicKind
from ..events.types import Cursor, StepUpdated, WorkflowFinished
from ..lifeline.incidents import incident_key
from ..states import WorkflowId, WorkflowState
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .output import colored, has_terminal, note, print_json, say, terminal_width
from .target import Database, answering
from .text import one_line, width, wrap
from .workflow_text import names

_WIDEST_CHANGE: Final = len("discarded")
_WIDEST_WORD: Final = len("Needs Review")
_INDENT: Final = "    "


@click.group(cls=Group)
def events() -> None:
    """Follow what happens, live."""


def _parse_cursor(ctx: click.Context, param: click.Parameter, value: str | None) -> Cursor | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value) < 2**63):
        raise click.BadParameter(f"{value!r} is not a cursor: cursors are whole numbers from 0", ctx, param)
    return Cursor(int(value))


def _parse_topic(ctx: click.Context, param: click.Parameter, value: str | None) -> Topic | None:
    try:
        return None if value is None else Topic.parse(value)
    except InvalidArgumentError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@events.command(
    "tail",
    epilog=examples(
        "powertools events tail",
        "powertools events tail --topic incident:all",
        "powertools events tail --incident 12",
        "powertools events tail --workflow 41 --until-finished",
        "powertools events tail --json --since 8123 > events.jsonl",
    ),
)
@click.option("--workflow", "workflow_id", callback=parse_id, metavar="ID", help="Only of this workflow.")
@click.option("--incident", metavar="INCIDENT", help="Only of this incident, by its id or its fingerprint.")
@click.option(
    "--topic",
    callback=_parse_topic,
    metavar="TOPIC",
    help="Of this: workflow:all, incident:all, incident:ID, executor:all, executor:ID, audit:all.",
)
@click.option(
    "--since", callback=_parse_cursor, metavar="CURSOR", help="Begin behind this event, instead of with the next one."
)
@click.option("--until-finished", is_flag=True, help="With --workflow: end when it has finished.")
@answering
async def tail(
    target: Database,
    *,
    workflow_id: int | None,
    incident: str | None,
    topic: Topic | None,
    since: Cursor | None,
    until_finished: bool,
    form: Form,
) -> int:
    """Print every event as it happens, until Ctrl+C.

    It continues by itself, without a gap, after the database was away. With --json every line is a JSON
    document; its cursor is what --since takes. With --until-finished the exit code is 6 unless it completed.
    """
    if sum(subject is not None for subject in (workflow_id, incident, topic)) > 1:
        raise click.UsageError("--workflow, --incident and --topic name what to follow: pass one of them")
    if topic is not None and topic.kind is TopicKind.WORKFLOW and topic.subject is not None:
        workflow_id, topic = int(topic.subject), None
    if until_finished and workflow_id is None:
        raise click.UsageError("--until-finished needs --workflow: all of them together never finish")
    key = None if workflow_id is None else WorkflowId(workflow_id)
    _warn_in_one_line()
    async with target.following() as calls:
        if incident is not None:
            record = await calls.lifeline.get_incident(incident_key(incident))
            topic = Topic.parse(f"incident:{record.id}")
        if key is None:
            async with calls.events.subscribe(topic or WORKFLOWS, since=since) as following:
                note(f"following {'all workflows' if topic in (None, WORKFLOWS) else topic}; Ctrl+C ends")
                return await _print(following, form=form, until_finished=False)
        async with calls.events.subscribe_workflow(key, since=since) as following:
            workflow = await calls.workflows.get(key)
            note(f"following workflow {key} {workflow.name}, which is {workflow.state}; Ctrl+C ends")
            ended = until_finished and workflow.state.terminal
            if ended and not await calls.events.read(since=following.cursor, workflow_id=key, limit=1):
                return _exit(workflow.state)
            return await _print(following, form=form, until_finished=until_finished)


async def _print(following: AsyncIterator[AnyEvent], *, form: Form, until_finished: bool) -> int:
    async for event in following:
        if form.is_json:
            print_json(event.to_dict(), Form.JSONL)
        else:
            for line in lay_out(event, terminal_width() if has_terminal() else None):
                say(*line)
        if until_finished and isinstance(event, WorkflowFinished):
            return _exit(event.outcome)
    return Exit.DONE


def _exit(outcome: WorkflowState) -> Exit:
    return Exit.DONE if outcome is WorkflowState.COMPLETED else Exit.FINDINGS


def _warn_in_one_line() -> None:
    """Print one line when the database is away, instead of the pool's own warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.format = lambda record: f"warning: {one_line(record.getMessage())}"
    logging.getLogger("oban_powertools").addHandler(handler)
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    logging.getLogger("psycopg.pool").propagate = False


def lay_out(event: AnyEvent, room: int | None) -> list[tuple[str, ...]]:
    """An event as lines, each in parts: on one line for a file or a program, in so many columns for a person.

    Args:
        room: Columns of the terminal; None without one.
    """
    word, change, of, more = _parts(event)
    head = f"{_instant(event.timestamp)}  {word:<{_WIDEST_WORD}}  ", colored(f"{change:<{_WIDEST_CHANGE}}")
    beside, below = [part for part in (of, more) if part], list[str]()
    taken = width(click.unstyle("".join(head)))
    while room is not None and beside and taken + sum(2 + width(one_line(part)) for part in beside) > room:
        below.insert(0, beside.pop())
    first = (*head, *(f"  {part}" for part in beside))
    parts = [part for text in below for part in wrap(one_line(text), (room or 0) - len(_INDENT))]
    return [first, *((_INDENT, part) for part in parts)]


def _parts(event: AnyEvent) -> tuple[str, str, str, str]:
    """The word, what happened, what to, and what else there is to say."""
    match event:
        case StepUpdated():
            status, change, of = (
                event.status,
                event.change,
                f"{event.workflow_id} {event.workflow_label} / {event.step_name}",
            )
            more = _describe(event)
        case WorkflowFinished():
            failed = f"; not completed: {names(event.failed_steps)}" if event.failed_steps else ""
            status, change, more = event.status, "finished", f"{event.outcome}{failed}"
            of = f"{event.workflow_id} {event.workflow_label}"
        case IncidentUpdated() | ExecutorUpdated():
            status, change, of, more = event.status, kind_of(event), *describe_notice(event)
        case RepairEnded() | RetentionRan():
            status, change, of, more = "", kind_of(event), *describe_notice(event)
    return status, change, of, more


def _describe(event: StepUpdated) -> str:
    attempt = f"attempt {event.attempt}" if event.attempt > 1 or event.error else ""
    return ": ".join(part for part in (attempt, event.error) if part)


def _instant(at: datetime) -> str:
    """In UTC, to the millisecond."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='milliseconds')}Z"
