"""Repairs of jobs, executors, late results and callbacks."""

from datetime import timedelta
from typing import Any

import pytest
from oban import Cancel

from oban_powertools import Workflow
from oban_powertools.errors import (
    HeartbeatLateError,
    IllegalRepairError,
    IncidentMismatchError,
    PreviewDriftedError,
    RepairRequiresMissingExecutorError,
)
from oban_powertools.lifeline import Lifeline
from oban_powertools.operators.authorization import Guard
from tests.support.by_hand import Hand, chain, everybody_may, step
from tests.support.executing import beat, die, heartbeat, late_success, stop, take
from tests.support.executing import job as job_row
from tests.support.repairing import OPERATOR, REASON, execute, failed_chain, preview, repair


async def orphan(hand: Hand, producer: str = "p1", workflow: Workflow | None = None) -> Any:
    """The job of s0, which runs on an executor that is gone."""
    workflow_id = await hand.insert(workflow or chain(2))
    job = await hand.job(workflow_id, "s0")
    await take(hand, job.id, producer)
    await die(hand, producer)
    return job


async def test_a_job_is_rescued_when_its_executor_is_gone(hand: Hand) -> None:
    job = await orphan(hand)

    shown = await repair(hand, "job_rescue", job.id)

    row = await job_row(hand, job.id)
    assert (row["state"], row["attempt"], row["max_attempts"]) == ("available", 1, 2)
    assert "came 60 s ago: the job may still run" in str(shown.warnings)
    assert await hand.one("SELECT action FROM powertools.rescues") == "retried"


async def test_a_living_or_late_executor_keeps_its_job(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job = await hand.job(workflow_id, "s0")
    await take(hand, job.id, "p1")
    await beat(hand, "p1")

    with pytest.raises(RepairRequiresMissingExecutorError):
        await preview(hand, "job_rescue", job.id)
    await hand.settings(executor_late_after=timedelta(microseconds=1))
    lifeline = Lifeline(hand.services(guard=Guard(everybody_may)))
    for action in ("job_rescue", "job_discard"):
        with pytest.raises(HeartbeatLateError):
            await lifeline.preview_repair(OPERATOR, action=action, target_type="job", target_id=str(job.id))

    assert (await job_row(hand, job.id))["state"] == "executing"


async def test_an_executor_that_came_back_keeps_its_job(hand: Hand) -> None:
    job = await orphan(hand)
    shown = await preview(hand, "job_rescue", job.id)
    await beat(hand, "p1")

    with pytest.raises(PreviewDriftedError, match="is alive"):
        await execute(hand, shown)

    assert (await job_row(hand, job.id))["state"] == "executing"


async def test_one_of_several_orphans_is_rescued_and_then_the_rest(hand: Hand) -> None:
    first, second = await orphan(hand), await orphan(hand)
    await stop(hand, "p1")

    await repair(hand, "job_rescue", first.id)
    states = [(await job_row(hand, job.id))["state"] for job in (first, second)]
    await repair(hand, "executor_rescue_all", heartbeat("p1")["executor_id"])

    assert states == ["available", "executing"]
    assert [(await job_row(hand, job.id))["state"] for job in (first, second)] == ["available", "available"]
    with pytest.raises(IllegalRepairError):
        await preview(hand, "executor_rescue_all", heartbeat("p1")["executor_id"])


async def test_effects_that_must_never_happen_twice_are_not_repeated(hand: Hand) -> None:
    workflow = Workflow("never")
    workflow.add("s0", step(), effects="never")
    job = await orphan(hand, workflow=workflow)

    with pytest.raises(IllegalRepairError, match="never happen twice"):
        await preview(hand, "job_rescue", job.id)
    await repair(hand, "job_discard", job.id)

    assert (await job_row(hand, job.id))["state"] == "discarded"


async def test_a_job_of_another_executor_is_not_rescued_for_this_incident(hand: Hand) -> None:
    job = await orphan(hand)
    own, other = (f"dead_executor:{heartbeat(p)['executor_id']}" for p in ("p1", "p2"))

    with pytest.raises(IncidentMismatchError):
        await preview(hand, "job_rescue", job.id, incident_fingerprint=other)

    await repair(hand, "job_rescue", job.id, incident_fingerprint=own)


async def test_a_retryable_job_runs_at_once(hand: Hand) -> None:
    workflow = Workflow("retryable")
    workflow.add("s0", step(max_attempts=3))
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"s0": ValueError("not yet")})
    job = await hand.job(workflow_id, "s0")

    await repair(hand, "job_retry", job.id)

    assert await hand.states(workflow_id) == {"s0": "available"}
    with pytest.raises(IllegalRepairError, match="it is available"):
        await preview(hand, "job_retry", job.id)


async def test_the_failed_job_of_a_step_is_retried_through_the_step(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    job = await hand.job(workflow_id, "s0")

    await repair(hand, "job_retry", job.id)

    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending", "s2": "pending"}
    with pytest.raises(IllegalRepairError, match="goes on without it"):
        await preview(hand, "job_retry", job.id)


@pytest.mark.notified
async def test_an_executing_job_is_told_and_cancelled(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    [running] = await hand.start((await hand.job(workflow_id, "s0")).id)
    listener = await hand.conn.connect(hand.dsn, autocommit=True)
    await listener.execute('LISTEN "public.oban_signal"')

    shown = await repair(hand, "job_cancel", running.id)
    told = [notify.payload async for notify in listener.notifies(timeout=5, stop_after=1)]
    await listener.close()

    assert "told to stop" in str(shown.warnings)
    assert f'"job_id" : {running.id}' in told[0]
    await hand.ack(await hand.execute(running, Cancel("asked to")))
    assert (await hand.states(workflow_id)) == {"s0": "cancelled", "s1": "cancelled"}


async def test_a_late_success_is_adopted_once(hand: Hand) -> None:
    late = await late_success(hand)

    await repair(hand, "late_result_adopt", late)

    [workflow_id] = [row["id"] for row in await hand.rows("SELECT id FROM powertools.workflows")]
    assert await hand.workflows.results(workflow_id) == {"s0": {"paid": 30}}
    with pytest.raises(IllegalRepairError, match="adopted or dismissed before"):
        await preview(hand, "late_result_dismiss", late)


async def test_a_failed_callback_runs_again_with_its_attempts_kept(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1, on_finished=step()))
    await hand.run(workflow_id, {"s0": 1})
    callback = await hand.one("SELECT max(id) FROM oban_jobs")
    with pytest.raises(IllegalRepairError, match="it is available"):
        await preview(hand, "callback_retry", callback)
    await hand.rows("UPDATE oban_jobs SET state = 'discarded', attempt = 1 WHERE id = %s", callback)

    await repair(hand, "callback_retry", callback)

    row = await job_row(hand, callback)
    assert (row["state"], row["attempt"], row["max_attempts"]) == ("available", 1, 2)


async def test_a_hold_carries_the_reason_of_its_execution(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    await repair(hand, "workflow_hold", workflow_id, hold_for=timedelta(hours=1))
    held = await hand.rows("SELECT hold_reason FROM powertools.steps ORDER BY position")
    await repair(hand, "workflow_release", workflow_id)

    assert [row["hold_reason"] for row in held] == [REASON, REASON]
    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending"}
