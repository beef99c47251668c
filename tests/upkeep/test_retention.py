"""Retention removes what is over, keeps what is needed, archives first, and fails as a whole batch or not at all."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from oban_powertools import Settings, Workflow
from oban_powertools.errors import InvalidSettingError, NotAuthorizedError, ReasonRequiredError, UnattributedActorError
from oban_powertools.lifeline import Lifeline
from oban_powertools.operators.authorization import AllowAll, Guard, permissions_policy
from oban_powertools.privacy.display import DisplayPolicy
from oban_powertools.upkeep.retention import PruneRun, RecordClass, Retention, RetentionSweep, batches
from tests.support.by_hand import Hand, by_hand, chain, step
from tests.support.command import powertools
from tests.support.troubles import DECIDED

OLD = """
UPDATE powertools.workflows
SET inserted_at = inserted_at - interval '31 days', finished_at = finished_at - interval '31 days';
DELETE FROM powertools.event_batches
"""
"""As if all of this had been a month ago, and the log had been pruned since."""

IN_THE_WAY = "INSERT INTO powertools.archive (class, original_id, run_id, record) VALUES ('workflows', %s, 0, '{}')"

INCIDENT = """
INSERT INTO powertools.incidents (
  fingerprint, class, state, subject_type, subject_id, title, count, evidence, waiting_workflows, waiting_steps,
  first_detected_at, opened_at, last_detected_at, resolved_at
)
SELECT i.fingerprint, split_part(i.fingerprint, ':', 1), i.state, 'workflow', i.subject,
  'it broke', 1, '{}', 0, 0, now(),
  now(), now(), i.resolved_at
