"""Cancelled is not success: whatever cancels a step, but the request to cancel it all, fails what it belongs to."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from oban import Cancel

from oban_powertools import Workflow
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, Scripted, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}

type Way = Callable[[Hand, WorkflowId], Awaitable[Any]]


async def by_its_worker(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.run(workflow_id, {"s0": Cancel("not needed")})


async def by_oban(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.oban.cancel_job((await hand.job(workflow_id, "s0")).id or 0)


async def by_an_operator(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.recover(workflow_id, "s0", "cancel", **ASKED)


async def from_outside(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.workflows.complete_step(workflow_id, "s0", status="cancelled")


async def by_a_deleted_job(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.rows("DELETE FROM oban_jobs WHERE id = %s", (await hand.job(workflow_id, "s0")).id)


async def by_a_job_that_vanished_unseen(hand: Hand, workflow_id: WorkflowId) -> None:
    await hand.rows("TRUNCATE oban_jobs")
    await hand.sweep()


WAYS: list[Way] = [
    by_its_worker,
    by_oban,
    by_an_operator,
    from_outside,
    by_a_deleted_job,
    by_a_job_that_vanished_unseen,
]


def ways(test: Any) -> Any:
    return pytest.mark.parametrize("cancelled", WAYS, ids=lambda way: way.__name__)(test)


async def end_of(hand: Hand, workflow_id: WorkflowId) -> tuple[str, tuple[str, ...], bool | None]:
    record = await hand.workflow(workflow_id)
    return record.state, record.failed_steps, record.failures_handled


@ways
async def test_a_cancelled_step_fails_its_workflow(hand: Hand, cancelled: Way) -> None:
    workflow_id = await hand.insert(chain(1))

    await cancelled(hand, workflow_id)

    assert await end_of(hand, workflow_id) == ("failed", ("s0",), False)


@ways
async def test_the_culprit_is_named_before_its_victims(hand: Hand, cancelled: Way) -> None:
    workflow = Workflow("culprit last")
    workflow.add("victim", step(), deps="s0")
    workflow.add("its victim", step(), deps="victim")
    workflow.add("s0", step())
    workflow_id = await hand.insert(workflow)

    await cancelled(hand, workflow_id)

    assert await end_of(hand, workflow_id) == ("failed", ("s0", "victim", "its victim"), False)


@ways
async def test_a_cancelled_leaf_fails_the_nested_workflow_as_it_fails_a_flat_one(hand: Hand, cancelled: Way) -> None:
    workflow = Workflow("nested")
    inner = workflow.add_workflow("inner", chain(1))
    workflow.add("use", step({"value": inner.result["s0"]}))
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["inner"].child_id
    assert child_id is not None

    await cancelled(hand, child_id)

    assert await end_of(hand, child_id) == ("failed", ("s0",), False)
    assert await end_of(hand, workflow_id) == ("failed", ("inner", "use"), False)
    assert await hand.states(workflow_id) == {"inner": "discarded", "use": "cancelled"}


async def cancel_item(hand: Hand, max_failures: int) -> tuple[dict[str, str], Any]:
    """The states after a map of two, whose first item was cancelled and whose second completed; the map's result."""
    workflow = Workflow("mapped")
    workflow.map("each", Scripted, over=[1, 2], max_failures=max_failures)
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["each"].child_id
    assert child_id is not None
    await hand.run(child_id, {"each[0]": Cancel("not for sale"), "each[1]": 20})
    return await hand.states(workflow_id), (await hand.steps(workflow_id))["each"].result


@pytest.mark.parametrize(("max_failures", "ends", "result"), [(0, "discarded", None), (1, "completed", [None, 20])])
async def test_a_cancelled_item_counts_against_its_map(hand: Hand, max_failures: int, ends: str, result: Any) -> None:
    assert await cancel_item(hand, max_failures) == ({"each": ends}, result)


@ways
async def test_a_continue_edge_handles_a_cancelled_step_as_any_other_failure(hand: Hand, cancelled: Way) -> None:
    workflow = Workflow("foreseen")
    workflow.add("s0", step())
    workflow.add("after", step(), deps="s0", on_failure="continue")
    workflow_id = await hand.insert(workflow)

    await cancelled(hand, workflow_id)
    await hand.run(workflow_id, {"after": 1})

    assert await end_of(hand, workflow_id) == ("failed", ("s0",), True)


@ways
async def test_a_cancelled_step_that_is_retried_and_completes_fails_nothing(hand: Hand, cancelled: Way) -> None:
    workflow_id = await hand.insert(chain(2))
    await cancelled(hand, workflow_id)

    await hand.workflows.recover(workflow_id, **ASKED)
    await hand.run_all(workflow_id)

    assert await end_of(hand, workflow_id) == ("completed", (), None)


@ways
async def test_a_cancelled_step_that_an_operator_skips_is_a_success(hand: Hand, cancelled: Way) -> None:
    workflow_id = await hand.insert(chain(1))
    await cancelled(hand, workflow_id)

    await hand.workflows.recover(workflow_id, "s0", "skip", **ASKED)

    assert await end_of(hand, workflow_id) == ("completed", (), None)


@ways
async def test_one_recovered_step_leaves_another_cancelled_one_a_failure(hand: Hand, cancelled: Way) -> None:
    workflow = Workflow("two failures")
    workflow.add_many({"s0": step(), "other": step()})
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"other": ValueError("x")})
    await cancelled(hand, workflow_id)

    await hand.workflows.recover(workflow_id, "other", **ASKED)
    await hand.run(workflow_id, {"other": 1})

    assert await end_of(hand, workflow_id) == ("failed", ("s0",), False)


async def test_a_request_to_cancel_it_all_is_the_workflows_own_end(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    await hand.workflows.request_cancel(workflow_id, **ASKED)

    assert await end_of(hand, workflow_id) == ("cancelled", (), None)


async def test_a_nested_workflow_that_an_operator_cancelled_fails_the_one_around_it(hand: Hand) -> None:
    workflow = Workflow("nested")
    workflow.add_workflow("inner", chain(1))
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["inner"].child_id
    assert child_id is not None

    await hand.workflows.request_cancel(child_id, **ASKED)

    assert await end_of(hand, child_id) == ("cancelled", (), None)
    assert await end_of(hand, workflow_id) == ("failed", ("inner",), False)
