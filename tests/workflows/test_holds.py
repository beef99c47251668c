"""A hold keeps what has not started from starting, says why, and ends by itself."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError, WorkflowEndedError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, Scripted, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "month's end"}
HOLD: Any = {"hold_for": timedelta(hours=1), **ASKED}


async def end_holds(hand: Hand) -> None:
    await hand.rows("UPDATE powertools.steps SET held_until = now() - interval '1 s' WHERE held_until IS NOT NULL")
    await hand.sweep()


async def test_a_pending_step_is_not_released_while_it_is_held(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(2))

    held = await each_hand.workflows.hold(workflow_id, "s1", **HOLD)
    await each_hand.run(workflow_id, {"s0": None})

    s1 = (await each_hand.steps(workflow_id))["s1"]
    assert (held, s1.state, s1.pending, s1.job_id, s1.hold_reason) == (1, "pending", 0, None, "month's end")
    assert s1.held_until is not None
    assert await each_hand.workflows.release(workflow_id, "s1", **ASKED) == 1
    s1 = (await each_hand.steps(workflow_id))["s1"]
    assert (s1.state, s1.held_until, s1.hold_reason) == ("available", None, None)


async def with_job_that_is(hand: Hand, state: str) -> WorkflowId:
    workflow = Workflow("job")
    workflow.add("a", step(max_attempts=3), delay=timedelta(hours=2) if state == "scheduled" else None)
    workflow_id = await hand.insert(workflow)
    if state == "retryable":
        await hand.run(workflow_id, {"a": ValueError("x")})
    return workflow_id


@pytest.mark.parametrize("state", ["available", "scheduled", "retryable"])
@pytest.mark.parametrize("ending", ["release", "sweep"])
async def test_a_job_that_has_not_started_is_suspended_and_goes_on_as_it_was(
    hand: Hand, state: str, ending: str
) -> None:
    workflow_id = await with_job_that_is(hand, state)
    before = await hand.job(workflow_id, "a")

    await hand.workflows.hold(workflow_id, "a", **HOLD)
    held = await hand.job(workflow_id, "a")
    if ending == "release":
        await hand.workflows.release(workflow_id, "a", **ASKED)
    else:
        await end_holds(hand)

    after = await hand.job(workflow_id, "a")
    assert (before.state, held.state, after.state) == (state, "suspended", state)
    assert (before.scheduled_at, before.attempt) == (after.scheduled_at, after.attempt)


async def test_a_job_that_became_due_meanwhile_is_available_at_once(hand: Hand) -> None:
    workflow_id = await with_job_that_is(hand, "retryable")
    await hand.workflows.hold(workflow_id, "a", **HOLD)
    await hand.rows("UPDATE oban_jobs SET scheduled_at = timezone('UTC', now()) - interval '1 s'")

    await hand.workflows.release(workflow_id, "a", **ASKED)

    assert await hand.states(workflow_id) == {"a": "available"}


async def test_oban_does_not_fetch_a_held_job(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.workflows.hold(workflow_id, "s0", **HOLD)

    fetched = await hand.oban._query.fetch_jobs(10, "default", "node", "00000000-0000-0000-0000-000000000000")
    await hand.oban._query.stage_jobs(10, ["default"])

    assert (fetched, await hand.states(workflow_id)) == ([], {"s0": "suspended"})


async def test_a_workflow_is_held_with_every_step_that_has_not_started(each_hand: Hand) -> None:
    workflow = Workflow("whole")
    workflow.add_many({"running": step(), "idle": step()})
    workflow.await_signal("waiting", signal="x", correlation_key="y")
    workflow.add("pending", step(), deps=["running", "idle"])
    workflow_id = await each_hand.insert(workflow)
    [job] = await each_hand.start((await each_hand.job(workflow_id, "running")).id)

    held = await each_hand.workflows.hold(workflow_id, **HOLD)
    await each_hand.ack(await each_hand.execute(job, None))
    states = await each_hand.states(workflow_id)
    await each_hand.workflows.signal("x", "y")
    released = await each_hand.workflows.release(workflow_id, **ASKED)

    assert (held, released) == (2, 2)
    assert states == {"running": "completed", "idle": "suspended", "waiting": "awaiting_signal", "pending": "pending"}
    await each_hand.run_all(workflow_id)
    assert (await each_hand.workflow(workflow_id)).state == "completed"


async def test_it_ends_by_itself_and_what_is_ready_starts(each_hand: Hand) -> None:
    workflow = Workflow("kinds")
    workflow.add("a", step())
    workflow.await_signal("signal", signal="x", correlation_key="y", deps="a")
    workflow.add_workflow("nested", chain(1), deps="a")
    workflow.map("map", Scripted, over=[], deps="a")
    workflow.add("far", step(), deps="signal")
    workflow_id = await each_hand.insert(workflow)
    await each_hand.workflows.signal("x", "y", "early")
    for name in ("signal", "nested", "map", "far"):
        await each_hand.workflows.hold(workflow_id, name, **HOLD)
    await each_hand.run(workflow_id, {"a": None})
    held = await each_hand.states(workflow_id)

    await end_holds(each_hand)

    assert set(held.values()) == {"completed", "pending"}
    assert await each_hand.states(workflow_id) == {
        "a": "completed",
        "signal": "completed",
        "nested": "executing",
        "map": "completed",
        "far": "available",
    }


async def test_a_hold_may_be_prolonged_and_given_another_reason(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.workflows.hold(workflow_id, "s0", **HOLD)
    first = (await hand.steps(workflow_id))["s0"].held_until

    await hand.workflows.hold(workflow_id, "s0", hold_for=timedelta(hours=3), actor="ops-2", reason="year's end")

    s0 = (await hand.steps(workflow_id))["s0"]
    assert first is not None and s0.held_until is not None
    assert (s0.held_until - first > timedelta(hours=1), s0.hold_reason) == (True, "year's end")


@pytest.mark.parametrize("state", ["executing", "completed", "awaiting_signal"])
async def test_what_has_started_is_not_held_and_the_refusal_is_kept(hand: Hand, state: str) -> None:
    workflow = Workflow("started")
    if state == "awaiting_signal":
        workflow.await_signal("a", signal="x", correlation_key="y")
    else:
        workflow.add("a", step())
    workflow.add("other", step())
    workflow_id = await hand.insert(workflow)
    if state == "executing":
        await hand.start((await hand.job(workflow_id, "a")).id)
    elif state == "completed":
        await hand.run(workflow_id, {"a": None})

    with pytest.raises(IllegalTransitionError, match=f"cannot hold step 'a' .*: it is {state}"):
        await hand.workflows.hold(workflow_id, "a", **HOLD)

    [kept] = await hand.workflows.commands(workflow_id)
    assert (kept["action"], kept["reason_code"]) == ("step_hold", "illegal_transition")


async def test_an_ended_workflow_is_not_held(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run_all(workflow_id)

    with pytest.raises(WorkflowEndedError):
        await hand.workflows.hold(workflow_id, **HOLD)


async def test_releasing_what_is_not_held_changes_nothing(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    assert await hand.workflows.release(workflow_id, **ASKED) == 0
    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending"}


async def test_a_held_step_is_cancelled_with_what_it_hangs_on(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.workflows.hold(workflow_id, "s1", **HOLD)

    await hand.run(workflow_id, {"s0": ValueError("x")})

    s1 = (await hand.steps(workflow_id))["s1"]
    assert (s1.state, s1.held_until) == ("cancelled", None)


async def test_ending_a_hold_does_not_wait_for_a_job_that_somebody_else_is_changing(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.workflows.hold(workflow_id, "s0", **HOLD)
    job_id = (await hand.job(workflow_id, "s0")).id

    async with hand.oban._query._pool.connection() as other:
        await other.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (job_id,))
        await hand.rows("SET lock_timeout = '200ms'")
        await hand.workflows.release(workflow_id, conn=hand.conn, **ASKED)
        await hand.rows("RESET lock_timeout")
    await hand.sweep()

    assert await hand.states(workflow_id) == {"s0": "available"}


@pytest.mark.parametrize("kind", ["signal", "map", "workflow"])
async def test_a_held_step_without_a_job_is_not_released_when_its_parents_end(hand: Hand, kind: str) -> None:
    workflow = Workflow("held")
    workflow.add("a", step())
    match kind:
        case "signal":
            workflow.await_signal("b", signal="s", correlation_key="k", deps="a")
        case "map":
            workflow.map("b", Scripted, over=[1], deps="a")
        case _:
            workflow.add_workflow("b", chain(1), deps="a")
    workflow_id = await hand.insert(workflow)
    await hand.workflows.hold(workflow_id, "b", **HOLD)

    await hand.run(workflow_id, {"a": None})

    released = "SELECT state, pending, released_at FROM powertools.steps WHERE workflow_id = %s AND name = 'b'"
    assert await hand.rows(released, workflow_id) == [{"state": "pending", "pending": 0, "released_at": None}]
    await hand.workflows.release(workflow_id, "b", **ASKED)
    assert (await hand.rows(released, workflow_id))[0]["released_at"] is not None
