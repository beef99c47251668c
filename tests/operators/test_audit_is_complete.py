"""The database refuses to commit what an operator did without its record, and a record of what was not done."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from oban_powertools import Powertools, Workflow
from tests.support.by_hand import Hand, chain

ADA: Any = {"actor": "ada", "reason": "because of a test"}

RUN = "INSERT INTO powertools.prune_runs (actor, reason) VALUES (%s, 'r')"
RECORD = """
INSERT INTO powertools.audit (actor_id, actor_type, action, target_type, target_id, outcome, surface)
VALUES (%s, 'user', 'workflow_hold', 'workflow', '1', %s, 'api')
"""
RECORD_OF_A_PREVIEW = """
INSERT INTO powertools.audit (actor_id, actor_type, action, target_type, target_id, outcome, surface, preview_id)
VALUES ('ada', 'user', 'job_retry', 'job', '1', 'executed', 'api', 1)
"""
PREVIEW = """
INSERT INTO powertools.previews (
  status, actor_id, action, target_type, target_id, arguments, plan_hash, plan, written, expires_at
)
VALUES ('ready', 'ada', 'job_retry', 'job', '1', '{}', 'h', '{}', '{}', now() + interval '1 h')
"""
BULK = """
INSERT INTO powertools.bulks (actor_id, action, filter, arguments, manifest_hash, total, token_hash, expires_at)
VALUES ('ada', 'job_retry', '{}', '{}', 'h', 1, 't', now());
INSERT INTO powertools.bulk_items (bulk_id, place, target_id) VALUES (1, 0, '1')
"""
INCIDENT = """
INSERT INTO powertools.incidents (
  fingerprint, class, subject_type, subject_id, title, count, evidence, waiting_workflows, waiting_steps,
  first_detected_at, opened_at, last_detected_at
)
VALUES ('failing_jobs:w:E', 'failing_jobs', 'worker', 'w', 't', 1, '{}', 0, 0, now(), now(), now())
"""
LATE = """
INSERT INTO powertools.late_results (job_id, attempt, attempted_at, attempted_by, state, queue, worker)
VALUES (1, 1, now(), '{}', 'completed', 'q', 'w')
"""

HALVES = {
    "previews": (PREVIEW, "UPDATE powertools.previews SET status = 'consumed', ended_at = now()"),
    "bulk_items": (BULK, "UPDATE powertools.bulk_items SET outcome = 'done', ended_at = now()"),
    "incident_entries": (
        INCIDENT,
        "INSERT INTO powertools.incident_entries (incident_id, kind, actor) VALUES (1, 'acknowledged', 'ada')",
    ),
    "late_results": (LATE, "UPDATE powertools.late_results SET dismissed_at = now(), decided_by = 'ada'"),
    "prune_runs": ("", RUN.replace("%s", "'ada'")),
    "audit": (PREVIEW, RECORD_OF_A_PREVIEW),
}
"""Table -> what was there before, and one half of an operator's act."""


@pytest.mark.parametrize("table", HALVES)
async def test_one_half_alone_is_refused_at_the_commit(table: str, hand: Hand) -> None:
    before, half = HALVES[table]
    await hand.rows("TRUNCATE powertools.previews, powertools.bulks, powertools.bulk_items RESTART IDENTITY")
    await hand.rows("TRUNCATE powertools.incidents, powertools.incident_entries RESTART IDENTITY")
    if before:
        await hand.rows(before)

    with pytest.raises(
        psycopg.errors.IntegrityConstraintViolation, match=rf"powertools\.{table} without its other half"
    ):
        async with hand.conn.transaction():
            await hand.rows(half)

    assert await hand.one("SELECT count(*) FROM powertools.audit") == 0


async def test_both_halves_in_either_order_are_let_through(hand: Hand) -> None:
    for statements in ((RUN, RECORD), (RECORD, RUN)):
        async with hand.conn.transaction():
            for statement in statements:
                await hand.rows(statement, *(["ada"] if statement is RUN else ["ada", "executed"]))

    assert await hand.one("SELECT count(*) FROM powertools.prune_runs") == 2


async def test_what_powertools_does_by_itself_needs_no_record_of_an_operator(hand: Hand) -> None:
    await hand.rows("INSERT INTO powertools.prune_runs (reason) VALUES ('the sweep')")

    assert await hand.one("SELECT count(*) FROM powertools.prune_runs") == 1


@pytest.mark.parametrize(
    ("actor", "outcome", "apart"),
    [("ada", "executed", True), ("kim", "executed", False), ("ada", "refused", False)],
    ids=["of another transaction", "of somebody else", "of a refusal"],
)
async def test_another_record_is_no_record(hand: Hand, actor: str, outcome: str, apart: bool) -> None:
    if apart:
        await hand.rows(RECORD, actor, outcome)

    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        async with hand.conn.transaction():
            if not apart:
                await hand.rows(RECORD, actor, outcome)
            await hand.rows(RUN, "ada")


async def test_a_record_that_was_taken_back_is_none(hand: Hand) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        async with hand.conn.transaction():
            async with hand.conn.transaction(force_rollback=True):
                await hand.rows(RECORD, "ada", "executed")
            await hand.rows(RUN, "ada")


async def test_a_record_in_a_savepoint_counts(hand: Hand) -> None:
    async with hand.conn.transaction():
        async with hand.conn.transaction():
            await hand.rows(RECORD, "ada", "executed")
        await hand.rows(RUN, "ada")

    assert await hand.one("SELECT count(*) FROM powertools.prune_runs") == 1


async def test_a_caller_may_have_its_constraints_checked_at_once(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    async with hand.conn.transaction():
        await hand.rows("SET CONSTRAINTS ALL IMMEDIATE")
        await hand.workflows.hold(workflow_id, hold_for=timedelta(hours=1), conn=hand.conn, **ADA)
        await hand.workflows.recover(workflow_id, "s0", "skip", conn=hand.conn, **ADA)
        await hand.workflows.request_cancel(workflow_id, conn=hand.conn, **ADA)

    assert [command["outcome"] for command in await hand.workflows.commands(workflow_id)] == ["accepted"] * 3


async def test_a_preview_is_asked_for_nothing(powertools: Powertools) -> None:
    workflow = Workflow("waits")
    workflow.await_signal("approval", signal="approved", correlation_key="7")
    handle = await powertools.workflows.insert(workflow)

    shown = await powertools.lifeline.preview_repair(
        "ada", action="workflow_cancel", target_type="workflow", target_id=str(handle.id)
    )

    assert shown.total_changes > 0
