"""``repair preview | execute | approve | show | list``: two commands, so that a plan is read before it is executed.

A severe repair asks for its target's name again.
"""

from datetime import timedelta
from typing import Any, Final

import click

from ..calls import Calls
from ..errors import CommandRefusedError, PreviewDriftedError, PreviewExpiredError, PreviewOfAnotherActorError
from ..lifeline.incidents import incident_key
from ..lifeline.repairs import Effect, RepairPreview
from ..lifeline.repairs.wording import WordedChange, word_changes
from ..operators.authorization import Action, Authorize, Severity
from ..plural import counted
from ..times import moment
from .confirming import confirm as confirm_act
from .exits import Exit, StoppedError
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .incident_option import incident_option
from .incident_text import find_look
from .next_commands import command_line
from .output import note, print_facts, print_json, print_next, print_table, say
from .repair_list import list_previews
from .tables import Column, Table
from .target import Database, answering
from .values import accounted, acting, hold_for_option, payload_option

_SHOWN: Final = 50
_SHOWN_HASH: Final = len("sha256:") + 8


_CHANGES: Final = Table[tuple[str, str, str, str]](
    (
        Column("ROW", lambda row: row[0], whole=True),
        Column("COLUMN", lambda row: row[1]),
        Column("NOW", lambda row: row[2]),
        Column("THEN", lambda row: row[3]),
    )
)


@click.group(cls=Group)
def repair() -> None:
    """Repair what is broken: preview a repair, then execute exactly that."""


def _target_type(action: str) -> str:
    return Action(action).row.targets[0] if action in Action else "job"


