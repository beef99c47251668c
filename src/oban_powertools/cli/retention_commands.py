"""``retention``: how long records are kept, and their removal.

The rule that must never break: nothing is removed without an actor and a reason.
"""

import asyncio
from datetime import timedelta
from typing import Final

import click

from ..acts import Action
from ..operators.authorization import Authorize
from ..times import duration, instant
from ..upkeep.retention import PruneRun, RecordClass, RetainedClass
from .confirming import confirm
from .exits import Exit
from .forms import Form, formatted
from .groups import Group, examples
from .next_commands import command_line
from .output import note, print_facts, print_json, print_list, print_table
from .tables import Column, Table
from .target import Database, answering, on_database
from .values import accounted


def _is_told_longer(retained: RetainedClass, events_kept_for: timedelta) -> bool:
    return retained.name is RecordClass.WORKFLOWS and (retained.kept_for or events_kept_for) < events_kept_for


def _span(retained: RetainedClass) -> str:
    return duration(retained.kept_for) if retained.kept_for is not None else "for ever"


_CLASSES: Final = Table[RetainedClass](
    (
        Column("CLASS", lambda retained: retained.name, whole=True),
        Column("KEPT FOR", _span, whole=True),
        Column("ARCHIVED", lambda retained: "yes" if retained.is_archived else "", whole=True),
        Column("ROWS", lambda retained: "?" if retained.rows is None else retained.rows, number=True),
        Column("SIZE", lambda retained: f"{retained.bytes / 2**20:.1f} MiB", number=True),
        Column("DUE", lambda retained: "?" if retained.due is None else retained.due, number=True),
    )
)
_REMOVED: Final = Table[tuple[str, int, int]](
    (
        Column("CLASS", lambda row: row[0], whole=True),
        Column("REMOVED", lambda row: row[1], number=True),
        Column("ARCHIVED", lambda row: row[2] or None, number=True),
    )
)


@click.group(cls=Group)
def retention() -> None:
    """See how long records are kept, and remove what is older."""


@retention.command(epilog=examples("powertools retention status"))
@answering
async def status(target: Database, *, form: Form) -> int:
    """Show every class of records with its policy, its size and what is due.

    The policies are settings of the database: powertools settings list.
    """
    async with target.calls() as calls:
        record = await calls.lifeline.retention_status()
    due = any(retained.due for retained in record.classes)
    print_list(
        form,
        "classes",
        record.classes,
        _CLASSES,
        empty="",
        then=[command_line("retention", "prune", "--dry-run", reason=True)] if due else [],
        events_kept_for_seconds=record.events_kept_for.total_seconds(),
        last_run=record.last_run,
    )
    if not form.is_json and any(_is_told_longer(retained, record.events_kept_for) for retained in record.classes):
        note(f"workflows stay while the log has events of them: {duration(record.events_kept_for)} (events_kept_for)")
    if record.last_run and not form.is_json:
        note(f"last run: {_ended(record.last_run)}, {instant(record.last_run.started_at)}")
    return Exit.DONE


@retention.command(
    epilog=examples(
        'powertools retention prune --dry-run --reason "see what is due"',
        'powertools retention prune --yes --reason "disk is filling up"',
    )
)
@click.option("--dry-run", is_flag=True, help="Do the first batch of each class for real, and roll it back.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@accounted
@on_database
@formatted
def prune(
    target: Database,
    *,
    dry_run: bool,
    yes: bool,
    actor: str,
    authorize: Authorize,
    reason: str,
    form: Form,
) -> int:
    """Remove every record whose time is over; some classes are archived.

    The sweep does the same by itself. On a terminal it asks first; without one it needs --yes, except for a dry run.
    Exit code 1 when a class could not be pruned.
    """
    confirm(Action.ARCHIVE_PRUNE, yes or dry_run, "--yes", lambda: "Remove every record whose time is over?")
    run = asyncio.run(_prune(target, authorize, actor, reason, dry_run=dry_run))
    if form.is_json:
        print_json({"run": run}, form)
    else:
        _print_run(run)
    return Exit.FAILED if run.outcome == "failed" else Exit.DONE


async def _prune(target: Database, authorize: Authorize, actor: str, reason: str, *, dry_run: bool) -> PruneRun:
    async with target.calls(authorize) as calls:
        return await calls.lifeline.run_archive_prune(actor, reason=reason, dry_run=dry_run, source="cli")


def _print_run(run: PruneRun) -> None:
    if run.pruned:
        print_table(_REMOVED, [(name, count, run.archived.get(name, 0)) for name, count in run.pruned.items()])
    print_facts({"run": _ended(run), "error": run.error or ""})


def _ended(run: PruneRun) -> str:
    subject = "dry run, rolled back" if run.dry_run else f"{run.id} by {run.actor or 'the sweep'}"
    return f"{subject}: {run.outcome or 'under way'}, {sum(run.pruned.values())} rows removed"
