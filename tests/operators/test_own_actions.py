"""What Powertools ends by itself because its time is over is in the audit as the system's, once, in the same commit."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from oban_powertools import Action, Workflow
from oban_powertools.operators.audit import AuditRecord
from oban_powertools.operators.audit.reading import AUDITED_ACTS
from tests.support.by_hand import Hand, chain, step

IN_NO_TIME = timedelta(milliseconds=1)
ADA: Any = {"actor": "ada", "reason": "wait for the customer"}


def waiting(deadline: timedelta | None = IN_NO_TIME, **options: Any) -> Workflow:
    workflow = Workflow("overdue", **options)
    workflow.await_signal("wait", signal="x", correlation_key="y", deadline=deadline)
    workflow.add("after", step(), deps="wait")
    return workflow


async def own_actions(hand: Hand) -> list[AuditRecord]:
    """Oldest first."""
    return [*reversed(await hand.powertools.audit.list(actor="powertools"))]


async def test_the_expiry_of_waits_is_audited_one_record_a_wait(hand: Hand) -> None:
    ids = [handle.id for handle in await hand.workflows.insert_many([waiting() for _ in range(3)])]

    await hand.sweep()
    await hand.sweep()

    records = await own_actions(hand)
    assert {(r.action, r.target_type, r.outcome, r.surface, r.actor_type) for r in records} == {
        ("wait_expire", "step", "executed", "system", "system")
    }
    assert sorted(r.target_id for r in records) == sorted(f"{workflow_id}/wait" for workflow_id in ids)
    assert (records[0].before, records[0].after) == ({"state": "awaiting_signal"}, {"state": "expired"})
    assert set(records[0].details) == {"wait_id", "deadline_at"}
    assert records[0].reason == "no signal came before its deadline"


async def test_a_wait_whose_signal_came_in_time_leaves_no_record(hand: Hand) -> None:
    await hand.insert(waiting(timedelta(hours=1)))
    await hand.workflows.signal("x", "y")
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() - interval '1 s'")

    await hand.sweep()

    assert await own_actions(hand) == []


async def test_the_expiry_of_a_workflow_is_audited_once_with_what_it_stopped(hand: Hand) -> None:
    workflow = waiting(None, expires_in=timedelta(hours=1))
    workflow.add("runs", step())
    workflow.add_workflow("nested", chain(2))
    workflow_id = await hand.insert(workflow)
    await hand.start((await hand.job(workflow_id, "runs")).id)
    await hand.rows("UPDATE powertools.workflows SET expires_at = now() WHERE parent_id IS NULL")

    await hand.sweep()
    await hand.sweep()

    [expired] = await own_actions(hand)
    assert (expired.action, expired.target_type, expired.target_id) == ("workflow_expire", "workflow", str(workflow_id))
    assert (expired.before, expired.after) == ({"state": "running"}, {"state": "cancel_requested"})
    assert set(expired.details) == {"expires_at"}
    assert expired.reason == "its time was over"
    await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE state = 'executing'")


async def test_a_workflow_that_ends_with_its_time_is_audited_as_expired(hand: Hand) -> None:
    await hand.insert(waiting(None, expires_in=IN_NO_TIME))

    await hand.sweep()

    [expired] = await own_actions(hand)
    assert (expired.action, expired.after) == ("workflow_expire", {"state": "expired"})


async def test_a_cancel_by_an_operator_is_not_taken_for_an_expiry(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting(None))

    await hand.workflows.request_cancel(workflow_id, **ADA)

    assert await own_actions(hand) == []


async def test_the_end_of_a_hold_is_audited_one_record_a_step(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3))
    await hand.workflows.hold(workflow_id, hold_for=timedelta(hours=1), **ADA)
    await hand.rows("UPDATE powertools.steps SET held_until = now() WHERE position < 2")

    await hand.sweep()
    await hand.sweep()

    records = await own_actions(hand)
    assert sorted((r.action, r.target_type, r.target_id) for r in records) == [
        ("hold_expire", "step", f"{workflow_id}/s0"),
        ("hold_expire", "step", f"{workflow_id}/s1"),
    ]
    assert set(records[0].before or {}) == {"held_until"}
    assert (records[0].after, records[0].reason) == ({"held_until": None}, "its time was over")


async def test_what_cannot_be_recorded_does_not_expire(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting())
    await hand.rows("ALTER TABLE powertools.audit ADD CONSTRAINT refuse CHECK (action <> 'wait_expire')")

    try:
        await hand.sweep()
        kept = await hand.states(workflow_id)
    finally:
        await hand.rows("ALTER TABLE powertools.audit DROP CONSTRAINT refuse")

    assert kept["wait"] == "awaiting_signal"


def test_what_powertools_does_by_itself_is_listed_where_it_is_looked_for() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/audit.md").read_text()
    [table] = re.findall(r"## What Powertools does by itself\n\n((?:\|.*\n)+)", page)
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}

    assert told - {*Action} == {*AUDITED_ACTS} - {*Action}
