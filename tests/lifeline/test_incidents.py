"""Incidents: one a cause, which appears, stays, resolves by evidence and reopens in place (incidents/N1, N2)."""

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from oban import Oban
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Action, IncidentClass, IncidentState, Powertools, Settings, Workflow
from oban_powertools.lifeline.incidents import Projector
from tests.support.by_hand import Hand, chain, step
from tests.support.counted import count_now
from tests.support.executing import beat, die, rescue, silent, stop, take, watching
from tests.support.ledger import eventually
from tests.support.troubles import ADA, TROUBLES, fail, plain, project


def test_every_class_has_its_trouble() -> None:
    assert {*TROUBLES} == {*IncidentClass}


@pytest.mark.parametrize("name", TROUBLES)
async def test_an_incident_appears_stays_resolves_and_reopens_in_place(hand: Hand, name: str) -> None:
    trouble = TROUBLES[name]

    await trouble.happen(hand)
    appeared = (await project(hand, **trouble.settings))[trouble.fingerprint]
    stayed = (await project(hand, **trouble.settings))[trouble.fingerprint]
    await trouble.end(hand)
    open_then = await project(hand, **trouble.settings)
    resolved = await hand.powertools.lifeline.get_incident(appeared.id)
    await trouble.happen(hand)
    reopened = (await project(hand, **trouble.settings))[trouble.fingerprint]
    await trouble.end(hand)
    await project(hand, **trouble.settings)

    assert (appeared.incident_class, appeared.state, appeared.substatus) == (name, "active", "new")
    assert stayed == appeared
    assert trouble.fingerprint not in open_then
    assert (resolved.state, resolved.resolved_at is not None) == ("resolved", True)
    assert (reopened.id, reopened.state, reopened.substatus, reopened.reopened) == (
        appeared.id,
        "active",
        "regressed",
        1,
    )
    assert reopened.first_detected_at == appeared.first_detected_at < reopened.opened_at
    timeline = (await hand.powertools.lifeline.get_incident(trouble.fingerprint)).timeline
    kinds = [entry.kind for entry in timeline if entry.kind != "rescued"]
    assert kinds == ["detected", "resolved", "reopened", "resolved"]


async def test_a_dead_executor_is_one_incident_with_its_jobs_until_the_last_is_rescued(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3, tags=["eu"]))
    first, second = (await hand.job(workflow_id, "s0")).id, await plain(hand, max_attempts=3)
    await take(hand, first, "p1")
    await take(hand, second, "p1")
    await die(hand, "p1")

    [incident] = (await project(hand)).values()
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", second)
    [one_left] = (await project(hand)).values()

    assert (incident.incident_class, incident.count, incident.evidence["ids"]) == ("dead_executor", 2, [first, second])
    assert incident.title == "executor on node-a of default is gone with 2 jobs in hand"
    assert (incident.waiting_workflows, incident.waiting_steps) == (1, 3)
    assert incident.evidence["code"] == "orphaned_by_missing_executor"
    assert (one_left.id, one_left.count, one_left.evidence["ids"]) == (incident.id, 1, [first])
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", first)


async def test_what_was_rescued_is_in_the_timeline(hand: Hand) -> None:
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p1")
    await die(hand, "p1")
    [incident] = await hand.powertools.lifeline.project_incidents()

    await rescue(hand)
    await hand.powertools.lifeline.project_incidents()

    resolved = await hand.powertools.lifeline.get_incident(incident.fingerprint)
    assert [entry.kind for entry in resolved.timeline] == ["detected", "rescued", "resolved"]
    assert resolved.timeline[1].detail["job_id"] == job_id
    assert resolved.timeline[2].detail["because"] == "it has no job in hand any more"
    assert resolved.to_dict()["timeline"][0]["kind"] == "detected"


async def test_a_thousand_failures_of_one_cause_are_one_incident(hand: Hand) -> None:
    await hand.rows(
        "INSERT INTO oban_jobs (state, queue, worker, args, errors, attempt, discarded_at)"
        " SELECT 'discarded', 'default', 'app.Bill', '{}', jsonb_build_array(jsonb_build_object('error',"
        " 'ValueError: ' || n)), 1, timezone('UTC', now()) FROM generate_series(1, 1000) AS n"
    )

    [incident] = (await project(hand)).values()

    assert (incident.fingerprint, incident.count) == ("failing_jobs:app.Bill:ValueError", 1000)
    assert len(incident.evidence["ids"]) == 50


