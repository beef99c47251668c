"""Explanations of what is neither a parent nor a job: signals, holds, nested workflows, maps, ends asked for."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import AwaitSignal, StepExplanation, Workflow
from oban_powertools.explain import Scope
from oban_powertools.states import OperatorStatus, WorkflowId
from tests.support.by_hand import Hand, Scripted, step
from tests.support.explaining import FAILURE, causes, codes, register, sync

WHO = {"actor": "ops-1", "reason": "the account is closed"}
AN_HOUR = timedelta(hours=1)


def approval(**options: Any) -> Workflow:
    """ask -> approve (a signal) -> pay."""
    workflow = Workflow("expense", **options)
    workflow.add("ask", step())
    answer = workflow.await_signal(
        "approve", signal="approved", correlation_key="expense-7", deadline=timedelta(hours=3), deps="ask"
    )
    workflow.add("pay", step({"by": answer.result["name"]}))
    return workflow


def family() -> Workflow:
    """before -> inner (fetch -> bill) -> after."""
    inner = Workflow("inner")
    inner.add("fetch", step())
    inner.add("bill", step(), deps="fetch")
    workflow = Workflow("outer")
    workflow.add("before", step())
    workflow.add_workflow("inner", inner, deps="before")
    workflow.add("after", step(), deps="inner")
    return workflow


def mapped(items: list[Any], **options: Any) -> Workflow:
    """each (an item a step) -> after."""
    workflow = Workflow("mapped")
    workflow.map("each", Scripted, over=items, **options)
    workflow.add("after", step(), deps="each")
    return workflow


async def explained(hand: Hand, workflow_id: WorkflowId, name: str) -> StepExplanation:
    return await hand.powertools.explain.workflow_step(workflow_id, name)


async def child_of(hand: Hand, workflow_id: WorkflowId, name: str) -> WorkflowId:
    child_id = (await hand.steps(workflow_id))[name].child_id
    assert child_id is not None
    return child_id


async def test_a_step_that_awaits_a_signal_says_which_one_and_for_how_long(hand: Hand) -> None:
    workflow_id = await hand.insert(approval())
    await hand.run(workflow_id, {"ask": None})

    found = await explained(hand, workflow_id, "approve")

    [blocker] = found.blockers
    assert (found.status, blocker.code, found.kind) == (OperatorStatus.WAITING, "waiting_on_signal", "signal")
    assert found.summary == "approve waits for signal approved with key expense-7, for 3 h more"
    assert (blocker.details["signal"], blocker.details["correlation_key"]) == ("approved", "expense-7")
    waits_for = blocker.details["deadline_at"] - blocker.details["registered_at"]
    assert abs(waits_for - timedelta(hours=3)) < timedelta(seconds=1)
    assert (found.worker, found.queue) == (None, None)


async def test_a_worker_that_returned_a_wait_is_explained_as_a_waiting_step(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": AwaitSignal("ready", "42")})

    found = await explained(hand, workflow_id, "fetch")

    assert (found.state, found.summary) == (
        "awaiting_signal",
        "fetch waits for signal ready with key 42, without a deadline",
    )


async def test_a_signal_is_the_root_cause_of_what_waits_behind_it(hand: Hand) -> None:
    workflow_id = await hand.insert(approval())
    await hand.run(workflow_id, {"ask": None})

    found = await explained(hand, workflow_id, "pay")
    whole = await hand.powertools.explain.workflow(workflow_id)

    assert causes(found) == {"approve": "waiting_on_signal"}
    assert [group.code for group in whole.root_causes] == ["waiting_on_signal"]


async def test_a_wait_past_its_deadline_says_that_the_sweep_is_due(hand: Hand) -> None:
    workflow_id = await hand.insert(approval())
    await hand.run(workflow_id, {"ask": None})
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() - interval '1 s'")

    found = await explained(hand, workflow_id, "approve")

    assert found.summary.endswith("past its deadline: the sweep expires it")


async def test_an_expired_wait_names_the_signal_that_did_not_come(hand: Hand) -> None:
    workflow_id = await hand.insert(approval())
    await hand.run(workflow_id, {"ask": None})
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() - interval '1 s'")
    await hand.sweep()

    found = await explained(hand, workflow_id, "approve")
    after = await explained(hand, workflow_id, "pay")

    assert (found.status, found.cause, codes(found)) == (OperatorStatus.FINISHED, "wait_expired", ["expired_wait"])
    assert found.summary == ("approve waited for signal approved with key expense-7, which did not come in time")
    assert (codes(after), causes(after)) == (["cancelled_by_dependency"], {"approve": "expired_wait"})


async def test_a_wait_whose_key_resolved_to_nothing_could_not_start(hand: Hand) -> None:
    workflow = Workflow("keyless")
    asked = workflow.add("ask", step())
    workflow.await_signal("approve", signal="approved", correlation_key=asked.result["id"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"ask": {}})

    found = await explained(hand, workflow_id, "approve")

    assert codes(found) == ["could_not_start"]
    assert "the correlation key is empty" in found.summary


@pytest.mark.parametrize("name", ["fetch", "notify"], ids=["released", "pending"])
async def test_a_held_step_says_until_when_and_why(hand: Hand, name: str) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.workflows.hold(workflow_id, name, hold_for=AN_HOUR, **WHO)

    found = await explained(hand, workflow_id, name)

    [blocker] = [blocker for blocker in found.blockers if blocker.code == "held"]
    assert (found.status, blocker.scope) == (OperatorStatus.WAITING, Scope.STEP)
    assert blocker.summary == f"{name} is held for 1 h more: the account is closed"
    assert blocker.retry_at == blocker.details["held_until"]


async def test_a_held_step_whose_parents_have_ended_is_a_root_cause(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.workflows.hold(workflow_id, "sync_billing", hold_for=AN_HOUR, **WHO)
    await hand.run(workflow_id, {"fetch": None})

    found = await explained(hand, workflow_id, "notify")
    held = await explained(hand, workflow_id, "sync_billing")
    whole = await hand.powertools.explain.workflow(workflow_id)

    assert (held.state, codes(held)) == ("pending", ["held"])
    assert causes(found) == {"sync_billing": "held"}
    assert [(group.code, group.status) for group in whole.root_causes] == [("held", OperatorStatus.WAITING)]


async def test_a_suspended_job_of_a_held_step_needs_no_review(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.workflows.hold(workflow_id, "fetch", hold_for=AN_HOUR, **WHO)

    found = await explained(hand, workflow_id, "fetch")
    assert found.job_id is not None
    job = await hand.powertools.explain.job(found.job_id)

    assert (found.state, codes(found)) == ("suspended", ["held"])
    assert (job.status, codes(job)) == (OperatorStatus.WAITING, ["held"])


async def test_a_step_that_was_asked_to_stop_says_so_while_it_runs(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.start((await hand.job(workflow_id, "fetch")).id)
    await hand.workflows.recover(workflow_id, "fetch", "cancel", **WHO)

    found = await explained(hand, workflow_id, "fetch")

    [blocker] = found.blockers
    assert (found.status, blocker.code, blocker.scope) == (OperatorStatus.RUNNING, "cancel_requested", Scope.STEP)


async def test_a_workflow_that_is_being_stopped_says_so_in_its_running_steps_and_jobs(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    job_id = (await hand.job(workflow_id, "fetch")).id
    await hand.start(job_id)
    await hand.workflows.request_cancel(workflow_id, **WHO)

    found = await explained(hand, workflow_id, "fetch")
    gone = await explained(hand, workflow_id, "notify")
    assert found.job_id is not None
    job = await hand.powertools.explain.job(found.job_id)

    assert (found.status, codes(found)) == (OperatorStatus.RUNNING, ["cancel_requested"])
    assert (job.status, codes(job)) == (OperatorStatus.RUNNING, ["cancel_requested"])
    assert (gone.status, gone.summary) == (OperatorStatus.FINISHED, "notify was cancelled with its workflow")
    whole = await hand.powertools.explain.workflow(workflow_id)
    assert (whole.status, codes(whole), whole.blockers[0].scope) == (
        OperatorStatus.RUNNING,
        ["cancel_requested"],
        Scope.WORKFLOW,
    )


async def test_an_expired_workflow_says_so_in_its_steps(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(approval(expires_in=AN_HOUR))
    await hand.start((await hand.job(workflow_id, "ask")).id)
    await hand.rows("UPDATE powertools.workflows SET expires_at = now() - interval '1 s'")
    await hand.sweep()

    running = await explained(hand, workflow_id, "ask")
    ended = await explained(hand, workflow_id, "pay")

    assert (running.status, codes(running)) == (OperatorStatus.RUNNING, ["workflow_expired"])
    assert (ended.status, codes(ended)) == (OperatorStatus.FINISHED, ["workflow_expired"])


@pytest.mark.parametrize(
    ("action", "says", "found_codes"),
    [
        ("complete", "was completed by an operator", []),
        ("skip", "was skipped by an operator", []),
        ("cancel", "was cancelled by an operator", ["cancelled_by_operator"]),
    ],
)
async def test_what_an_operator_decided_is_told(hand: Hand, action: str, says: str, found_codes: list[str]) -> None:
    workflow_id = await hand.insert(sync())
    await hand.workflows.recover(workflow_id, "sync_billing", action, **WHO)

    found = await explained(hand, workflow_id, "sync_billing")

    assert (found.status, found.summary, codes(found)) == (OperatorStatus.FINISHED, f"sync_billing {says}", found_codes)


async def test_a_nested_workflow_is_explained_by_its_own_root_causes(hand: Hand) -> None:
    workflow_id = await hand.insert(family())
    await hand.run(workflow_id, {"before": None})
    child_id = await child_of(hand, workflow_id, "inner")
    await hand.run(child_id, {"fetch": None})

    inner = await explained(hand, workflow_id, "inner")
    after = await explained(hand, workflow_id, "after")
    whole = await hand.powertools.explain.workflow(workflow_id)

    assert (inner.kind, inner.child_id, codes(inner)) == ("workflow", child_id, ["waiting_on_workflow"])
    assert inner.status is OperatorStatus.BLOCKED
    assert inner.summary == (
        f"inner runs workflow {child_id}, 1 of 2 steps ended: "
        f"bill of workflow {child_id} cannot start: no executor works on queue default"
    )
    for found in (inner, after):
        assert [(c.workflow_id, c.step, c.code) for c in found.root_causes] == [
            (child_id, "bill", "queue_has_no_executor")
        ]
    assert [group.code for group in whole.root_causes] == ["queue_has_no_executor"]


async def test_a_nested_workflow_that_has_not_started_waits_for_what_its_step_waits_for(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(family())
    child_id = await child_of(hand, workflow_id, "inner")

    root = await explained(hand, child_id, "fetch")
    deeper = await explained(hand, child_id, "bill")
    whole = await hand.powertools.explain.workflow(child_id)

    assert root.blockers[0].summary == f"fetch waits for its workflow to be started by inner of workflow {workflow_id}"
    for found in (root, deeper):
        assert (found.status, [(c.workflow_id, c.step) for c in found.root_causes]) == (
            OperatorStatus.WAITING,
            [(workflow_id, "before")],
        )
    assert (whole.status, codes(whole)) == (OperatorStatus.RUNNABLE, ["waiting_on_dependencies"])


async def test_a_failed_nested_workflow_is_traced_to_the_step_that_failed_in_it(hand: Hand) -> None:
    workflow_id = await hand.insert(family())
    await hand.run(workflow_id, {"before": None})
    child_id = await child_of(hand, workflow_id, "inner")
    await hand.run(child_id, {"fetch": FAILURE})

    inner = await explained(hand, workflow_id, "inner")
    after = await explained(hand, workflow_id, "after")

    assert (inner.status, codes(inner)) == (OperatorStatus.FINISHED, ["nested_workflow_failed"])
    assert [(c.workflow_id, c.step) for c in after.root_causes] == [(child_id, "fetch")]
    assert after.summary == (
        f"after was cancelled because fetch of workflow {child_id} failed after 1 of 1 attempts: "
        "RuntimeError: HTTP 503 from billing"
    )


async def test_what_was_cancelled_with_a_nested_workflow_is_traced_out_of_it(hand: Hand) -> None:
    workflow_id = await hand.insert(family())
    await hand.run(workflow_id, {"before": FAILURE})
    child_id = await child_of(hand, workflow_id, "inner")

    found = await explained(hand, child_id, "bill")

    assert (codes(found), causes(found)) == (["cancelled_by_dependency"], {"before": "attempts_exhausted"})
    assert f"before of workflow {workflow_id} failed" in found.summary


async def test_a_map_tells_how_many_of_its_items_are_done_and_failed(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(mapped([1, 2, 3], max_failures=1))
    child_id = await child_of(hand, workflow_id, "each")
    await hand.run(child_id, {"each[0]": "one"})
    await hand.start((await hand.job(child_id, "each[1]")).id)

    found = await explained(hand, workflow_id, "each")

    [blocker] = found.blockers
    assert (found.status, blocker.code) == (OperatorStatus.RUNNING, "waiting_on_items")
    ends = {"done": 1, "failed": 0, "cancelled": 0, "expired": 0}
    assert blocker.details == {"workflow_id": child_id, "total": 3, "max_failures": 1} | ends
    assert blocker.summary == f"each runs 3 items in workflow {child_id}, 1 ended"
    assert {c.step: c.code for c in found.root_causes} == {"each[1]": "executing", "each[2]": "available"}


async def test_many_items_of_a_map_are_one_kind_of_root_cause(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(mapped(list(range(200))))

    after = await explained(hand, workflow_id, "after")
    whole = await hand.powertools.explain.workflow(workflow_id)

    assert (len(after.root_causes), after.more_root_causes) == (20, 180)
    assert [(group.code, group.count) for group in whole.root_causes] == [("available", 200)]


async def test_a_map_over_something_else_than_a_list_could_not_start(hand: Hand) -> None:
    workflow = Workflow("odd")
    listed = workflow.add("list", step())
    workflow.map("each", Scripted, over=listed.result)
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"list": {"not": "a list"}})

    found = await explained(hand, workflow_id, "each")

    assert (found.status, codes(found)) == (OperatorStatus.FINISHED, ["could_not_start"])
    assert found.summary == "each could not start: the value to map is object, expected a list"
