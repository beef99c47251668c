"""Notices: what happens to incidents, executors, repairs and the retention is told by the commit of what it tells."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_powertools import (
    AnyEvent,
    Cursor,
    ExecutorUpdated,
    Incident,
    IncidentUpdated,
    Powertools,
    RepairEnded,
    RetentionRan,
)
from oban_powertools.errors import CommandRefusedError, InvalidArgumentError
from oban_powertools.events.notices import NOTICES, kind_of
from oban_powertools.events.topics import Topic
from oban_powertools.privacy.display import DisplayPolicy, Kind
from tests.support.by_hand import Hand, chain
from tests.support.executing import beat, stop
from tests.support.following import opened, take
from tests.support.troubles import TROUBLES, fail, plain, project

START = Cursor(0)
AT_ONCE = timedelta(milliseconds=1)
LATE: dict[str, Any] = {"executor_late_after": AT_ONCE, "executor_missing_after": timedelta(hours=1)}
MISSING: dict[str, Any] = {"executor_late_after": AT_ONCE, "executor_missing_after": AT_ONCE}


async def read(powertools: Powertools, topic: str, since: Cursor = START) -> Sequence[AnyEvent]:
    return await powertools.events.read_topic(topic, since=since)


async def kinds(hand: Hand, topic: str) -> list[str]:
    return [kind_of(event) for event in await read(hand.powertools, topic) if isinstance(event, NOTICES)]


async def retried(hand: Hand, **more: Any) -> None:
    """An operator retries a job that failed."""
    job_id = await plain(hand)
    await fail(hand, job_id)
    shown = await hand.powertools.lifeline.preview_repair(
        "ada", action="job_retry", target_type="job", target_id=job_id
    )
    await hand.powertools.lifeline.execute_repair(
        "ada", shown.preview_token or "", **{"reason": "the mail server is back", **more}
    )


# Incidents


async def test_an_incident_is_told_when_it_opens_is_acknowledged_is_over_and_comes_back(hand: Hand) -> None:
    trouble = TROUBLES["orphaned_jobs"]
    await trouble.happen(hand)
    [incident] = (await project(hand)).values()
    await hand.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")
    await trouble.end(hand)
    await project(hand)
    await trouble.happen(hand)
    await project(hand)

    events = await read(hand.powertools, "incident:all")

    assert [kind_of(event) for event in events if isinstance(event, IncidentUpdated)] == [
        "incident.opened",
        "incident.acknowledged",
        "incident.resolved",
        "incident.reopened",
    ]
    opened_, acknowledged, resolved, _ = [event for event in events if isinstance(event, IncidentUpdated)]
    assert (opened_.incident_id, opened_.fingerprint, opened_.title) == (
        incident.id,
        incident.fingerprint,
        incident.title,
    )
    assert (opened_.state, acknowledged.state, resolved.state) == ("active", "acknowledged", "resolved")
    assert (opened_.actor, acknowledged.actor) == (None, "ada")
    assert resolved.because == "none of the jobs is executing any more, or their executor is known"


async def test_a_projection_that_finds_nothing_new_tells_nothing(hand: Hand) -> None:
    await TROUBLES["orphaned_jobs"].happen(hand)
    await project(hand)
    head = await hand.powertools.events.head()

    await project(hand)

    assert await hand.powertools.events.head() == head


async def test_a_change_that_is_rolled_back_is_not_told(hand: Hand) -> None:
    await TROUBLES["orphaned_jobs"].happen(hand)
    async with hand.conn.transaction(force_rollback=True):
        await hand.session.run("project_incidents", {"fingerprint": None})

    assert await read(hand.powertools, "incident:all") == []


async def test_what_happens_to_a_muted_incident_is_told_as_muted_also_its_end(hand: Hand) -> None:
    trouble = TROUBLES["orphaned_jobs"]
    await trouble.happen(hand)
    [incident] = (await project(hand)).values()
    soon = datetime.now(UTC) + timedelta(hours=1)
    await hand.powertools.lifeline.mute_incident(incident.id, until=soon, reason="wait for it", actor="ada")
    await trouble.end(hand)
    await project(hand)

    events = await read(hand.powertools, "incident:all")

    assert [event.muted for event in events if isinstance(event, IncidentUpdated)] == [False, True]


MUTE_ENDS = "UPDATE powertools.incidents SET muted_until = muted_until - interval '2 h'"
"""As if two hours had passed."""


async def muted(hand: Hand) -> Incident:
    await TROUBLES["orphaned_jobs"].happen(hand)
    [incident] = (await project(hand)).values()
    until = datetime.now(UTC) + timedelta(hours=1)
    await hand.powertools.lifeline.mute_incident(incident.id, until=until, reason="wait for it", actor="ada")
    return incident


async def test_an_incident_whose_mute_ends_while_it_is_active_is_told_once(hand: Hand) -> None:
    incident = await muted(hand)
    await project(hand)
    await hand.rows(MUTE_ENDS)
    for _ in range(3):
        await project(hand)

    events = await read(hand.powertools, "incident:all")

    _, changed = [event for event in events if isinstance(event, IncidentUpdated)]
    assert (changed.incident_id, changed.change, changed.because) == (incident.id, "changed", "its mute has ended")
    assert (changed.unmuted, changed.muted, changed.state) == (True, False, "active")
    assert (await hand.powertools.lifeline.get_incident(incident.id)).muted_until is None


async def test_one_that_somebody_has_taken_is_told_no_more(hand: Hand) -> None:
    incident = await muted(hand)
    await hand.powertools.lifeline.acknowledge_incident(incident.id, actor="ada")
    await hand.rows(MUTE_ENDS)
    await project(hand)

    assert await kinds(hand, "incident:all") == ["incident.opened", "incident.acknowledged"]


async def test_one_that_is_over_by_then_is_told_as_over_alone(hand: Hand) -> None:
    await muted(hand)
    await hand.rows(MUTE_ENDS)
    await TROUBLES["orphaned_jobs"].end(hand)
    await project(hand)

    assert await kinds(hand, "incident:all") == ["incident.opened", "incident.resolved"]


async def test_a_thousand_incidents_of_one_look_are_one_batch(hand: Hand) -> None:
    await beat(hand, *[f"p{n}" for n in range(1000)])

    await project(hand, **LATE)

    opened_ = await hand.rows("SELECT batch_id FROM powertools.notices WHERE kind = 'incident.opened'")
    assert (len(opened_), len({row["batch_id"] for row in opened_})) == (1000, 1)


# Executors


async def test_an_executor_is_told_once_when_it_is_late_or_missing_and_when_it_has_recovered(hand: Hand) -> None:
    await beat(hand, "p1")
    for ages in (LATE, LATE, MISSING, MISSING):
        await project(hand, **ages)
    await beat(hand, "p1")
    for _ in range(2):
        await project(hand)

    assert await kinds(hand, "executor:all") == ["executor.late", "executor.missing", "executor.recovered"]


@pytest.mark.parametrize("ages", [LATE, MISSING], ids=["late", "missing"])
async def test_an_executor_that_was_told_as_ailing_and_stops_in_good_order_is_told_once(
    hand: Hand, ages: dict[str, Any]
) -> None:
    await beat(hand, "p1")
    await project(hand, **ages)
    await stop(hand, "p1")
    for _ in range(2):
        await project(hand)

    _, over = await read(hand.powertools, "executor:all")
    assert isinstance(over, ExecutorUpdated)
    assert (over.change, over.state, over.status, over.process_alive) == ("recovered", "stopped", "Stopped", False)


async def test_an_executor_that_stops_in_good_order_is_no_news(hand: Hand) -> None:
    await beat(hand, "p1")
    await project(hand)
    await stop(hand, "p1")
    await project(hand)

    assert await kinds(hand, "executor:all") == []


# Repairs and the retention


async def test_a_repair_is_told_with_its_record_who_why_and_what(hand: Hand) -> None:
    await retried(hand)

    [event] = await read(hand.powertools, "audit:all")

    [record] = await hand.powertools.audit.list(outcome="executed")
    assert isinstance(event, RepairEnded)
    assert (event.audit_id, event.action, event.outcome) == (record.id, "job_retry", "executed")
    assert (event.actor, event.reason, event.target_id) == ("ada", "the mail server is back", record.target_id)


async def test_a_repair_that_is_refused_is_told_with_its_code(hand: Hand) -> None:
    with pytest.raises(CommandRefusedError):
        await retried(hand, reason="no")

    [event] = await read(hand.powertools, "audit:all")

    assert isinstance(event, RepairEnded)
    assert (event.outcome, event.code) == ("refused", "reason_too_short")


async def test_a_repair_that_drifted_is_told_as_drifted(hand: Hand) -> None:
    job_id = await plain(hand)
    await fail(hand, job_id)
    shown = await hand.powertools.lifeline.preview_repair(
        "ada", action="job_retry", target_type="job", target_id=job_id
    )
    await hand.rows("UPDATE oban_jobs SET priority = 3 WHERE id = %s", job_id)

    with pytest.raises(CommandRefusedError):
        await hand.powertools.lifeline.execute_repair("ada", shown.preview_token or "", "the mail server is back")

    assert await kinds(hand, "audit:all") == ["repair.drifted"]


async def test_what_powertools_does_by_itself_and_what_the_host_tells_are_no_repairs(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.powertools.events.publish(workflow_id, "s0", "started")
    await TROUBLES["dead_executor"].happen(hand)
    await TROUBLES["dead_executor"].end(hand)

    assert await hand.one("SELECT count(*) FROM powertools.audit") > 1
    assert await kinds(hand, "audit:all") == []


async def test_a_run_of_the_retention_is_told_when_it_has_ended_and_a_rehearsal_is_not(hand: Hand) -> None:
    await hand.powertools.lifeline.run_archive_prune("ada", reason="room is needed", dry_run=True)
    run = await hand.powertools.lifeline.run_archive_prune("ada", reason="room is needed")

    [event] = await read(hand.powertools, "audit:all")

    assert isinstance(event, RetentionRan)
    assert (event.run_id, event.outcome, event.actor, event.reason) == (run.id, "done", "ada", "room is needed")


# The log


async def test_notices_and_events_share_one_log_whose_cursors_have_no_gaps(hand: Hand) -> None:
    await hand.run_all(await hand.insert(chain(2)))
    await TROUBLES["orphaned_jobs"].happen(hand)
    await project(hand)
    await hand.run_all(await hand.insert(chain(1)))
    await retried(hand)

    of_each = [await read(hand.powertools, topic) for topic in ("workflow:all", "incident:all", "audit:all")]

    assert all(of_each)
    everything = sorted(event.cursor for events in of_each for event in events)
    assert everything == list(range(1, await hand.powertools.events.head() + 1))


@pytest.mark.parametrize("page", [1, 2, 7])
async def test_a_topic_is_read_in_pages_without_a_gap(hand: Hand, page: int) -> None:
    for _ in range(3):
        await retried(hand)
        await hand.run_all(await hand.insert(chain(2)))
    everything = await read(hand.powertools, "audit:all")
    since, found = START, list[AnyEvent]()

    while events := await hand.powertools.events.read_topic("audit:all", since=since, limit=page):
        found += events
        since = events[-1].cursor

    assert found == everything
    assert len(found) == 3


async def test_each_topic_is_followed_live_with_its_events_alone(hand: Hand) -> None:
    async with (
        opened(hand.dsn) as reader,
        reader.events.subscribe_all() as workflows,
        reader.events.subscribe_incidents() as incidents,
        reader.events.subscribe("incident:4711") as of_another,
        reader.events.subscribe_audit() as audit,
    ):
        await TROUBLES["orphaned_jobs"].happen(hand)
        [incident] = (await project(hand)).values()
        await retried(hand)
        await hand.insert(chain(1))

        [event], [repair], [of_workflow] = await take(incidents, 1), await take(audit, 1), await take(workflows, 1)
        async with reader.events.subscribe_incidents(incident.id, since=START) as of_one:
            assert await take(of_one, 1) == [event]

    assert (event.incident_id, event.change) == (incident.id, "opened")
    assert isinstance(repair, RepairEnded)
    assert of_workflow.to_dict()["change"] == "released"
    assert of_another.cursor == of_workflow.cursor or of_another.cursor < of_workflow.cursor


async def test_who_comes_back_with_a_cursor_is_given_what_came_meanwhile(hand: Hand) -> None:
    async with opened(hand.dsn) as reader:
        await retried(hand)
        async with reader.events.subscribe_audit(since=START) as audit:
            [first] = await take(audit, 1)
        await retried(hand)

        async with reader.events.subscribe_audit(since=first.cursor) as audit:
            [second] = await take(audit, 1)

    assert second.cursor > first.cursor


async def test_retention_of_the_log_removes_notices_too(hand: Hand) -> None:
    await retried(hand)
    await hand.powertools.events.head()
    await hand.rows("UPDATE powertools.event_batches SET inserted_at = now() - interval '8 days'")

    await hand.session.one("prune_events", {"batch": 1000})

    assert await hand.one("SELECT count(*) FROM powertools.notices") == 0


@pytest.mark.parametrize(
    "name", ["", "workflow", "workflow:", "workflow:x", "workflow:01", "incident:-1", "audit:1", "job:1", "executor:"]
)
def test_what_is_no_topic_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        Topic.parse(name)


@pytest.mark.parametrize("name", ["workflow:all", "workflow:42", "incident:7", "executor:app:oban:q:n:p", "audit:all"])
def test_a_topic_is_known_by_its_name(name: str) -> None:
    assert str(Topic.parse(name)) == name


# What may be seen


async def test_a_notice_goes_through_the_display_policy(hand: Hand) -> None:
    await retried(hand, reason="token=hunter2hunter2hunter2hunter2")

    [event] = await read(hand.powertools, "audit:all")

    assert "hunter2" not in str(event)


async def test_a_title_goes_through_the_display_policy(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    await TROUBLES["orphaned_jobs"].happen(hand)
    await project(hand)
    monkeypatch.setattr(DisplayPolicy, "render_text", lambda _, kind, text: f"{kind} of {len(text)}")

    [event] = await read(hand.powertools, "incident:all")

    assert isinstance(event, IncidentUpdated)
    assert event.title.startswith(f"{Kind.DETAILS} of ")