async def test_failures_of_other_workers_and_errors_are_incidents_of_their_own(hand: Hand) -> None:
    await fail(hand, *[await plain(hand, max_attempts=3) for _ in range(6)], error=KeyError("a"))
    await fail(hand, *[await plain(hand) for _ in range(4)])

    assert [*await project(hand)] == ["failing_jobs:tests.support.by_hand.Scripted:KeyError"]
    assert {*await project(hand, incident_failing_count=4)} == {
        "failing_jobs:tests.support.by_hand.Scripted:KeyError",
        "failing_jobs:tests.support.by_hand.Scripted:ValueError",
    }


async def test_pruned_rows_resolve_nothing(hand: Hand) -> None:
    await TROUBLES["failing_jobs"].happen(hand)
    await TROUBLES["callback_failed"].happen(hand)
    before = await project(hand)

    await hand.rows("DELETE FROM oban_jobs WHERE state = 'discarded'")

    assert {*await project(hand)} == {*before}
    assert len(before) == 2


async def test_nothing_ordinary_is_an_incident(hand: Hand) -> None:
    nested = Workflow("nested")
    nested.add("inner", step())
    nested.add("after", step(), deps="inner")
    workflow = Workflow("ordinary", on_finished=step())
    workflow.add("ready", step())
    workflow.add("waiting", step(), deps="ready")
    workflow.add("later", step(), delay=timedelta(hours=1))
    workflow.await_signal("paid", signal="payment", correlation_key="7", deadline=timedelta(hours=1))
    workflow.add_workflow("child", nested, deps="waiting")
    workflow.add_workflow("running_child", chain(2))
    held = await hand.insert(chain(2))
    await hand.workflows.hold(held, hold_for=timedelta(hours=1), **ADA)
    await hand.insert(workflow)
    failed = await hand.insert(chain(3))
    await hand.run(failed, {"s0": ValueError("once")})
    retrying = Workflow("retrying")
    retrying.add("s0", step(max_attempts=3))
    await hand.run(await hand.insert(retrying), {"s0": ValueError("once")})
    await beat(hand, "p1")
    await take(hand, (await hand.job(await hand.insert(chain(2)), "s0")).id, "p1", ago=3600)

    assert await project(hand) == {}


async def test_a_clean_stop_is_no_incident(dsn: str) -> None:
    async with Powertools.open(dsn, queues={"default": 2}) as powertools:
        assert len(await powertools.lifeline.list_executor_health()) == 1
    async with Powertools.open(dsn) as powertools:
        assert [e.state for e in await powertools.lifeline.list_executor_health()] == ["stopped"]
        async with powertools._services.connect() as session:
            await session.conn.execute(b"UPDATE powertools.executors SET late_after = '1 ms', missing_after = '2 ms'")
            await Projector(Settings()).project(session)
        assert await powertools.lifeline.list_incidents() == []


async def test_an_executor_that_was_replaced_or_forgotten_for_a_day_is_missing_no_more(hand: Hand) -> None:
    missing: Any = TROUBLES["executor_missing"].settings
    await beat(hand, "p1")
    await silent(hand, "p1", 60)
    assert len(await project(hand, **missing)) == 1

    await beat(hand, "p2")
    await hand.rows("UPDATE powertools.executors SET node = 'node-b' WHERE producer = 'p2'")
    assert [*await project(hand, **missing)] == []

    await stop(hand, "p2")
    assert len(await project(hand, **missing)) == 1
    await silent(hand, "p1", 86_400)
    assert [*await project(hand, **missing)] == []


async def test_a_blocked_event_loop_makes_an_executor_late_and_says_so(hand: Hand) -> None:
    await beat(hand, "p1")
    await hand.rows("UPDATE powertools.executors SET loop_beat_at = now() - interval '1 h'")

    [incident] = (await project(hand, executor_late_after=timedelta(seconds=2))).values()

    assert incident.title == "executor on node-a of default is late: its event loop is blocked"


