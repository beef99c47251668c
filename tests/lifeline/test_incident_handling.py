"""What operators do to incidents: allowed, attributed, audited, in the timeline; and never a resolution."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from oban_powertools import Incident, Lifeline
from oban_powertools.errors import (
    IncidentNotFoundError,
    IncidentResolvedError,
    NotAuthorizedError,
    ReasonRequiredError,
    UnattributedActorError,
)
from oban_powertools.operators.authorization import Guard
from tests.support.by_hand import Hand
from tests.support.command import powertools as run_command
from tests.support.troubles import TROUBLES, project

SOON = datetime.now(UTC) + timedelta(hours=1)
SECRET = "hunter2hunter2hunter2hunter2"

CALLS: dict[str, Callable[[Lifeline, Any, Any], Awaitable[Incident]]] = {
    "incident_acknowledge": lambda calls, which, actor: calls.acknowledge_incident(which, actor=actor),
    "incident_assign": lambda calls, which, actor: calls.assign_incident(which, "grace", actor=actor),
    "incident_note": lambda calls, which, actor: calls.note_incident(which, f"token={SECRET}", actor=actor),
    "incident_mute": lambda calls, which, actor: calls.mute_incident(
        which, until=SOON, reason="wait for it", actor=actor
    ),
}


async def opened(hand: Hand) -> Incident:
    await TROUBLES["orphaned_jobs"].happen(hand)
    [incident] = (await project(hand)).values()
    return incident


async def over(hand: Hand) -> None:
    await TROUBLES["orphaned_jobs"].end(hand)
    await project(hand)


@pytest.mark.parametrize("action", CALLS)
async def test_what_an_operator_does_is_audited_and_in_the_timeline(hand: Hand, action: str) -> None:
    incident = await opened(hand)

    changed = await CALLS[action](hand.powertools.lifeline, incident.fingerprint, "ada")

    [record] = await hand.powertools.audit.list()
    assert (record.actor_id, record.action, record.outcome) == ("ada", action, "executed")
    assert (record.target_type, record.target_id, record.incident_id) == ("incident", incident.fingerprint, incident.id)
    found = await hand.powertools.lifeline.get_incident(incident.id)
    assert [entry.actor for entry in found.timeline] == [None, "ada"]
    assert found.state == changed.state != "resolved"
    assert SECRET not in str(found) + str(record)


async def test_what_fails_for_another_reason_is_recorded_and_changes_nothing(hand: Hand) -> None:
    incident = await opened(hand)

    await hand.rows("ALTER TABLE powertools.incident_entries ADD CONSTRAINT nothing_more CHECK (false) NOT VALID")
    try:
        with pytest.raises(psycopg.errors.CheckViolation):
            await hand.powertools.lifeline.note_incident(incident.id, "seen", actor="ada")
    finally:
        await hand.rows("ALTER TABLE powertools.incident_entries DROP CONSTRAINT nothing_more")

    [record] = await hand.powertools.audit.list()
    assert (record.actor_id, record.action, record.outcome) == ("ada", "incident_note", "failed")
    assert record.details == {"error_type": "CheckViolation"}
    timeline = (await hand.powertools.lifeline.get_incident(incident.id)).timeline
    assert "noted" not in [entry.kind for entry in timeline]


async def test_a_note_is_kept_whatever_text_it_holds(hand: Hand) -> None:
    incident = await opened(hand)

    await hand.powertools.lifeline.note_incident(incident.id, "a\0b\ud800", actor="ada")

    [*_, noted] = (await hand.powertools.lifeline.get_incident(incident.id)).timeline
    assert noted.detail["note"] == "a\\u0000b\\ud800"


async def test_each_call_does_what_it_says(hand: Hand) -> None:
    incident = await opened(hand)
    for call in CALLS.values():
        await call(hand.powertools.lifeline, incident.id, {"id": "ada"})

    [found] = (await project(hand)).values()

    assert (found.state, found.acknowledged_by, found.assignee) == ("acknowledged", "ada", "grace")
    assert (found.muted_until, found.muted) == (SOON, True)
    assert (await hand.powertools.lifeline.assign_incident(incident.id, None, actor="ada")).assignee is None


async def test_what_comes_back_has_to_be_acknowledged_and_muted_again(hand: Hand) -> None:
    incident = await opened(hand)
    for call in CALLS.values():
        await call(hand.powertools.lifeline, incident.id, "ada")
    await over(hand)

    again = await opened(hand)

    assert (again.id, again.state, again.acknowledged_by, again.muted_until) == (incident.id, "active", None, None)
    assert again.assignee == "grace"


@pytest.mark.parametrize("action", CALLS)
@pytest.mark.parametrize(("actor", "error"), [("ada", NotAuthorizedError), ({}, UnattributedActorError)])
async def test_a_refusal_changes_nothing_and_is_audited_and_in_the_timeline(
    hand: Hand, action: str, actor: Any, error: type[Exception]
) -> None:
    incident = await opened(hand)
    powertools = hand.powertools
    refusing = Lifeline(replace(powertools._services, guard=Guard(None)))

    with pytest.raises(error):
        await CALLS[action](refusing, incident.id, actor)

    [record] = await powertools.audit.list()
    assert (record.action, record.outcome, record.incident_id) == (action, "refused", incident.id)
    found = await powertools.lifeline.get_incident(incident.id)
    assert [entry.kind for entry in found.timeline] == ["detected", action]
    assert (found.state, found.assignee, found.muted_until) == ("active", None, None)


async def test_a_mute_needs_an_end_and_a_reason(hand: Hand) -> None:
    incident = await opened(hand)
    mute: Any = hand.powertools.lifeline.mute_incident

    for until in (datetime.now(UTC) - timedelta(seconds=1), datetime(2199, 1, 1)):  # noqa: DTZ001 - naive on purpose
        with pytest.raises(ValueError, match="aware instant in the future"):
            await mute(incident.id, until=until, reason="wait for it", actor="ada")
    with pytest.raises(ReasonRequiredError):
        await mute(incident.id, until=SOON, reason=" ", actor="ada")


async def test_what_is_over_is_neither_acknowledged_nor_muted_but_noted(hand: Hand) -> None:
    incident = await opened(hand)
    await over(hand)

    for action in ("incident_acknowledge", "incident_mute"):
        with pytest.raises(IncidentResolvedError):
            await CALLS[action](hand.powertools.lifeline, incident.id, "ada")
    await CALLS["incident_note"](hand.powertools.lifeline, incident.id, "ada")

    found = await hand.powertools.lifeline.get_incident(incident.id)
    assert found.state == "resolved"
    kinds = [entry.kind for entry in found.timeline]
    assert kinds == ["detected", "resolved", "incident_acknowledge", "incident_mute", "noted"]


async def test_what_does_not_exist_is_not_found_and_empty_words_are_refused(hand: Hand) -> None:
    calls = hand.powertools.lifeline

    for which in (7, "wait_overdue:nothing"):
        with pytest.raises(IncidentNotFoundError, match=str(which)):
            await calls.get_incident(which)
        with pytest.raises(IncidentNotFoundError):
            await calls.acknowledge_incident(which, actor="ada")
    with pytest.raises(ValueError, match="note is empty"):
        await calls.note_incident(1, " ", actor="ada")
    with pytest.raises(ValueError, match="assignee is empty"):
        await calls.assign_incident(1, " ", actor="ada")
    with pytest.raises(ValueError, match="nonsense"):
        await calls.list_incidents(state="nonsense")


async def test_pages_follow_one_another(hand: Hand) -> None:
    for queue in ("a", "b", "c"):
        await hand.rows(
            "INSERT INTO oban_jobs (state, queue, worker, args, attempted_by)"
            " VALUES ('executing', 'default', 'x', '{}', ARRAY['node', %s])",
            queue,
        )
    everything = [*(await project(hand)).values()]

    calls = hand.powertools.lifeline
    pages = [await calls.list_incidents(limit=2), await calls.list_incidents(limit=2, before=everything[1].id)]

    assert [len(page) for page in pages] == [2, 1]
    assert [incident for page in pages for incident in page] == everything
    assert (
        await calls.list_incidents(incident_class="wait_overdue") == await calls.list_incidents(state="resolved") == []
    )


async def test_the_command_lists_shows_and_handles_them(hand: Hand) -> None:
    incident = await opened(hand)
    given = str(incident.id)

    listed = run_command("incidents", "list", "--fail-on", "active", dsn=hand.dsn, COLUMNS="200")
    acked = run_command("incidents", "ack", given, dsn=hand.dsn)
    after = run_command("incidents", "list", "--fail-on", "active", "--json", dsn=hand.dsn)
    noted = run_command("incidents", "note", incident.fingerprint, "looked", dsn=hand.dsn)
    shown = run_command("incidents", "show", given, dsn=hand.dsn)
    missing = run_command("incidents", "show", "99", dsn=hand.dsn)

    assert (listed.code, acked.code, after.code, noted.code, shown.code, missing.code) == (6, 0, 0, 0, 0, 3)
    assert incident.title in listed.out
    assert acked.out == f"incident {given} is acknowledged\n"
    assert {*after.json} == {"schema_version", "incidents", "next_before"}
    assert after.json["incidents"][0]["fingerprint"] == incident.fingerprint
    assert "looked" in shown.out and "orphaned_by_missing_executor" in shown.out


async def test_the_command_assigns_and_mutes(hand: Hand) -> None:
    given = str((await opened(hand)).id)

    assigned = run_command("incidents", "assign", given, "ada", "--json", dsn=hand.dsn)
    muted = run_command("incidents", "mute", given, "--for", "1h", "--reason", "wait for it", "--json", dsn=hand.dsn)
    quiet = run_command("incidents", "list", "--fail-on", "open", dsn=hand.dsn)
    nobody = run_command("incidents", "assign", given, dsn=hand.dsn)

    assert (assigned.code, muted.code, quiet.code, nobody.code) == (0, 0, 0, 2)
    assert assigned.json["incident"]["assignee"] == "ada"
    assert muted.json["incident"]["muted_until"] > datetime.now(UTC).isoformat()
    assert {record.surface for record in await hand.powertools.audit.list()} == {"cli"}