FROM (VALUES (%s, %s, %s, %s::timestamptz)) AS i (fingerprint, state, subject, resolved_at)
"""

SECRET = "s3cret-canary"


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Hand]:
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


async def retention(hand: Hand, authorize: Any = None, **kept: timedelta | None) -> Retention:
    await hand.settings(retention=kept)
    guard = Guard(authorize or AllowAll())
    return Retention(hand.services(guard=guard, display=DisplayPolicy()))


async def prune(hand: Hand, *, dry_run: bool = False, **kept: timedelta | None) -> PruneRun:
    pruning = await retention(hand, **kept)
    return await pruning.run_archive_prune("ops-1", reason="disk is filling up", dry_run=dry_run, source="api")


async def count(hand: Hand, table: str) -> int:
    return await hand.one(f"SELECT count(*) FROM powertools.{table}")


async def ended(hand: Hand, workflow: Workflow | None = None) -> int:
    workflow_id = await hand.insert(workflow or chain(3))
    await hand.run_all(workflow_id, {"token": SECRET})
    return workflow_id


async def test_an_ended_workflow_is_archived_once_with_its_id_and_removed(hand: Hand) -> None:
    workflow_id = await ended(hand, chain(3, context={"secret": SECRET}))
    await hand.rows(OLD)

    run = await prune(hand)

    assert (run.outcome, run.error) == ("done", None)
    assert [await count(hand, table) for table in ("workflows", "steps", "events")] == [0, 0, 0]
    archived = await hand.rows("SELECT original_id, part, run_id, record FROM powertools.archive ORDER BY part")
    assert [(row["original_id"], row["part"], row["run_id"]) for row in archived] == [
        (workflow_id, 0, run.id),
        (workflow_id, 1, run.id),
    ]
    assert archived[0]["record"]["state"] == "completed"
    assert [step["name"] for step in archived[1]["record"]] == ["s0", "s1", "s2"]
    assert (run.archived["workflows"], (await prune(hand)).pruned) == (2, {})


async def test_no_payload_comes_into_the_archive(hand: Hand) -> None:
    await ended(hand, chain(2, context={"secret": SECRET}))
    failed = Workflow("failing")
    failed.add("s0", step({"token": SECRET}))
    await hand.run(await hand.insert(failed), {"s0": ValueError(SECRET)})
    await hand.workflows.signal("nobody", SECRET[:3], {"token": SECRET})
    await hand.rows("UPDATE powertools.signals SET status = 'late', inserted_at = '2020-01-01'")
    await hand.rows(OLD)

    run = await prune(hand)

    assert run.pruned["signals"] == 1
    records = await hand.rows("SELECT record FROM powertools.archive")
    assert len(records) == 5
    assert SECRET not in json.dumps(records, default=str)


async def test_a_recent_workflow_and_one_that_runs_are_kept(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)
    recent = await ended(hand)
    old_but_running = await hand.insert(chain(2))
    await hand.rows("UPDATE powertools.workflows SET inserted_at = '2020-01-01' WHERE id = %s", old_but_running)

    await prune(hand)

    left = await hand.rows("SELECT id FROM powertools.workflows ORDER BY id")
    assert [row["id"] for row in left] == [recent, old_but_running]


async def test_what_ended_exactly_so_long_ago_is_pruned_and_a_second_later_is_not(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD.replace("31 days", "30 days"))
    newer = await ended(hand)
    await hand.rows(
        "UPDATE powertools.workflows SET finished_at = now() - interval '30 days' + interval '30 s' WHERE id = %s",
        newer,
    )

    await prune(hand)

    assert [row["id"] for row in await hand.rows("SELECT id FROM powertools.workflows")] == [newer]


async def test_a_family_goes_as_a_whole_or_not_at_all(hand: Hand) -> None:
    outer = Workflow("outer")
    outer.add_workflow("inner", chain(2))
    outer.add("after", step(), deps=["inner"])
    outer_id = await hand.insert(outer)
    inner_id = await hand.one("SELECT max(id) FROM powertools.workflows")
    await hand.run_all(inner_id)
    await hand.rows(OLD)

    unfinished = (await prune(hand)).pruned
    await hand.run_all(outer_id)
    await hand.rows(OLD)
    finished = (await prune(hand)).pruned

    assert unfinished == {}
    assert finished["workflows"] >= 6
    assert await count(hand, "workflows") == 0


async def test_a_workflow_that_something_open_needs_is_kept(hand: Hand) -> None:
    faulted, late = await ended(hand), await ended(hand)
    await hand.rows(OLD)
    await hand.rows(
        "INSERT INTO powertools.settle_faults (job_id, workflow_id, position, state, attempt, sqlstate, message) "
        "VALUES (999, %s, 0, 'completed', 1, 'XX000', 'broken')",
        faulted,
    )
    await hand.rows(
        "INSERT INTO powertools.late_results (job_id, attempt, attempted_at, attempted_by, state, queue, worker, "
        "workflow_id) VALUES (998, 1, now(), '{}', 'completed', 'q', 'w', %s)",
        late,
    )

    kept = (await prune(hand)).pruned
    await hand.rows("UPDATE powertools.settle_faults SET repaired_at = now()")
    await hand.rows(DECIDED)
    removed = (await prune(hand)).pruned

    assert kept == {}
    assert removed["workflows"] > 6


async def test_a_workflow_whose_events_can_still_be_read_is_kept(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD.partition(";")[0])

    assert (await prune(hand)).pruned == {}


async def test_a_workflow_that_somebody_works_on_is_passed_over(hand: Hand) -> None:
    held, free = await ended(hand), await ended(hand)
    await hand.rows(OLD)
    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        await other.execute("SELECT FROM powertools.workflows WHERE id = %s FOR UPDATE", (held,))
        await prune(hand)
        left = [row["id"] for row in await hand.rows("SELECT id FROM powertools.workflows")]

    assert (left, free in left) == ([held], False)


async def test_waits_and_signals_go_with_their_workflow_and_its_commands_are_archived(
    hand: Hand,
) -> None:
    workflow = Workflow("waiting")
    workflow.await_signal("approval", signal="approved", correlation_key="7")
    await hand.insert(workflow)
    await hand.workflows.signal("approved", "7", {"by": SECRET})
    failed = await hand.insert(chain(2))
    await hand.run(failed, {"s0": ValueError("no")})
    await hand.workflows.recover(failed, "s0", action="skip", actor="ops-1", reason="it was done by hand")
    await hand.run_all(failed)
    await hand.rows(OLD)

    await prune(hand)

    assert [await count(hand, table) for table in ("workflows", "waits", "signals")] == [0] * 3
    record = await hand.one(
        "SELECT record FROM powertools.archive WHERE class = 'workflows' AND part = 0 AND original_id = %s", failed
    )
    assert record["commands"][0]["reason"] == "it was done by hand"


async def test_a_stored_signal_is_kept_for_the_wait_that_may_come(hand: Hand) -> None:
    await hand.workflows.signal("early", "7")
    await hand.rows("UPDATE powertools.signals SET inserted_at = '2020-01-01'")

    assert (await prune(hand)).pruned == {}


async def test_heartbeats_of_executors_that_left_nothing_behind_go(hand: Hand) -> None:
    await hand.rows(
        """
        INSERT INTO powertools.executors (
          executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
          stopped_at, relieved_at
        )
        SELECT name, 'n', name, 'q', beat, beat, beat, beat, '15 s', NULL, relieved
        FROM (VALUES ('gone', now() - interval '8 days', now() - interval '8 days'),
          ('not relieved', now() - interval '8 days', NULL), ('recent', now(), NULL)) AS e (name, beat, relieved)
        """
    )

    run = await prune(hand)

    assert (run.pruned, run.archived) == ({"executors": 1}, {})
    left = await hand.rows("SELECT executor_id FROM powertools.executors ORDER BY 1")
    assert [row["executor_id"] for row in left] == ["not relieved", "recent"]


async def test_the_audit_is_archived_before_it_is_pruned_and_its_chain_holds(hand: Hand) -> None:
    await hand.rows("SELECT powertools.record_system_v1('job_rescue', 'job', ARRAY['1', '2'], 'gone')")
    await hand.rows("SELECT powertools.seal_audit_v1(1000)")
    await hand.rows(
        "ALTER TABLE powertools.audit_seals DISABLE TRIGGER audit_guard; "
        "UPDATE powertools.audit_seals SET sealed_at = sealed_at - interval '366 days', kept_until = now(); "
        "ALTER TABLE powertools.audit_seals ENABLE ALWAYS TRIGGER audit_guard"
    )
    ids = [row["id"] for row in await hand.rows("SELECT id FROM powertools.audit ORDER BY id")]

    run = await prune(hand)

    assert run.error is None
    archived = await hand.rows("SELECT original_id, record FROM powertools.archive WHERE class = 'audit' ORDER BY 1")
    assert [row["original_id"] for row in archived] == ids
    assert {row["record"]["action"] for row in archived} == {"job_rescue"}
    assert await hand.one("SELECT count(*) FROM powertools.audit WHERE action = 'job_rescue'") == 0


async def test_resolved_incidents_go_with_their_timeline_and_open_ones_keep_their_workflow(hand: Hand) -> None:
    workflow_id = await ended(hand)
    await hand.rows(OLD)
    await hand.rows(INCIDENT, "callback_failed:1", "active", str(workflow_id), None)
    await hand.rows(INCIDENT, "failing_jobs:w", "resolved", "w", "2020-01-01")
    await hand.rows(
        "INSERT INTO powertools.incident_entries (incident_id, kind) "
        "SELECT max(id), 'resolved' FROM powertools.incidents"
    )

    kept = (await prune(hand)).pruned
    await hand.rows("UPDATE powertools.incidents SET state = 'resolved', resolved_at = now()")
    removed = (await prune(hand)).pruned

    assert kept == {"incidents": 1}
    record = await hand.one("SELECT record FROM powertools.archive WHERE class = 'incidents'")
    assert (record["fingerprint"], [entry["kind"] for entry in record["entries"]]) == ("failing_jobs:w", ["resolved"])
    assert removed["workflows"] > 3


async def test_when_archiving_fails_nothing_is_deleted_and_a_failed_run_is_stored(hand: Hand) -> None:
    workflow_id = await ended(hand)
    await hand.rows(OLD)
    await hand.rows(IN_THE_WAY, workflow_id)
    await hand.rows("INSERT INTO powertools.signals (signal, correlation_key, status) VALUES ('a', 'b', 'late')")
    await hand.rows("UPDATE powertools.signals SET inserted_at = '2020-01-01'")

    run = await prune(hand)

    assert run.outcome == "failed"
    assert run.error is not None and run.error.startswith("workflows: duplicate key value")
    assert (await count(hand, "steps"), run.pruned) == (3, {"signals": 1})
    assert await hand.one("SELECT outcome FROM powertools.prune_runs") == "failed"
    outcomes = await hand.rows("SELECT outcome, actor_id FROM powertools.audit ORDER BY id")
    assert outcomes == [{"outcome": o, "actor_id": "ops-1"} for o in ("executed", "failed")]


async def test_a_dry_run_does_it_for_real_and_leaves_nothing_behind(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)

    run = await prune(hand, dry_run=True)

    assert (run.dry_run, run.id, run.outcome) == (True, None, "done")
    assert run.pruned == {"workflows": (await prune(hand)).pruned["workflows"]}


async def test_a_dry_run_changes_nothing(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)

    await prune(hand, dry_run=True)

    assert [await count(hand, table) for table in ("steps", "archive", "prune_runs", "audit")] == [3, 0, 0, 0]


async def test_many_batches_are_done_one_by_one(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 10)
    for _ in range(7):
        await ended(hand, chain(5))
    await hand.rows(OLD)

    run = await prune(hand)

    assert (run.archived["workflows"], await count(hand, "workflows")) == (14, 0)
    assert await hand.one("SELECT count(DISTINCT xmin::text) > 3 FROM powertools.archive")


@pytest.mark.parametrize(
    ("actor", "reason", "error"),
    [
        ({"id": "ops-2", "permissions": ["execute_repair"]}, "disk is full", NotAuthorizedError),
        ({"id": "", "permissions": ["archive_prune"]}, "disk is full", UnattributedActorError),
        ({"id": "ops-1", "permissions": ["archive_prune"]}, " ", ReasonRequiredError),
    ],
)
async def test_whoever_may_not_prune_is_refused_and_that_is_audited(
    hand: Hand, actor: dict[str, Any], reason: str, error: type[Exception]
) -> None:
    await ended(hand)
    await hand.rows(OLD)

    with pytest.raises(error):
        await (await retention(hand, permissions_policy())).run_archive_prune(
            actor, reason=reason, dry_run=False, source="api"
        )

    assert await count(hand, "steps") == 3
    assert await hand.one("SELECT outcome FROM powertools.audit") == "refused"


async def test_without_authorize_nobody_may(hand: Hand) -> None:
    lifeline = Lifeline(hand.services(settings=Settings(), guard=Guard(None)))

    with pytest.raises(NotAuthorizedError, match="no authorize was given"):
        await lifeline.run_archive_prune("ops-1", reason="disk is full")


@pytest.mark.parametrize("kept", [{"workflow": timedelta(days=1)}, {"workflows": timedelta(seconds=1)}])
async def test_a_policy_that_cannot_be_is_refused(hand: Hand, kept: dict[str, timedelta]) -> None:
    with pytest.raises(InvalidSettingError):
        Settings(retention=kept)


async def test_what_is_kept_for_ever_is_never_pruned(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)

    assert (await prune(hand, workflows=None)).pruned == {}


async def test_the_sweep_prunes_by_itself_and_says_so_in_the_audit(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)
    sweep = RetentionSweep(first_after=timedelta(0))

    first, second = await sweep.sweep(hand.session), await sweep.sweep(hand.session)

    assert (first > 3, second) == (True, 0)
    [run] = await hand.rows("SELECT actor, outcome, archived, pruned FROM powertools.prune_runs")
    assert run == {"actor": None, "outcome": "done", "archived": {"workflows": 2}, "pruned": {"workflows": first}}
    assert await hand.one("SELECT actor_type || ' ' || action FROM powertools.audit") == "system archive_prune"


async def test_the_sweep_leaves_no_run_behind_when_nothing_is_due(hand: Hand) -> None:
    await ended(hand)

    removed = await RetentionSweep(first_after=timedelta(0)).sweep(hand.session)

    assert (removed, await count(hand, "prune_runs"), await count(hand, "audit")) == (0, 0, 0)


async def test_a_sweep_that_cannot_prune_stores_it_and_goes_on(hand: Hand) -> None:
    workflow_id = await ended(hand)
    await hand.rows(OLD)
    await hand.rows(IN_THE_WAY, workflow_id)

    removed = await RetentionSweep(first_after=timedelta(0)).sweep(hand.session)

    assert removed == 0
    assert (await hand.one("SELECT error FROM powertools.prune_runs")).startswith("duplicate key value")


async def test_the_status_names_every_class_with_what_is_due(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)

    status = await (await retention(hand, signals=None)).retention_status()

    assert {kept.name for kept in status.classes} == set(RecordClass)
    due = {kept.name: kept.due for kept in status.classes if kept.due}
    assert (due, status.last_run) == ({RecordClass.WORKFLOWS: 1}, None)
    run = await prune(hand)
    last = (await (await retention(hand)).retention_status()).last_run
    assert last is not None and last.id == run.id


async def test_no_workflow_is_due_of_which_the_log_still_has_events(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(
        "UPDATE powertools.workflows"
        " SET inserted_at = inserted_at - interval '1 h', finished_at = finished_at - interval '1 h'"
    )
    pruning = await retention(hand, workflows=timedelta(minutes=1))

    status = await pruning.retention_status()
    run = await pruning.run_archive_prune("ops-1", reason="disk is filling up", dry_run=True, source="api")

    assert ([kept.due for kept in status.classes if kept.name is RecordClass.WORKFLOWS], run.pruned) == ([0], {})


async def test_the_status_does_not_know_how_many_rows_there_are_until_they_are_analyzed(hand: Hand) -> None:
    await hand.rows(
        "INSERT INTO powertools.signals (signal, correlation_key, status, payload)"
        " SELECT 'many', n::text, 'stored', '{}' FROM generate_series(1, 3) AS n"
    )
    before = await hand.powertools.lifeline.retention_status()
    await hand.rows("ANALYZE powertools.signals")

    after = await hand.powertools.lifeline.retention_status()

    rows = [{kept.name: kept.rows for kept in status.classes} for status in (before, after)]
    assert [of_class[RecordClass.SIGNALS] for of_class in rows] == [None, 3]


async def test_the_status_says_how_old_the_oldest_is_and_when_the_sweep_looked(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)
    before = await hand.powertools.lifeline.retention_status()
    await hand.rows("UPDATE powertools.sweep_parts SET succeeded_at = now() WHERE name = 'retention'")

    after = await hand.powertools.lifeline.retention_status()

    oldest = {kept.name: kept.oldest_at for kept in after.classes}
    assert oldest[RecordClass.WORKFLOWS] == await hand.one("SELECT min(inserted_at) FROM powertools.workflows")
    assert oldest[RecordClass.RESCUES] is None
    assert (before.swept_at, after.swept_at is None) == (None, False)


async def test_the_command_prunes_after_a_dry_run(hand: Hand) -> None:
    await ended(hand)
    await hand.rows(OLD)

    dry = powertools("retention", "prune", "--dry-run", "--reason", "look at it", "--json", dsn=hand.dsn)
    assert dry.err == ""
    done = powertools("retention", "prune", "--yes", "--reason", "disk is full", "--actor", "ops-1", dsn=hand.dsn)
    again = powertools("retention", "status", "--json", dsn=hand.dsn)

    assert (dry.code, dry.json["run"]["dry_run"], dry.json["run"]["archived"]) == (0, True, {"workflows": 2})
    assert (done.code, "by ops-1: done" in done.out) == (0, True)
    assert again.json["last_run"]["actor"] == "ops-1"
    assert await hand.one("SELECT surface FROM powertools.audit") == "cli"