async def test_a_workflow_that_nothing_can_move_is_stuck_with_a_snapshot(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3))
    await hand.rows("UPDATE powertools.steps SET pending = 2 WHERE name = 's1'")
    await hand.run(workflow_id, {"s0": 1})

    [incident] = (await project(hand)).values()
    again = await project(hand)
    await hand.workflows.request_cancel(workflow_id, **ADA)

    assert (incident.fingerprint, incident.count) == (f"workflow_stuck:workflow:{workflow_id}", 2)
    assert (
        incident.title == f"workflow {workflow_id} chain cannot move: none of its 2 open steps runs, waits or is held"
    )
    assert incident.evidence["steps"] == [
        {"name": "s1", "state": "pending", "pending": 1, "open_parents": 0},
        {"name": "s2", "state": "pending", "pending": 1, "open_parents": 1},
    ]
    assert incident.evidence["code"] == "waiting_on_dependencies"
    assert [*again] == [incident.fingerprint]
    assert await project(hand) == {}


async def test_workflows_of_unknown_semantics_are_one_incident(hand: Hand) -> None:
    await beat(hand, "p1")
    for _ in range(3):
        await hand.insert(chain(2))
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 9")

    [incident] = (await project(hand)).values()
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 2")

    assert (incident.fingerprint, incident.count) == ("workflow_stuck:semantics:9", 3)
    assert await project(hand) == {}


async def test_a_job_suspended_or_run_again_by_another_tool_is_an_outside_edit(hand: Hand) -> None:
    ended, live = await hand.insert(chain(1)), await hand.insert(chain(1))
    await hand.rows("UPDATE oban_jobs SET max_attempts = 3")
    await hand.run(ended, {"s0": 1})
    await beat(hand, "p1")
    await take(hand, (await hand.job(ended, "s0")).id, "p1")
    await hand.rows("UPDATE oban_jobs SET state = 'suspended' WHERE id = %s", (await hand.job(live, "s0")).id)

    found = await project(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE state = 'suspended'")
    await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE state = 'executing'")

    assert {*found} == {
        "outside_edit:job_retried:tests.support.by_hand.Scripted",
        "outside_edit:job_suspended:tests.support.by_hand.Scripted",
    }
    assert await project(hand) == {}


async def test_one_incident_alone_can_be_looked_at_again(hand: Hand) -> None:
    await TROUBLES["dead_executor"].happen(hand)
    await TROUBLES["callback_failed"].happen(hand)
    await project(hand)
    projector = Projector(Settings())
    fingerprint = TROUBLES["dead_executor"].fingerprint
    await rescue(hand)

    recomputed = await projector.recompute(hand.session, fingerprint)

    assert recomputed == (await hand.powertools.lifeline.get_incident(fingerprint)).id
    assert (await hand.powertools.lifeline.get_incident(fingerprint)).state == IncidentState.RESOLVED
    assert await projector.recompute(hand.session, "dead_executor:nobody") is None
    warned = await projector.warn(hand.session, TROUBLES["callback_failed"].fingerprint, Action.JOB_RETRY)
    assert warned is not None and "still active" in warned
    assert await projector.warn(hand.session, TROUBLES["callback_failed"].fingerprint, Action.STEP_SKIP) is None
    assert await projector.warn(hand.session, fingerprint, Action.JOB_RETRY) is None


async def test_two_projections_at_once_give_one_row_a_fingerprint_and_no_error(hand: Hand, shared_dsn: str) -> None:
    await TROUBLES["failing_jobs"].happen(hand)
    await TROUBLES["dead_executor"].happen(hand)
    projector = Projector(Settings())
    conns = [await psycopg.AsyncConnection.connect(shared_dsn, autocommit=True) for _ in range(4)]
    sessions = [hand.powertools._services.session_on(conn) for conn in conns]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(projector.project(session) for session in sessions))
            swept = await asyncio.gather(*(projector.sweep(session) for session in sessions))
    finally:
        for conn in conns:
            await conn.close()

    rows = await hand.rows("SELECT fingerprint, count(*) FROM powertools.incidents GROUP BY 1")
    assert sorted(row["count"] for row in rows) == [1, 1]
    assert await hand.one("SELECT count(*) FROM powertools.incident_entries") == 2
    assert swept == [False] * 4


