"""``bulk preview | execute | status``: one repair for many targets, with an outcome for each."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import click

from ..calls import Calls
from ..errors import BulkCountError, BulkFilterError
from ..lifeline.incidents import incident_key
from ..lifeline.repairs import Bulk, BulkItem
from ..lifeline.repairs.bulk import CONFIRMED_ABOVE
from ..operators.authorization import Authorize
from ..privacy.apply_display import apply_display
from ..times import ago, moment
from .exits import Exit, StoppedError
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .incident_option import incident_option
from .incident_text import find_look
from .next_commands import command_line
from .output import note, print_facts, print_json, print_next, print_table, say
from .tables import Column, Table
from .target import Database, answering
from .values import accounted, acting, hold_for_option

_TARGETS: Final = Table[str]((Column("TARGET", str, whole=True),))
_ITEMS: Final = Table[BulkItem](
    (
        Column("OUTCOME", lambda item: item.outcome, whole=True),
        Column("TARGET", lambda item: item.target_id, whole=True),
        Column("ENDED", lambda item: ago(item.ended_at), whole=True),
    ),
    sentence=lambda item: item.detail or "",
)


@click.group(cls=Group)
def bulk() -> None:
    """Repair up to 1,000 targets: list them, then repair them one by one."""


@bulk.command(
    epilog=examples(
        "powertools bulk preview step_retry --state discarded --workflow-name billing",
        "powertools bulk preview job_cancel --id 7 --id 8",
        "powertools bulk preview job_cancel --left-by 3",
    )
)
@click.argument("action", metavar="ACTION")
@click.option("--id", "ids", multiple=True, metavar="TARGET", help="This one. May be repeated.")
@click.option("--state", metavar="STATE", help="In this state.")
@click.option("--queue", metavar="NAME", help="In this queue.")
@click.option("--worker", metavar="NAME", help="Of this worker.")
@click.option("--executor", "executor_id", metavar="ID", help="Jobs that this executor has in hand.")
@click.option("--workflow-name", metavar="NAME", help="Of workflows of this name.")
@click.option("--workflow-id", callback=parse_id, metavar="ID", help="Steps of this workflow.")
@click.option("--step", metavar="NAME", help="Steps of this name.")
@click.option("--cause", metavar="CAUSE", help="Steps that ended for this cause.")
@click.option("--tag", metavar="TAG", help="Workflows with this tag.")
@click.option("--signal", metavar="NAME", help="Stored signals of this name.")
@click.option(
    "--left-by", callback=parse_id, metavar="ID", help="What this bulk repair has left and the repair still fits."
)
@incident_option
@hold_for_option
@acting
@answering
async def preview(
    target: Database,
    *,
    action: str,
    ids: tuple[str, ...],
    left_by: int | None,
    incident: str | None,
    hold_for: timedelta | None,
    actor: str,
    authorize: Authorize,
    form: Form,
    **filters: Any,
) -> int:
    """List the targets of a bulk repair, and the token that executes it.

    A target has to match every filter.
    """
    naming = [name for name, value in {"--incident": incident, "--left-by": left_by, "--id": ids}.items() if value]
    if len(naming) > 1:
        raise click.UsageError(f"{naming[0]} names the targets: leave {naming[1]} away")
    async with target.calls(authorize) as calls:
        fingerprint = None
        if incident is not None:
            fingerprint, ids = await _find_targets(calls, action, incident)
        if left_by is not None:
            fingerprint, ids = await _find_left(calls, action, left_by)
        filter_ = {**filters, "ids": list(ids) or None}
        try:
            record = await calls.lifeline.preview_bulk(
                actor, action, filter_, incident_fingerprint=fingerprint, hold_for=hold_for, source="cli"
            )
        except BulkFilterError as error:
            raise type(error)(_name_options(error.found), f"--incident, or {_name_options(error.expected)}") from None
    if form.is_json:
        print_json({"bulk": record}, form)
        return Exit.DONE
    print_facts(
        {
            "bulk": str(record.id),
            "repair": record.action,
            "targets": str(record.total),
            "effect": record.action.row.does,
            "token": record.preview_token,
            "expires": moment(record.expires_at),
        }
    )
    say()
    print_table(_TARGETS, record.target_ids)
    for warning in record.warnings:
        note(f"warning: {warning}")
    sure = ["--confirm", record.total] if record.total > CONFIRMED_ABOVE else []
    print_next(command_line("bulk", "execute", record.preview_token, *sure, acts=True, reason=True))
    return Exit.DONE


def _name_options(said: str) -> str:
    """What is said of a filter, its keys by the options that set them."""
    options = {param.name: param.opts[0] for param in click.get_current_context().command.params}
    subject, colon, keys = said.partition("one at least of: ")
    if colon:
        return subject + colon + ", ".join(["--incident", *(options.get(key, key) for key in keys.split(", "))])
    return re.sub(r"^(names|says that) (\w+)", lambda found: f"{found[1]} {options.get(found[2], found[2])}", said)


async def _find_targets(calls: Calls, action: str, incident: str) -> tuple[str, tuple[str, ...]]:
    """The fingerprint of an incident, and the targets that it names for a repair."""
    record = await calls.lifeline.get_incident(incident_key(incident))
    named = [each.target_id for each in record.repairs if each.action == action]
    if targets := next((each.ids for each in record.bulk if each.action == action), tuple(named)):
        return record.fingerprint, targets
    legal = ", ".join(sorted({each.action for each in record.repairs})) or "none now"
    raise StoppedError(f"incident {record.id} names no target for {action}; its repairs: {legal}", Exit.CONFLICT)


async def _find_left(calls: Calls, action: str, bulk_id: int) -> tuple[str | None, tuple[str, ...]]:
    """The incident that a bulk repair was for, and the targets that it has left and that may still be repaired."""
    record = await calls.lifeline.bulk_status(bulk_id)
    if record.action.value != action:
        raise StoppedError(f"bulk {bulk_id} was a {record.action}, not a {action}", Exit.CONFLICT)
    if record.status != "done":
        raise StoppedError(f"bulk {bulk_id} is {record.status}: it has not left anything yet", Exit.CONFLICT)
    if not record.repairable:
        raise StoppedError(f"bulk {bulk_id} has left nothing that {action} fits now", Exit.CONFLICT)
    return record.incident_fingerprint, tuple(record.repairable)


@bulk.command(epilog=examples("powertools bulk execute TOKEN --reason 'the bank is back'"))
@click.argument("token", metavar="TOKEN")
@click.option("--confirm", "confirm_total", type=int, metavar="NUMBER", help="How many targets; needed above 100.")
@accounted
@answering
async def execute(
    target: Database,
    *,
    token: str,
    confirm_total: int | None,
    actor: str,
    reason: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Repair the targets one by one; run again, it continues where it stopped.

    Exit code 1 when a target was not repaired.
    """
    async with target.calls(authorize) as calls:
        try:
            record = await calls.lifeline.execute_bulk(actor, token, reason, confirm_total=confirm_total, source="cli")
        except BulkCountError as error:
            error.add_note(f": --confirm {error.expected}")
            raise
    _print(apply_display(target.display, record), form=form)
    return Exit.DONE if record.outcomes.get("done") == record.total else Exit.FAILED


