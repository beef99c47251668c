"""An operator brings failed steps back, or decides what a step ends as; what hangs on it follows in the same commit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from oban import Cancel

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.counting import count_executed

ASKED: Any = {"actor": "ops-1", "reason": "the bank is back"}
CALLED_BACK = (
    "SELECT meta ->> 'outcome' AS outcome, meta -> 'generation' AS generation FROM oban_jobs "
    "WHERE meta ? 'outcome' ORDER BY id"
)


async def failed_chain(hand: Hand, length: int = 3, **options: Any) -> WorkflowId:
    """s0 -> s1 -> ..., ended because s0 failed."""
    workflow_id = await hand.insert(chain(length, **options))
    await hand.run(workflow_id, {"s0": ValueError("no bank")})
    return workflow_id


async def test_a_retried_step_gets_a_new_job_and_what_it_had_cancelled_waits_for_it_again(each_hand: Hand) -> None:
    workflow_id = await failed_chain(each_hand)
    first_job = (await each_hand.steps(workflow_id))["s0"].job_id

    recovered = await each_hand.workflows.recover(workflow_id, "s0", **ASKED)

    steps = await each_hand.steps(workflow_id)
    assert (recovered.generation, recovered.steps, recovered.revived) == (2, ("s0",), 2)
    assert [(s.state, s.pending, s.cause, s.generation) for s in steps.values()] == [
        ("available", 0, None, 2),
        ("pending", 1, None, 2),
        ("pending", 1, None, 2),
    ]
    assert steps["s0"].job_id != first_job
    assert (steps["s0"].attempt, steps["s0"].error, steps["s0"].started_at) == (0, None, None)
    workflow = await each_hand.workflow(workflow_id)
    assert (workflow.state, workflow.open, workflow.failed, workflow.finished_at) == ("running", 3, 0, None)
    await each_hand.run_all(workflow_id)
    assert (await each_hand.workflow(workflow_id)).state == "completed"


async def test_the_key_for_other_systems_stays_while_the_generation_rises(hand: Hand) -> None:
    workflow_id = await failed_chain(hand)
    before = (await hand.job(workflow_id, "s0")).meta

    await hand.workflows.recover(workflow_id, "s0", **ASKED)

    after = (await hand.job(workflow_id, "s0")).meta
    assert (before.get("generation", 1), after["generation"], before["uid"]) == (1, 2, after["uid"])


async def test_all_attempts_are_allowed_again_after_a_retry(hand: Hand) -> None:
    workflow = Workflow("attempts")
    workflow.add("a", step(max_attempts=2))
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": ValueError("1")})
    await hand.run(workflow_id, {"a": ValueError("2")})
    ended = await hand.states(workflow_id)

    await hand.workflows.recover(workflow_id, "a", **ASKED)
    await hand.run(workflow_id, {"a": ValueError("3")})

    assert (ended, await hand.states(workflow_id)) == ({"a": "discarded"}, {"a": "retryable"})


async def test_without_a_step_every_failed_one_comes_back(each_hand: Hand) -> None:
    workflow = Workflow("many")
    workflow.add_many({"ok": step(), "a": step(), "b": step(), "c": step()})
    workflow.add("after a and b", step(), deps=["a", "b"])
    workflow_id = await each_hand.insert(workflow)
    await each_hand.run(workflow_id, {"ok": 1, "a": ValueError("x"), "b": Cancel("y"), "c": ValueError("z")})

    recovered = await each_hand.workflows.recover(workflow_id, **ASKED)

    assert (recovered.steps, recovered.revived) == (("a", "b", "c"), 1)
    assert await each_hand.states(workflow_id) == {
        "ok": "completed",
        "a": "available",
        "b": "available",
        "c": "available",
        "after a and b": "pending",
    }


async def test_another_failed_parent_keeps_a_descendant_cancelled(hand: Hand) -> None:
    workflow = Workflow("two causes")
    workflow.add_many({"a": step(), "b": step()})
    workflow.add("of a", step(), deps=["a"])
    workflow.add("of both", step(), deps=["a", "b"])
    workflow.add("below", step(), deps=["of both", "of a"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": ValueError("x"), "b": ValueError("y")})

    await hand.workflows.recover(workflow_id, "a", **ASKED)
    after_a = await hand.states(workflow_id)
    await hand.workflows.recover(workflow_id, "b", **ASKED)

    assert after_a == {
        "a": "available",
        "b": "discarded",
        "of a": "pending",
        "of both": "cancelled",
        "below": "cancelled",
    }
    assert {s.name: (s.state, s.pending) for s in (await hand.steps(workflow_id)).values()} == {
        "a": ("available", 0),
        "b": ("available", 0),
        "of a": ("pending", 1),
        "of both": ("pending", 2),
        "below": ("pending", 2),
    }


async def test_a_continue_child_that_ran_stays_as_it_is_and_one_that_waits_waits_for_the_retry_too(hand: Hand) -> None:
    workflow = Workflow("continue")
    workflow.add_many({"a": step(), "slow": step()})
    workflow.add("ran", step(), deps="a", on_failure="continue")
    workflow.add("waits", step(), deps=["a", "slow"], on_failure="continue")
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": ValueError("x")})
    await hand.run(workflow_id, {"ran": "with null"})

    await hand.workflows.recover(workflow_id, "a", **ASKED)
    await hand.run(workflow_id, {"slow": None})

    steps = await hand.steps(workflow_id)
    assert (steps["ran"].state, steps["ran"].result, steps["ran"].generation) == ("completed", "with null", 1)
    assert (steps["waits"].state, steps["waits"].pending) == ("pending", 1)
    await hand.run(workflow_id, {"a": 1})
    assert (await hand.states(workflow_id))["waits"] == "available"


async def test_a_workflow_that_fails_again_after_its_recovery_calls_back_again(each_hand: Hand) -> None:
    workflow_id = await failed_chain(each_hand, on_finished=step())

    await each_hand.workflows.recover(workflow_id, **ASKED)
    await each_hand.run(workflow_id, {"s0": ValueError("again")})
    await each_hand.workflows.recover(workflow_id, **ASKED)
    await each_hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE state = 'available' AND meta ? 'outcome'")
    await each_hand.run_all(workflow_id)

    assert await each_hand.rows(CALLED_BACK) == [
        {"outcome": "failed", "generation": 1},
        {"outcome": "failed", "generation": 2},
        {"outcome": "completed", "generation": 3},
    ]


async def test_a_step_is_retried_while_its_workflow_still_runs(each_hand: Hand) -> None:
    workflow = Workflow("running")
    workflow.add_many({"a": step(), "slow": step()})
    workflow.add("both", step(), deps=["a", "slow"])
    workflow_id = await each_hand.insert(workflow)
    await each_hand.run(workflow_id, {"a": ValueError("x")})

    await each_hand.workflows.recover(workflow_id, "a", **ASKED)
    await each_hand.run(workflow_id, {"slow": 1})

    assert await each_hand.states(workflow_id) == {"a": "available", "slow": "completed", "both": "pending"}
    await each_hand.run_all(workflow_id)
    assert (await each_hand.workflow(workflow_id)).state == "completed"


async def test_the_expiry_counts_from_each_recovery_as_it_did_from_the_insert(hand: Hand) -> None:
    workflow_id = await failed_chain(hand, expires_in=timedelta(hours=1))
    for _ in range(2):
        await hand.rows(
            "UPDATE powertools.workflows SET inserted_at = inserted_at - interval '10 hours', "
            "expires_at = expires_at - interval '10 hours'"
        )
        await hand.workflows.recover(workflow_id, **ASKED)
        await hand.run(workflow_id, {"s0": ValueError("again")})

    left = await hand.one("SELECT expires_at - clock_timestamp() FROM powertools.workflows")

    assert timedelta(minutes=59) < left <= timedelta(hours=1)


async def test_a_step_whose_effects_must_never_happen_twice_is_not_retried(hand: Hand) -> None:
    workflow = Workflow("never")
    workflow.add("pay", step(), effects="never")
    workflow.add("other", step())
    workflow.add("after", step(), deps=["pay", "other"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"pay": ValueError("x"), "other": ValueError("y")})

    with pytest.raises(IllegalTransitionError, match="must never happen twice") as refused:
        await hand.workflows.recover(workflow_id, "pay", **ASKED)
    recovered = await hand.workflows.recover(workflow_id, **ASKED)

    assert refused.value.legal_next_steps == ("complete", "skip")
    assert (recovered.steps, recovered.revived) == (("other",), 0)
    assert await hand.states(workflow_id) == {"pay": "discarded", "other": "available", "after": "cancelled"}


async def test_a_cancelled_step_is_not_run_over_the_failure_of_the_step_before_it(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.workflows.request_cancel(workflow_id, **ASKED)

    with pytest.raises(IllegalTransitionError, match="s0"):
        await hand.workflows.recover(workflow_id, "s1", **ASKED)
    await hand.workflows.recover(workflow_id, **ASKED)

    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending"}


async def test_what_hangs_on_a_step_that_may_not_run_again_stays_when_all_others_come_back(hand: Hand) -> None:
    workflow = Workflow("never first")
    workflow.add("pay", step(), effects="never")
    workflow.add("after", step(), deps="pay")
    workflow.add("last", step(), deps="after")
    workflow.add("other", step())
    workflow_id = await hand.insert(workflow)
    await hand.workflows.request_cancel(workflow_id, **ASKED)

    recovered = await hand.workflows.recover(workflow_id, **ASKED)

    assert recovered.steps == ("other",)
    assert await hand.states(workflow_id) == {
        "pay": "cancelled",
        "after": "cancelled",
        "last": "cancelled",
        "other": "available",
    }


async def test_a_workflow_that_is_being_stopped_is_not_brought_back_before_it_has_ended(hand: Hand) -> None:
    workflow = Workflow("stopping")
    workflow.add_many({"a": step(), "b": step()})
    workflow_id = await hand.insert(workflow)
    [job] = await hand.start((await hand.job(workflow_id, "a")).id)
    await hand.workflows.request_cancel(workflow_id, **ASKED)

    with pytest.raises(IllegalTransitionError, match="being cancelled"):
        await hand.workflows.recover(workflow_id, "b", **ASKED)
    await hand.ack(await hand.execute(job, 1))
    await hand.workflows.recover(workflow_id, "b", **ASKED)

    assert await hand.states(workflow_id) == {"a": "completed", "b": "available"}
    assert (await hand.workflow(workflow_id)).cancel_requested_at is None


def tall(size: int) -> Workflow:
    return chain(size)


def wide(size: int) -> Workflow:
    workflow = Workflow("wide")
    workflow.add("s0", step())
    workflow.add_many({f"s{number}": step() for number in range(1, size)}, deps="s0")
    return workflow


def failing_all(size: int) -> Workflow:
    workflow = Workflow("roots")
    workflow.add_many({f"s{number}": step() for number in range(size)})
    return workflow


DISCARD_ITS_JOBS = """
UPDATE oban_jobs SET state = 'discarded'
WHERE state = 'available' AND id IN (SELECT job_id FROM powertools.steps WHERE workflow_id = %s)
"""


@pytest.mark.parametrize(("shape", "size"), [(tall, 1_000), (wide, 10_000), (failing_all, 10_000)])
async def test_a_cascade_and_a_recovery_of_any_size_take_the_statements_of_a_small_one(
    hand: Hand, shape: Callable[[int], Workflow], size: int
) -> None:
    counted: list[tuple[int, int]] = []
    for steps in (10, size):
        workflow_id = await hand.insert(shape(steps))
        async with count_executed(hand.conn) as cascading:
            await hand.rows(DISCARD_ITS_JOBS, workflow_id)
        async with count_executed(hand.conn) as recovering:
            recovered = await hand.workflows.recover(workflow_id, conn=hand.conn, **ASKED)
        counted.append((len(cascading), len(recovering)))
        assert len(recovered.steps) + recovered.revived == steps
        assert (await hand.workflow(workflow_id)).open == steps

    assert counted[0] == counted[1]
    await hand.rows("ANALYZE")  # for the invariants, which read everything