async def test_the_sweep_of_a_running_process_projects(dsn: str) -> None:
    settings = Settings(sweep_every=timedelta(milliseconds=50), incidents_every=timedelta(milliseconds=50))
    async with AsyncConnectionPool(dsn, open=False) as pool:
        oban = Oban(pool=pool)
        powertools = Powertools(oban, settings=settings)
        async with powertools:
            async with pool.connection() as conn:
                await conn.execute(
                    "INSERT INTO oban_jobs (state, queue, worker, args, attempted_by) "
                    "VALUES ('executing', 'default', 'x', '{}', '{somewhere,else}')"
                )

            async def appeared() -> bool:
                return [i.fingerprint for i in await powertools.lifeline.list_incidents()] == [
                    "orphaned_jobs:somewhere:else"
                ]

            await eventually(appeared)
        await powertools.close()


async def test_a_projection_that_fails_is_logged_and_the_sweep_goes_on(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    await hand.rows("ALTER FUNCTION powertools.detect_orphans(bool) RENAME TO away")
    settings = Settings(incidents_every=timedelta(milliseconds=1))
    try:
        swept = await Projector(settings).sweep(hand.session)
    finally:
        await hand.rows("ALTER FUNCTION powertools.away(bool) RENAME TO detect_orphans")

    assert not swept
    assert "the projection of incidents failed" in caplog.text


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ("ValueError: no\n", "ValueError"),
        ('Traceback (...):\n  File "a.py", line 1\n    g()\n    ^^^\nmyapp.PayError: no\nmore\n', "myapp.PayError"),
        ("ValueError('x')", "ValueError"),
        ("KeyError", "KeyError"),
        ("** (RuntimeError) no such account\n    (app 1.0.0) lib/app.ex:12", "RuntimeError"),
        ("socket.timeout: timed out", "socket.timeout"),
        ("hunter2 is wrong", "unknown"),
        ("\n\n", "unknown"),
    ],
)
async def test_of_an_error_only_its_class_is_kept(hand: Hand, error: str, named: str) -> None:
    assert await hand.one("SELECT powertools.error_class_v1(jsonb_build_object('error', %s::text))", error) == named


async def test_a_witness_alone_is_healthy(hand: Hand) -> None:
    await watching(hand, 60)

    assert await project(hand) == {}


async def test_a_projection_reads_no_table_of_steps_jobs_or_waits_as_a_whole(hand: Hand) -> None:
    await hand.workflows.insert_many([chain(10) for _ in range(300)])
    await TROUBLES["failing_jobs"].happen(hand)
    await hand.rows("ANALYZE")
    before = await seq_scans(hand)

    await project(hand)
    after = await seq_scans(hand)
    await hand.rows("SELECT max(attempt) FROM oban_jobs")

    assert after == before != await seq_scans(hand)


async def seq_scans(hand: Hand) -> dict[str, int]:
    """Table -> how often it was read as a whole, by anybody."""
    await count_now(hand.conn)
    rows = await hand.rows(
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN"
        " ('steps', 'workflows', 'oban_jobs', 'waits', 'settle_faults', 'events')"
    )
    return {row["relname"]: row["seq_scan"] for row in rows}


SEEN_AT = "SELECT last_detected_at FROM powertools.incidents"


@pytest.mark.parametrize("alone", [False, True])
async def test_what_is_over_was_last_seen_when_somebody_looked_last(hand: Hand, *, alone: bool) -> None:
    trouble = TROUBLES["workflow_stuck"]
    await trouble.happen(hand)
    [opened] = (await project(hand, trouble.fingerprint, **trouble.settings)).values()
    await project(hand, **trouble.settings)
    looked_at = await hand.one("SELECT projected_at FROM powertools.incident_projection")
    written_at = await hand.one(SEEN_AT)
    await trouble.end(hand)

    await project(hand, opened.fingerprint if alone else None, **trouble.settings)

    assert await hand.one(SEEN_AT) == (written_at if alone else looked_at)
