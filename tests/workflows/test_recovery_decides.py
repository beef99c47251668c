"""complete, skip and cancel: an operator decides what a step ends as, in every state; refusals are kept as evidence."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError, StepNotFoundError, UnsupportedRecoveryActionError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "the bank is back"}


async def with_step_that_is(hand: Hand, state: str) -> WorkflowId:
    """A workflow whose step x, which has a child, is in this state."""
    workflow = Workflow("states", on_finished=step())
    workflow.add("first", step())
    deps = ["first"] if state in ("pending", "cancelled by dependency") else []
    if state in ("awaiting_signal", "expired"):
        workflow.await_signal("x", signal="paid", correlation_key="7", deadline=timedelta(hours=1))
    else:
        delay = timedelta(hours=1) if state == "scheduled" else None
        workflow.add("x", step(max_attempts=2 if state == "retryable" else 1), deps=deps, delay=delay)
    workflow.add("after", step({"x": Workflow.result("x")}))
    workflow_id = await hand.insert(workflow)
    match state:
        case "executing":
            await hand.start((await hand.job(workflow_id, "x")).id)
        case "retryable" | "discarded":
            await hand.run(workflow_id, {"x": ValueError("x")})
        case "cancelled":
            await hand.oban.cancel_job((await hand.job(workflow_id, "x")).id or 0)
        case "cancelled by dependency":
            await hand.run(workflow_id, {"first": ValueError("x")})
        case "suspended":
            await hand.workflows.hold(workflow_id, "x", hold_for=timedelta(hours=1), **ASKED)
        case "expired":
            await hand.rows("UPDATE powertools.waits SET deadline_at = now()")
            await hand.sweep()
        case "completed":
            await hand.run(workflow_id, {"x": "own"})
        case _:
            pass
    assert (await hand.states(workflow_id))["x"] == state.removesuffix(" by dependency")
    return workflow_id


OPEN = ["pending", "available", "scheduled", "suspended", "executing", "retryable", "awaiting_signal"]
FAILED = ["discarded", "cancelled", "expired", "cancelled by dependency"]


@pytest.mark.parametrize("state", OPEN + FAILED)
async def test_a_step_is_completed_by_an_operator_in_every_state_but_completed(hand: Hand, state: str) -> None:
    workflow_id = await with_step_that_is(hand, state)

    await hand.workflows.recover(workflow_id, "x", "complete", payload={"by": "hand"}, **ASKED)

    x = (await hand.steps(workflow_id))["x"]
    assert (x.state, x.cause, x.result, x.error) == ("completed", "completed_by_operator", {"by": "hand"}, None)
    assert (await hand.job(workflow_id, "after")).args == {"x": {"by": "hand"}}
    await hand.run_all(workflow_id)
    ended = await hand.workflow(workflow_id)
    assert (ended.state, ended.failed) == (("failed", 1) if state.endswith("dependency") else ("completed", 0))


@pytest.mark.parametrize("state", OPEN + FAILED)
async def test_a_step_is_skipped_in_every_state_but_completed_and_has_no_result(hand: Hand, state: str) -> None:
    workflow_id = await with_step_that_is(hand, state)

    await hand.workflows.recover(workflow_id, "x", "skip", payload="not used", **ASKED)

    x = (await hand.steps(workflow_id))["x"]
    assert (x.state, x.cause, x.has_result) == ("completed", "skipped", False)
    assert (await hand.job(workflow_id, "after")).args == {"x": None}


@pytest.mark.parametrize("state", [s for s in OPEN if s != "executing"])
async def test_an_unfinished_step_is_cancelled_at_once_with_what_hangs_on_it(hand: Hand, state: str) -> None:
    workflow_id = await with_step_that_is(hand, state)

    await hand.workflows.recover(workflow_id, "x", "cancel", **ASKED)

    steps = await hand.steps(workflow_id)
    assert (steps["x"].state, steps["x"].cause) == ("cancelled", "cancelled_by_operator")
    assert (steps["after"].state, steps["after"].cause) == ("cancelled", "cancelled_by_dependency")
    assert steps["first"].state == "available"
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE meta ->> 'step' = 'x' AND state <> 'cancelled'") == 0


async def test_an_executing_step_is_told_and_its_own_end_is_recorded(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    [job] = await hand.start((await hand.job(workflow_id, "s0")).id)

    await hand.workflows.recover(workflow_id, "s0", "cancel", **ASKED)
    told = await hand.steps(workflow_id)
    await hand.ack(await hand.execute(job, "done all the same"))

    ended = (await hand.steps(workflow_id))["s0"]
    assert (told["s0"].state, told["s0"].cancel_requested_at is not None) == ("executing", True)
    assert (ended.state, ended.cause, ended.result) == (
        "completed",
        "completed_after_cancel_request",
        "done all the same",
    )


@pytest.mark.parametrize("action", ["retry", "complete", "skip", "cancel"])
async def test_a_completed_step_is_left_as_it_is_and_the_refusal_is_kept(hand: Hand, action: str) -> None:
    workflow_id = await with_step_that_is(hand, "completed")

    with pytest.raises(IllegalTransitionError, match="it is completed"):
        await hand.workflows.recover(workflow_id, "x", action, **ASKED)

    [kept] = await hand.workflows.commands(workflow_id)
    assert (kept["action"], kept["outcome"], kept["reason_code"], kept["legal_next_steps"]) == (
        f"step_{action}",
        "rejected",
        "illegal_transition",
        [],
    )
    assert (await hand.workflows.results(workflow_id))["x"] == "own"


@pytest.mark.parametrize("state", OPEN)
async def test_an_unfinished_step_is_not_retried(hand: Hand, state: str) -> None:
    workflow_id = await with_step_that_is(hand, state)

    with pytest.raises(IllegalTransitionError, match=f"it is {state}; legal now: cancel, complete, skip"):
        await hand.workflows.recover(workflow_id, "x", **ASKED)


@pytest.mark.parametrize("state", FAILED)
async def test_a_failed_step_is_not_cancelled(hand: Hand, state: str) -> None:
    workflow_id = await with_step_that_is(hand, state)

    with pytest.raises(IllegalTransitionError):
        await hand.workflows.recover(workflow_id, "x", "cancel", **ASKED)


async def test_an_unknown_action_is_refused_with_the_known_ones(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(UnsupportedRecoveryActionError, match="expected one of: retry, cancel, complete, skip"):
        await hand.workflows.recover(workflow_id, "s0", "explode", **ASKED)
    with pytest.raises(StepNotFoundError):
        await hand.workflows.recover(workflow_id, "s9", **ASKED)

    assert [(c["reason_code"], c["step"]) for c in await hand.workflows.commands(workflow_id)] == [
        ("step_not_found", "s9"),
        ("unsupported_recovery_action", "s0"),
    ]


@pytest.mark.parametrize("action", ["cancel", "complete", "skip"])
async def test_only_a_retry_does_without_a_step(hand: Hand, action: str) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(IllegalTransitionError, match="name the step"):
        await hand.workflows.recover(workflow_id, action=action, **ASKED)


async def test_with_nothing_that_failed_there_is_nothing_to_retry(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(IllegalTransitionError, match="no step failed"):
        await hand.workflows.recover(workflow_id, **ASKED)


@pytest.mark.parametrize("action", ["complete", "skip"])
async def test_deciding_about_the_last_failed_step_ends_the_workflow_again_and_calls_back(
    hand: Hand, action: str
) -> None:
    workflow_id = await hand.insert(chain(1, on_finished=step()))
    await hand.run(workflow_id, {"s0": ValueError("x")})

    recovered = await hand.workflows.recover(workflow_id, "s0", action, **ASKED)

    workflow = await hand.workflow(workflow_id)
    assert (workflow.state, workflow.failed, workflow.failures_handled) == ("completed", 0, None)
    assert (recovered.generation, workflow.generation) == (2, 2)
    ends = await hand.rows("SELECT meta ->> 'outcome' AS outcome FROM oban_jobs WHERE meta ? 'outcome' ORDER BY id")
    assert ends == [{"outcome": "failed"}, {"outcome": "completed"}]


async def test_the_record_of_a_recovery_tells_who_why_and_what_was_before_and_after(hand: Hand) -> None:
    workflow = Workflow("evidence")
    workflow.add_many({"a": step(), "b": step()})
    workflow.add("after", step(), deps=["a", "b"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": ValueError("no luck"), "b": ValueError("none either")})

    recovered = await hand.workflows.recover(
        workflow_id, actor={"id": "ops-1", "role": "x"}, reason=" the bank is back "
    )

    kept = await hand.powertools.audit.get(recovered.audit_id)
    assert (kept.action, kept.actor_id, kept.reason) == ("workflow_retry", "ops-1", "the bank is back")
    assert (recovered.generation, recovered.revived, recovered.steps) == (2, 1, ("a", "b"))
    assert (kept.before["workflow"]["state"], kept.after["workflow"]["state"]) == ("failed", "running")
    assert (kept.before["workflow"]["open"], kept.after["workflow"]["open"]) == (0, 3)
    assert (list(kept.before["steps"]), list(kept.after["steps"])) == (["a", "b"], ["a", "b"])
    assert "sha256" in str(kept.before["steps"]["a"].pop("error"))
    assert kept.before["steps"]["a"] == {"state": "discarded", "cause": None, "generation": 1, "attempt": 1}
    assert kept.after["steps"]["a"] == {
        "state": "available",
        "cause": None,
        "generation": 2,
        "attempt": 0,
        "error": None,
    }
    [command] = await hand.workflows.commands(workflow_id)
    assert (command["action"], command["actor"], command["outcome"]) == ("workflow_retry", "ops-1", "accepted")


async def test_a_recovery_in_a_transaction_that_is_rolled_back_never_was(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1, on_finished=step()))
    await hand.run(workflow_id, {"s0": ValueError("x")})

    async with hand.conn.transaction(force_rollback=True):
        await hand.workflows.recover(workflow_id, "s0", "skip", conn=hand.conn, **ASKED)
        inside = (await hand.rows("SELECT state FROM powertools.workflows"))[0]["state"]

    assert (inside, (await hand.workflow(workflow_id)).state) == ("completed", "failed")
    assert await hand.powertools.audit.list() == []
    assert await hand.workflows.commands(workflow_id) == []
