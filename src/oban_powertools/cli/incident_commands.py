"""``incidents list``, ``show``, ``ack``, ``note``, ``assign`` and ``mute``: what is broken, and who takes care of it.

No command resolves an incident; only its evidence does (incidents/N2).
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import click
import orjson

from ..incident_classes import IncidentClass
from ..lifeline import Incident, Lifeline
from ..operators.authorization import Authorize
from ..states import IncidentState
from .exits import Exit
from .explain_text import bulk_command, repair_command
from .groups import Group, examples
from .ids import parse_id
from .output import note as remark
from .output import print_facts, print_json, print_table, say
from .target import Target, answering
from .text import counted, duration, instant
from .values import accounted, acting, parse_duration

_HEADERS: Final = ("ID", "STATE", "CLASS", "COUNT", "SINCE", "WAITING", "ASSIGNEE", "WHAT")
_SHOWN_REPAIRS: Final = 5
_FRESH: Final = timedelta(minutes=1)


@click.group(cls=Group)
def incidents() -> None:
    """See what is broken, one incident per cause, and record who takes care of it."""


def _which(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**63 else text


_incident: Final = click.argument("incident", metavar="INCIDENT")


@incidents.command(
    "list",
    epilog=examples(
        "powertools incidents list",
        "powertools incidents list --state resolved",
        "powertools incidents list --fail-on active",
    ),
)
@click.option(
    "--state", type=click.Choice([s.value for s in IncidentState]), help="Only in this state.  [default: open ones]"
)
@click.option("--class", "kind", type=click.Choice([c.value for c in IncidentClass]), help="Only of this class.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@click.option("--before", callback=parse_id, metavar="ID", help="Only those after this one in the list: the next page.")
@click.option(
    "--fail-on",
    type=click.Choice(["active", "open"]),
    help="Exit with 6 when one in the list is so; muted ones are passed over.",
)
@answering
async def list_incidents(
    target: Target, *, limit: int, before: int | None, fail_on: str | None, as_json: bool, **only: str | None
) -> int:
    """List incidents as the sweep last projected them, the last opened first."""
    async with target.calls() as calls:
        seen_ago = await calls.lifeline.incidents_seen_ago()
        rows = await calls.lifeline.list_incidents(
            state=only["state"], incident_class=only["kind"], before=before, limit=limit
        )
    more = rows[-1].id if len(rows) == limit else None
    if as_json:
        print_json({"incidents": rows, "next_before": more})
    elif rows:
        print_table(_HEADERS, [_row(incident) for incident in rows])
        if more:
            remark(f"more: --before {more}")
    else:
        remark("no incident")
    if seen_ago is None or seen_ago > _FRESH:
        when = "nobody has looked yet" if seen_ago is None else f"nobody has looked for {duration(seen_ago)}"
        remark(f"{when}: incidents are found by processes that sweep; powertools doctor says whether one does")
    return Exit.FINDINGS if fail_on and any(_alarms(incident, fail_on) for incident in rows) else Exit.DONE


@incidents.command(
    "show", epilog=examples("powertools incidents show 12", "powertools incidents show wait_overdue:payment")
)
@_incident
@answering
async def show(target: Target, *, incident: str, as_json: bool) -> int:
    """Show one incident, by id or fingerprint, with its evidence and everything that happened to it."""
    async with target.calls() as calls:
        record = await calls.lifeline.get_incident(_which(incident))
    if as_json:
        print_json({"incident": record})
        return Exit.DONE
    print_facts(
        {
            "incident": f"{record.id} {record.fingerprint}",
            "what": record.title,
            "state": f"{record.state} ({record.substatus})",
            "since": instant(record.opened_at),
            "first detected": instant(record.first_detected_at) if record.reopened else "",
            "last seen": instant(record.last_detected_at),
            "resolved": instant(record.resolved_at),
            "waiting": _waiting(record),
            "acknowledged by": record.acknowledged_by or "",
            "assignee": record.assignee or "",
            "muted until": instant(record.muted_until),
            "evidence": orjson.dumps({k: v for k, v in record.evidence.items() if k != "stacks"}).decode(),
        }
    )
    _print_stacks(record.evidence.get("stacks", ()))
    _print_repairs(record)
    say()
    print_table(
        ("AT", "WHAT", "WHO", "DETAIL"),
        [(instant(e.at), e.kind, e.actor or "powertools", orjson.dumps(e.detail).decode()) for e in record.timeline],
    )
    return Exit.DONE


def _print_stacks(entries: Any) -> None:
    """What its tasks were doing, the innermost frame last; the display policy may have left anything of it."""
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else ():
        stack: dict[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {"stack": [entry]}
        lines: Any = stack.get("stack")
        say()
        say(f"WHAT {f'JOB {stack["job_id"]}' if stack.get('job_id') else 'IT'} IS DOING")
        for line in cast("list[Any]", lines) if isinstance(lines, list) else [lines]:
            say(f"  {line}")


@incidents.command("ack", epilog=examples("powertools incidents ack 12"))
@_incident
@acting
@answering
async def ack(target: Target, *, incident: str, actor: str, authorize: Authorize, as_json: bool) -> int:
    """Acknowledge an incident: you have seen it."""
    return await _handle(
        target,
        authorize,
        lambda calls: calls.acknowledge_incident(_which(incident), actor=actor, source="cli"),
        "is acknowledged",
        as_json,
    )


@incidents.command("note", epilog=examples('powertools incidents note 12 "restarted node-a"'))
@_incident
@click.argument("text", metavar="TEXT")
@acting
@answering
async def note(target: Target, *, incident: str, text: str, actor: str, authorize: Authorize, as_json: bool) -> int:
    """Add a note to its timeline."""
    if not text.strip():
        raise click.UsageError("TEXT is empty")
    return await _handle(
        target,
        authorize,
        lambda calls: calls.note_incident(_which(incident), text, actor=actor, source="cli"),
        "has your note",
        as_json,
    )


@incidents.command(
    "assign", epilog=examples("powertools incidents assign 12 ada", "powertools incidents assign 12 --nobody")
)
@_incident
@click.argument("assignee", metavar="[WHO]", required=False)
@click.option("--nobody", is_flag=True, help="Take it from whoever has it.")
@acting
@answering
async def assign(
    target: Target,
    *,
    incident: str,
    assignee: str | None,
    nobody: bool,
    actor: str,
    authorize: Authorize,
    as_json: bool,
) -> int:
    """Assign it to somebody."""
    if nobody == bool(assignee and assignee.strip()):
        raise click.UsageError("name WHO takes care of it, or say --nobody")
    return await _handle(
        target,
        authorize,
        lambda calls: calls.assign_incident(_which(incident), assignee, actor=actor, source="cli"),
        f"is assigned to {assignee or 'nobody'}",
        as_json,
    )


@incidents.command("mute", epilog=examples('powertools incidents mute 12 --for 2h --reason "the fix is on its way"'))
@_incident
@click.option(
    "--for", "mute_for", callback=parse_duration, required=True, metavar="DURATION", help="How long: 90s, 30m, 2h, 1d."
)
@accounted
@answering
async def mute(
    target: Target, *, incident: str, mute_for: timedelta, actor: str, reason: str, authorize: Authorize, as_json: bool
) -> int:
    """Mute it for a while."""
    until = datetime.now(UTC) + mute_for
    return await _handle(
        target,
        authorize,
        lambda calls: calls.mute_incident(_which(incident), until=until, reason=reason, actor=actor, source="cli"),
        f"is muted until {instant(until)}",
        as_json,
    )


async def _handle(
    target: Target,
    authorize: Authorize,
    handle: Callable[[Lifeline], Coroutine[Any, Any, Incident]],
    became: str,
    as_json: bool,
) -> int:
    async with target.calls(authorize) as calls:
        record = await handle(calls.lifeline)
    if as_json:
        print_json({"incident": record})
    else:
        say(f"incident {record.id} {became}")
    return Exit.DONE


def _alarms(incident: Incident, fail_on: str) -> bool:
    states = (IncidentState.ACTIVE,) if fail_on == "active" else (IncidentState.ACTIVE, IncidentState.ACKNOWLEDGED)
    return incident.state in states and not incident.muted


def _print_repairs(incident: Incident) -> None:
    if not incident.repairs:
        return
    say()
    listed = incident.repairs[:_SHOWN_REPAIRS]
    print_table(("WHAT MAY BE DONE ABOUT IT",), [(repair_command(each, incident.fingerprint),) for each in listed])
    if (more := len(incident.repairs) - len(listed)) > 0:
        say(f"and {more} more")
    if incident.bulk:
        say()
        print_table(("MANY AT ONCE",), [(bulk_command(each),) for each in incident.bulk])


def _waiting(incident: Incident) -> str:
    steps, workflows = incident.waiting_steps, incident.waiting_workflows
    if not workflows:
        return ""
    return f"{counted(steps, 'step')} of {counted(workflows, 'workflow')}"


def _row(incident: Incident) -> tuple[str, ...]:
    return (
        str(incident.id),
        f"{incident.state} ({'muted' if incident.muted else incident.substatus})",
        incident.incident_class,
        str(incident.count),
        instant(incident.opened_at),
        _waiting(incident),
        incident.assignee or "",
        incident.title,
    )
