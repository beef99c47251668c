"""``incidents list``, ``show``, ``ack``, ``note``, ``assign`` and ``mute``: what is broken, and who takes care of it.

No command resolves an incident; only its evidence does (incidents/N2).
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from ..incident_classes import IncidentClass
from ..lifeline import Incident, Lifeline
from ..lifeline.incidents import incident_key
from ..operators.authorization import Authorize
from ..states import IncidentState
from ..times import ago, instant
from .executor_commands import nobody_lives
from .exits import Exit
from .forms import Form
from .groups import Group, examples
from .ids import parse_id
from .incident_option import on_incident
from .incident_text import concerned, first_looks, print_incident, say_unwatched, state_of
from .output import note as remark
from .output import print_json, print_list, say
from .tables import Column, Table
from .target import Database, answering
from .values import accounted, acting, parse_duration


def _left_open(incident: Incident) -> str:
    return incident.kept_open if not incident.count and incident.holds_until else ""


def _assigned(incident: Incident) -> str:
    return f"assigned to {incident.assignee}" if incident.assignee else ""


INCIDENTS: Final = Table[Incident](
    (
        Column("STATUS", lambda incident: incident.status, whole=True),
        Column("ID", lambda incident: incident.id, whole=True),
        Column("STATE", state_of, whole=True, else_=lambda incident: incident.state),
        Column("CLASS", lambda incident: incident.incident_class, whole=True),
        Column("COUNT", lambda incident: incident.count or None, number=True),
        Column("SINCE", lambda incident: ago(incident.opened_at), whole=True),
    ),
    sentence=lambda incident: "; ".join(
        filter(None, (incident.title, concerned(incident), _left_open(incident), _assigned(incident)))
    ),
)


@click.group(cls=Group)
def incidents() -> None:
    """See what is broken, one incident per cause, and record who takes care of it."""


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
    target: Database, *, limit: int, before: int | None, fail_on: str | None, form: Form, **only: str | None
) -> int:
    """List incidents as the sweep last projected them, the last opened first."""
    async with target.calls() as calls:
        seen_ago = await calls.lifeline.incidents_seen_ago()
        counts = await calls.lifeline.count_executors()
        rows = await calls.lifeline.list_incidents(
            state=only["state"], incident_class=only["kind"], before=before, limit=limit
        )
    then = first_looks(rows)
    print_list(form, "incidents", rows, INCIDENTS, empty="no incident", limit=limit, then=then)
    if unwatched := say_unwatched(seen_ago, nobody_lives=nobody_lives(counts)):
        remark(unwatched)
    return Exit.FINDINGS if fail_on and any(_alarms(incident, fail_on) for incident in rows) else Exit.DONE


@incidents.command(
    "show", epilog=examples("powertools incidents show 12", "powertools incidents show wait_overdue:payment")
)
@on_incident()
@answering
async def show(target: Database, *, incident: str, form: Form) -> int:
    """Show one incident, by id or fingerprint, with its evidence and everything that happened to it."""
    async with target.calls() as calls:
        record = await calls.lifeline.get_incident(incident_key(incident))
        seen_ago = await calls.lifeline.incidents_seen_ago()
    if form.is_json:
        print_json({"incident": record}, form)
        return Exit.DONE
    print_incident(record, seen_ago)
    return Exit.DONE


@incidents.command("ack", epilog=examples("powertools incidents ack 12", "powertools incidents ack --incident 12"))
@on_incident()
@acting
@answering
async def ack(target: Database, *, incident: str, actor: str, authorize: Authorize, form: Form) -> int:
    """Acknowledge an incident: you have seen it."""
    return await _handle(
        target,
        authorize,
        lambda calls: calls.acknowledge_incident(incident_key(incident), actor=actor, source="cli"),
        "is acknowledged",
        form,
    )


@incidents.command("note", epilog=examples('powertools incidents note 12 "restarted node-a"'))
@on_incident("text")
@click.argument("text", metavar="TEXT", required=False)
@acting
@answering
async def note(
    target: Database, *, incident: str, text: str | None, actor: str, authorize: Authorize, form: Form
) -> int:
    """Add a note to its timeline."""
    if text is None or not text.strip():
        raise click.UsageError("TEXT is empty")
    return await _handle(
        target,
        authorize,
        lambda calls: calls.note_incident(incident_key(incident), text, actor=actor, source="cli"),
        "has your note",
        form,
    )


@incidents.command(
    "assign", epilog=examples("powertools incidents assign 12 ada", "powertools incidents assign 12 --nobody")
)
@on_incident("assignee")
@click.argument("assignee", metavar="[WHO]", required=False)
@click.option("--nobody", is_flag=True, help="Take it from whoever has it.")
@acting
@answering
async def assign(
    target: Database,
    *,
    incident: str,
    assignee: str | None,
    nobody: bool,
    actor: str,
    authorize: Authorize,
    form: Form,
) -> int:
    """Assign it to somebody."""
    if nobody == bool(assignee and assignee.strip()):
        raise click.UsageError("name WHO takes care of it, or say --nobody")
    return await _handle(
        target,
        authorize,
        lambda calls: calls.assign_incident(incident_key(incident), assignee, actor=actor, source="cli"),
        f"is assigned to {assignee or 'nobody'}",
        form,
    )


@incidents.command("mute", epilog=examples('powertools incidents mute 12 --for 2h --reason "the fix is on its way"'))
@on_incident()
@click.option(
    "--for", "mute_for", callback=parse_duration, required=True, metavar="DURATION", help="How long: 90s, 30m, 2h, 1d."
)
@accounted
@answering
async def mute(
    target: Database, *, incident: str, mute_for: timedelta, actor: str, reason: str, authorize: Authorize, form: Form
) -> int:
    """Mute it for a while."""
    key, until = incident_key(incident), datetime.now(UTC) + mute_for
    return await _handle(
        target,
        authorize,
        lambda calls: calls.mute_incident(key, until=until, reason=reason, actor=actor, source="cli"),
        f"is muted until {instant(until)}",
        form,
    )


async def _handle(
    target: Database,
    authorize: Authorize,
    handle: Callable[[Lifeline], Coroutine[Any, Any, Incident]],
    became: str,
    form: Form,
) -> int:
    async with target.calls(authorize) as calls:
        record = await handle(calls.lifeline)
    if form.is_json:
        print_json({"incident": record}, form)
    else:
        say(f"incident {record.id} {became}")
    return Exit.DONE


def _alarms(incident: Incident, fail_on: str) -> bool:
    states = (IncidentState.ACTIVE,) if fail_on == "active" else (IncidentState.ACTIVE, IncidentState.ACKNOWLEDGED)
    return incident.state in states and not incident.muted
