"""``workflow list``: find workflows by what they are, by their steps, and by the operator's word."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import click

from ..privacy.apply_display import apply_display
from ..states import OperatorStatus, WorkflowId, WorkflowState
from ..times import ago
from ..workflows.finding import Nested, nested_filter
from ..workflows.reasons import workflow_reason
from ..workflows.records import WorkflowRecord
from .exits import Exit
from .forms import Form
from .groups import examples
from .ids import parse_id
from .next_commands import command_line, find_worst
from .output import print_list
from .tables import Column, Table
from .target import Database, answering
from .text import state_beside
from .values import parse_instant
from .workflow_text import is_hindered, time_taken


def _inside(workflow: WorkflowRecord) -> str:
    return f" in {workflow.parent_id}" if workflow.parent_id is not None else ""


WORKFLOWS: Final = Table[WorkflowRecord](
    (
        Column("STATUS", lambda workflow: workflow.status, whole=True),
        Column("ID", lambda workflow: workflow.id, whole=True),
        Column("NAME", lambda workflow: f"{workflow.name}{_inside(workflow)}"),
        Column(
            "STATE",
            lambda workflow: state_beside(workflow.status, workflow.state),
            whole=True,
            else_=lambda workflow: workflow.state,
        ),
        Column("STEPS", lambda workflow: f"{workflow.total - workflow.open}/{workflow.total}", whole=True),
        Column("FAILED", lambda workflow: workflow.failed or None, number=True),
        Column("CANCELLED", lambda workflow: workflow.cancelled or None, number=True, spare=True),
        Column("EXPIRED", lambda workflow: workflow.expired or None, number=True, spare=True),
        Column("INSERTED", lambda workflow: ago(workflow.inserted_at), whole=True),
        Column("TIME", lambda workflow: time_taken(workflow.inserted_at, workflow.finished_at), whole=True, spare=True),
    ),
    sentence=workflow_reason,
)
"""The columns of the list; below each workflow is what gives it its status."""


def _parse_fields(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, Any] | None:
    """``account_id=42`` and ``region=eu`` as fields: a value that is JSON is that, any other is text."""
    fields: dict[str, Any] = {}
    for pair in value:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{pair!r} is not FIELD=VALUE, as in account_id=42", ctx, param)
        try:
            fields[name] = json.loads(text)
        except ValueError:
            fields[name] = text
    return fields or None


_WORDS: Final = click.Choice([word.value for word in OperatorStatus], case_sensitive=False)

_FILTERS: Final = (
    click.option("--status", type=_WORDS, metavar="WORD", help="Only with this word, such as 'needs review'."),
    click.option("--state", type=click.Choice([state.value for state in WorkflowState]), help="Only in this state."),
    click.option("--name", help="Only of this name."),
    click.option("--tag", help="Only with this tag."),
    click.option("--key", "idempotency_key", help="Only the one with this idempotency key."),
    click.option("--label", help="Only with this label in the context."),
    click.option(
        "--context", multiple=True, callback=_parse_fields, metavar="FIELD=VALUE", help="Only with this in the context."
    ),
    click.option("--worker", help="Only with a step of this worker, as in myapp.workers.Bill."),
    click.option("--step", metavar="NAME", help="Only with a step of this name."),
    click.option("--error", metavar="WORDS", help="Only with a step whose last error has these words."),
    click.option(
        "--nested",
        type=click.Choice([each.value for each in Nested]),
        help="Whether to list those that run in others; without it they are when something is searched for.",
    ),
    click.option("--since", "inserted_from", callback=parse_instant, metavar="INSTANT", help="Inserted from then on."),
    click.option("--until", "inserted_to", callback=parse_instant, metavar="INSTANT", help="Inserted before."),
    click.option(
        "--finished-since", "finished_from", callback=parse_instant, metavar="INSTANT", help="Ended from then on."
    ),
    click.option("--finished-until", "finished_to", callback=parse_instant, metavar="INSTANT", help="Ended before."),
)


def _filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@click.command(
    "list",
    epilog=examples(
        "powertools workflow list --status 'needs review'",
        "powertools workflow list --context account_id=42 --error timeout",
        "powertools workflow list --state failed --finished-since 2026-11-21 --limit 10",
    ),
)
@_filtered
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", callback=parse_id, metavar="ID", help="Only older than this workflow: the next page.")
@answering
async def list_workflows(
    target: Database,
    *,
    nested: str | None,
    limit: int,
    before: int | None,
    form: Form,
    **filters: str | datetime | dict[str, Any] | None,
) -> int:
    """List workflows that fit everything that is given, newest first."""
    asked: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    searches = bool(asked.keys() - {"status", "state"})
    with_nested = nested_filter(Nested(nested) if nested else None, searches=searches)
    async with target.snapshot() as calls:
        older = WorkflowId(before) if before else None
        workflows = await calls.workflows.list(**asked, nested=with_nested, limit=limit, before=older)
    workflows = [apply_display(target.display, workflow) for workflow in workflows]
    empty = "no workflow matches" if asked or nested or before else "no workflow yet"
    worst = find_worst(workflows)
    then = [_next_command(worst)] if worst else []
    print_list(form, "workflows", workflows, WORKFLOWS, empty=empty, limit=limit, then=then)
    return Exit.DONE


def _next_command(workflow: WorkflowRecord) -> str:
    return command_line("workflow", "explain" if is_hindered(workflow) else "show", workflow.id)