@bulk.command(epilog=examples("powertools bulk status 3"))
@click.argument("bulk_id", metavar="ID", callback=parse_id)
@answering
async def status(target: Database, *, bulk_id: int, form: Form) -> int:
    """Show the outcome of each target."""
    async with target.calls() as calls:
        _print(apply_display(target.display, await calls.lifeline.bulk_status(bulk_id)), form=form)
    return Exit.DONE


def _print(record: Bulk, *, form: Form) -> None:
    if form.is_json:
        print_json({"bulk": record}, form)
        return
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(record.outcomes.items()))
    print_facts({"bulk": f"{record.id} ({record.status})", "repair": record.action, "outcomes": outcomes})
    say()
    print_table(_ITEMS, record.items)
    if record.unlisted:
        note(f"{record.unlisted} more match by now; they are not in the manifest and were not touched")
    if record.status == "done":
        print_next(*_commands(record))


def _commands(done: Bulk) -> Iterator[str]:
    """What previews those that still can be repaired, and what shows whether it helped: the incident, or a target."""
    left = [item.target_id for item in done.items if item.outcome != "done"]
    hold_for = ["--for", f"{done.arguments['hold_for']}s"] if "hold_for" in done.arguments else []
    if done.repairable:
        yield command_line("bulk", "preview", done.action, "--left-by", done.id, *hold_for, acts=True)
    first = [*left, *(item.target_id for item in done.items)][:1]
    if done.incident_fingerprint is not None:
        yield command_line("incidents", "show", done.incident_fingerprint)
    yield from filter(None, (find_look(done.action.row.targets[0], target_id) for target_id in first))