@repair.command(
    epilog=examples(
        "powertools repair preview step_retry 41/bill",
        "powertools repair preview workflow_hold 41 --for 2h",
        "powertools repair preview signal_redirect 9 --to 41/bill",
    )
)
@click.argument("action", metavar="ACTION")
@click.argument("target_id", metavar="TARGET")
@incident_option
@hold_for_option
@click.option("--to", metavar="STEP", help="The waiting step that takes it, of a redirected signal: 41/bill.")
@payload_option
@acting
@answering
async def preview(
    target: Database,
    *,
    action: str,
    target_id: str,
    incident: str | None,
    hold_for: timedelta | None,
    to: str | None,
    payload: Any,
    actor: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Preview a repair: show what it would do, and the token that executes it.

    TARGET is a job's, workflow's or signal's number, 41/bill for a step, or an executor's id.
    """
    async with target.calls(authorize) as calls:
        record = await calls.lifeline.preview_repair(
            actor,
            action=action,
            target_type=_target_type(action),
            target_id=target_id,
            incident_fingerprint=await _find_fingerprint(calls, incident),
            payload=payload,
            hold_for=hold_for,
            to=to,
            source="cli",
        )
    _print(record, form=form)
    return Exit.DONE


async def _find_fingerprint(calls: Calls, incident: str | None) -> str | None:
    key = None if incident is None else incident_key(incident)
    return (await calls.lifeline.get_incident(key)).fingerprint if isinstance(key, int) else key


@repair.command(epilog=examples("powertools repair execute TOKEN --reason 'the bank is back'"))
@click.argument("token", metavar="TOKEN")
@click.option("--confirm", metavar="TARGET", help="The target once more; needed where a mistake does severe harm.")
@accounted
@answering
async def execute(
    target: Database, *, token: str, confirm: str | None, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Execute exactly what was previewed, or nothing.

    Refused when a row of the plan has changed since: exit code 5, with the differences.
    """
    async with target.calls(authorize) as calls:
        previewed = await calls.lifeline.find_preview_of(token)
        if previewed is not None:
            confirm_act(previewed.action, confirm == previewed.target_id, f"--confirm {previewed.target_id}")
        try:
            repaired = await calls.lifeline.execute_repair(actor, token, reason, source="cli")
        except (PreviewDriftedError, PreviewExpiredError, PreviewOfAnotherActorError) as error:
            if previewed is None or form.is_json:
                raise
            raise StoppedError(f"{error}:\n{_advise(error, previewed)}", Exit.CONFLICT) from error
    if form.is_json:
        print_json({"repaired": repaired}, form)
    else:
        changed = counted(repaired.total_changes, "row")
        say(f"done: {repaired.target}, {changed} changed; audit record {repaired.audit_id}")
        if previewed is not None:
            print_next(_look_command(previewed))
    return Exit.DONE


@repair.command(epilog=examples("powertools repair approve 7 --reason 'the plan is right'"))
@click.argument("preview_id", metavar="ID", callback=parse_id)
@accounted
@answering
async def approve(
    target: Database, *, preview_id: int, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Approve a preview as the second person, where the policy wants one; its own actor executes it then."""
    async with target.calls(authorize) as calls:
        record = await calls.lifeline.approve_repair(actor, preview_id, reason, source="cli")
    if form.is_json:
        print_json({"approved": record}, form)
    else:
        say(f"approved: preview {preview_id}; audit record {record.id}")
        print_next(command_line("repair", "show", preview_id))
    return Exit.DONE


repair.add_command(list_previews)


@repair.command(epilog=examples("powertools repair show 7"))
@click.argument("preview_id", metavar="ID", callback=parse_id)
@answering
async def show(target: Database, *, preview_id: int, form: Form) -> int:
    """Show a preview again, without its token, with its status."""
    async with target.calls() as calls:
        _print(await calls.lifeline.get_preview(preview_id), form=form)
    return Exit.DONE


def _print(record: RepairPreview, *, form: Form) -> None:
    if form.is_json:
        print_json({"preview": record}, form)
        return
    print_facts(
        {
            "preview": f"{record.id} ({record.status})",
            "repair": f"{record.action} {record.target_type} {record.target_id}",
            "effect": _describe_effect(record.effect),
            "token": record.preview_token or "",
            "expires": moment(record.expires_at) if record.status == "ready" else "",
            "ended": moment(record.ended_at),
        }
    )
    rows = [line for change in word_changes(record.changes)[:_SHOWN] for line in _rows(change)]
    if rows:
        say()
        print_table(_CHANGES, rows)
    if record.total_changes > _SHOWN:
        note(f"{record.total_changes - _SHOWN} more rows: --json shows up to 1000")
    for warning in record.warnings:
        note(f"warning: {warning}")
    if record.preview_token is not None:
        print_next(_execute_command(record, record.preview_token))


def _preview_command(record: RepairPreview) -> str:
    """What previews the same again; the payload, which is kept nowhere, is the reader's to write."""
    arguments = record.arguments
    words: list[object] = ["repair", "preview", record.action, record.target_id]
    words += ["--incident", record.incident_fingerprint] if record.incident_fingerprint else []
    words += ["--for", f"{arguments['hold_for']}s"] if "hold_for" in arguments else []
    words += ["--to", arguments["to"]] if "to" in arguments else []
    words += ["--payload", "JSON"] if record.action is Action.STEP_COMPLETE else []
    return command_line(*words, acts=True)


def _advise(error: CommandRefusedError, record: RepairPreview) -> str:
    """What previews the same again, where that would be accepted; else what shows the target as it is."""
    fits = isinstance(error, PreviewOfAnotherActorError) or getattr(error, "refused", None) is None
    return _preview_command(record) if fits else _look_command(record)


def _look_command(done: RepairPreview) -> str:
    """What shows whether it helped: the incident, or the target."""
    if done.incident_fingerprint is not None:
        return command_line("incidents", "show", done.incident_fingerprint)
    return find_look(done.target_type, done.target_id) or command_line("incidents", "list")


def _execute_command(record: RepairPreview, token: str) -> str:
    sure = ["--confirm", record.target_id] if record.severity is Severity.SEVERE else []
    return command_line("repair", "execute", token, *sure, acts=True, reason=True)


def _rows(change: WordedChange) -> list[tuple[str, str, str, str]]:
    if change.is_new:
        _, state = change.fields.get("state", (None, None))
        return [(change.row, "", "", _value(state) or "new")]
    return [(change.row, field, _value(before), _value(after)) for field, (before, after) in change.fields.items()]


def _value(value: Any) -> str:
    """A value of a row; of what is only compared by its hash the beginning."""
    text = "" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return text[:_SHOWN_HASH] if text.startswith("sha256:") else text


def _describe_effect(effect: Effect) -> str:
    counts = (
        (effect.steps_released, "step", "released"),
        (effect.jobs_created, "job", "created"),
        (len(effect.workflows_ended), "workflow", "ended"),
        (len(effect.workflows_reopened), "workflow", "reopened"),
    )
    parts = [f"{counted(number, noun)} {done}" for number, noun, done in counts if number]
    events = ", ".join(f"{number} {kind}" for kind, number in effect.events.items())
    return "; ".join(filter(None, (", ".join(parts), f"events: {events}" if events else "")))
