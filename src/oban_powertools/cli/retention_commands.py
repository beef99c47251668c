"""``retention``: how long records are kept, and their removal.

The rule that must never break: nothing is removed without an actor and a reason.
"""

import asyncio

import click

from ..acts import Action
from ..operators.authorization import Authorize
from ..upkeep.retention import PruneRun, RetainedClass
from ..wire import to_json
from .confirming import confirm
from .exits import Exit
from .groups import Group, examples
from .output import note, print_facts, print_json, print_table
from .target import Target, answering, json_option, on_database
from .text import duration, instant
from .values import accounted


@click.group(cls=Group)
def retention() -> None:
    """See how long records are kept, and remove what is older."""


@retention.command(epilog=examples("powertools retention status"))
@answering
async def status(target: Target, *, as_json: bool) -> int:
    """Show every class of records with its policy, its size and what is due.

    The policies are settings of the database: powertools settings list.
    """
    async with target.calls() as calls:
        record = await calls.lifeline.retention_status()
    if as_json:
        print_json(
            {
                "classes": [_class_json(retained) for retained in record.classes],
                "events_kept_for_seconds": record.events_kept_for.total_seconds(),
                "last_run": record.last_run,
            }
        )
        return Exit.DONE
    print_table(["CLASS", "KEPT FOR", "ARCHIVED", "ROWS", "SIZE", "DUE"], [*map(_row, record.classes)])
    if record.last_run:
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
@json_option
def prune(
    target: Target,
    *,
    dry_run: bool,
    yes: bool,
    actor: str,
    authorize: Authorize,
    reason: str,
    as_json: bool,
) -> int:
    """Remove every record whose time is over; some classes are archived.

    The sweep does the same by itself. On a terminal it asks first; without one it needs --yes, except for a dry run.
    Exit code 1 when a class could not be pruned.
    """
    confirm(Action.ARCHIVE_PRUNE, yes or dry_run, "--yes", lambda: "Remove every record whose time is over?")
    run = asyncio.run(_prune(target, authorize, actor, reason, dry_run=dry_run))
    if as_json:
        print_json({"run": run})
    else:
        _print_run(run)
    return Exit.FAILED if run.outcome == "failed" else Exit.DONE


async def _prune(target: Target, authorize: Authorize, actor: str, reason: str, *, dry_run: bool) -> PruneRun:
    async with target.calls(authorize) as calls:
        return await calls.lifeline.run_archive_prune(actor, reason=reason, dry_run=dry_run, source="cli")


def _print_run(run: PruneRun) -> None:
    rows = [(name, str(count), str(run.archived.get(name, 0))) for name, count in run.pruned.items()]
    if rows:
        print_table(["CLASS", "REMOVED", "ARCHIVED"], rows)
    print_facts({"run": _ended(run), "error": run.error or ""})


def _ended(run: PruneRun) -> str:
    subject = "dry run, rolled back" if run.dry_run else f"{run.id} by {run.actor or 'the sweep'}"
    return f"{subject}: {run.outcome or 'under way'}, {sum(run.pruned.values())} rows removed"


def _row(retained: RetainedClass) -> tuple[str, ...]:
    return (
        retained.name,
        duration(retained.kept_for) if retained.kept_for is not None else "for ever",
        "yes" if retained.is_archived else "no",
        str(retained.rows),
        f"{retained.bytes / 2**20:.1f} MiB",
        "?" if retained.due is None else str(retained.due),
    )


def _class_json(retained: RetainedClass) -> dict[str, object]:
    seconds = None if retained.kept_for is None else retained.kept_for.total_seconds()
    fields = {name: value for name, value in to_json(retained).items() if name != "kept_for"}
    return {**fields, "kept_for_seconds": seconds}
