"""A workflow as one step of another: it starts with the step, the step ends as it ends, and commands reach through."""

from datetime import timedelta
from typing import Any

import pytest
from oban import Cancel

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError, InvalidWorkflowError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}


def nested(*, levels: int = 2, **options: Any) -> Workflow:
    """before -> child (a chain of two, or nested again) -> after, which takes the child's results."""
    inner = chain(2, **options) if levels == 2 else nested(levels=levels - 1, **options)
    workflow = Workflow(f"level {levels}", on_finished=step())
    workflow.add("before", step())
    child = workflow.add_workflow("child", inner, deps="before")
    workflow.add("after", step({"given": child.result}))
    return workflow


async def child_of(hand: Hand, workflow_id: WorkflowId, name: str = "child") -> WorkflowId:
    child_id = (await hand.steps(workflow_id))[name].child_id
    assert child_id is not None
    return child_id


async def started(hand: Hand, **options: Any) -> tuple[WorkflowId, WorkflowId]:
    workflow_id = await hand.insert(nested(**options))
    await hand.run(workflow_id, {"before": None})
    return workflow_id, await child_of(hand, workflow_id)


async def test_it_starts_with_its_step_and_hands_over_its_results_as_a_map(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(nested())
    child_id = await child_of(each_hand, workflow_id)
    idle = await each_hand.states(child_id)

    await each_hand.run(workflow_id, {"before": None})
    running = await each_hand.states(workflow_id), await each_hand.states(child_id)
    await each_hand.run(child_id, {"s0": {"n": 1}})
    await each_hand.run(child_id, {"s1": None})

    assert idle == {"s0": "pending", "s1": "pending"}
    assert running == (
        {"before": "completed", "child": "executing", "after": "pending"},
        {"s0": "available", "s1": "pending"},
    )
    assert (await each_hand.job(workflow_id, "after")).args == {"given": {"s0": {"n": 1}, "s1": None}}
    assert (await each_hand.workflow(child_id)).parent_id == workflow_id


async def test_three_levels_end_one_after_the_other_in_one_commit(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(nested(levels=3))
    middle = await child_of(each_hand, workflow_id)
    inner = await child_of(each_hand, middle)
    await each_hand.run(workflow_id, {"before": 1})
    await each_hand.run(middle, {"before": 2})
    await each_hand.run(inner, {"s0": 3})
    await each_hand.run(inner, {"s1": 4})

    await each_hand.run(middle, {"after": 5})

    assert (await each_hand.job(workflow_id, "after")).args == {
        "given": {"before": 2, "child": {"s0": 3, "s1": 4}, "after": 5}
    }
    await each_hand.run_all(workflow_id)
    assert (await each_hand.workflow(workflow_id)).state == "completed"
    assert await each_hand.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'outcome'") == 2


async def test_its_failure_is_the_steps_and_goes_up_to_the_outermost(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(nested(levels=3))
    middle = await child_of(each_hand, workflow_id)
    inner = await child_of(each_hand, middle)
    await each_hand.run(workflow_id, {"before": 1})
    await each_hand.run(middle, {"before": 2})

    await each_hand.run(inner, {"s0": ValueError("no luck")})

    assert [(await each_hand.workflow(w)).state for w in (inner, middle, workflow_id)] == ["failed"] * 3
    child = (await each_hand.steps(workflow_id))["child"]
    assert (child.state, child.error["workflow_id"]) == ("discarded", middle)
    assert child.error["error"] == f"workflow {middle} failed, 1 of 3 steps failed, 1 cancelled"
    assert (await each_hand.states(workflow_id))["after"] == "cancelled"


async def test_a_continue_edge_goes_on_after_a_failed_one(hand: Hand) -> None:
    workflow = Workflow("handled")
    child = workflow.add_workflow("child", chain(1))
    workflow.add("after", step({"x": child.result, "e": child.error["error"]}), on_failure="continue")
    workflow_id = await hand.insert(workflow)
    child_id = await child_of(hand, workflow_id)

    await hand.run(child_id, {"s0": Cancel("no")})

    assert await hand.states(workflow_id) == {"child": "discarded", "after": "available"}
    said = f"workflow {child_id} failed, 1 of 1 steps cancelled"
    assert (await hand.job(workflow_id, "after")).args == {"x": None, "e": said}


async def test_a_cancel_reaches_down_to_the_innermost(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(nested(levels=3))
    middle = await child_of(each_hand, workflow_id)
    inner = await child_of(each_hand, middle)
    await each_hand.run(workflow_id, {"before": 1})
    await each_hand.run(middle, {"before": 2})
    [job] = await each_hand.start((await each_hand.job(inner, "s0")).id)

    await each_hand.workflows.request_cancel(workflow_id, **ASKED)
    requested = [(await each_hand.workflow(w)).state for w in (inner, middle, workflow_id)]
    await each_hand.ack(await each_hand.execute(job, "late"))

    assert requested == ["cancel_requested"] * 3
    assert [(await each_hand.workflow(w)).state for w in (inner, middle, workflow_id)] == ["cancelled"] * 3
    steps = [*(await each_hand.steps(inner)).values(), *(await each_hand.steps(workflow_id)).values()]
    assert [(s.name, s.state, s.cause) for s in steps] == [
        ("s0", "completed", "completed_after_cancel_request"),
        ("s1", "cancelled", "cancel_requested"),
        ("before", "completed", None),
        ("child", "cancelled", "cancel_requested"),
        ("after", "cancelled", "cancel_requested"),
    ]


async def test_one_that_completes_after_the_request_says_so_on_every_level(hand: Hand) -> None:
    outer, middle = Workflow("outer"), Workflow("middle")
    middle.add_workflow("inner", chain(1))
    outer.add_workflow("middle", middle)
    workflow_id = await hand.insert(outer)
    middle_id = await child_of(hand, workflow_id, "middle")
    inner_id = await child_of(hand, middle_id, "inner")
    [job] = await hand.start((await hand.job(inner_id, "s0")).id)

    await hand.workflows.request_cancel(workflow_id, **ASKED)
    await hand.ack(await hand.execute(job, 1))

    ended = [
        (await hand.steps(w))[name] for w, name in ((inner_id, "s0"), (middle_id, "inner"), (workflow_id, "middle"))
    ]
    assert [(s.state, s.cause) for s in ended] == [("completed", "completed_after_cancel_request")] * 3
    assert (await hand.workflow(workflow_id)).state == "completed"


async def test_cancelling_only_the_child_leaves_its_parent_running(hand: Hand) -> None:
    workflow = nested()
    workflow.add("beside", step())
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"before": None})

    await hand.workflows.request_cancel(await child_of(hand, workflow_id), **ASKED)

    assert await hand.states(workflow_id) == {
        "before": "completed",
        "child": "cancelled",
        "after": "cancelled",
        "beside": "available",
    }


async def test_cancelling_the_step_cancels_its_workflow(hand: Hand) -> None:
    workflow_id, child_id = await started(hand)

    await hand.workflows.recover(workflow_id, "child", "cancel", **ASKED)

    child = (await hand.steps(workflow_id))["child"]
    assert (child.state, child.cause) == ("cancelled", "cancelled_by_operator")
    assert (await hand.workflow(child_id)).state == "cancelled"


async def test_one_that_never_started_is_cancelled_by_its_dependency_and_brought_back_with_it(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(nested(levels=3))
    middle = await child_of(each_hand, workflow_id)
    inner = await child_of(each_hand, middle)
    await each_hand.run(workflow_id, {"before": ValueError("x")})
    cancelled = [(await each_hand.workflow(w)).state for w in (inner, middle, workflow_id)]

    await each_hand.workflows.recover(workflow_id, **ASKED)
    back = [(await each_hand.workflow(w)).state for w in (inner, middle, workflow_id)]
    for running in (workflow_id, middle, inner, middle, workflow_id):
        await each_hand.run_all(running)

    assert (cancelled, back) == (["failed"] * 3, ["running"] * 3)
    assert [(await each_hand.workflow(w)).state for w in (inner, middle, workflow_id)] == ["completed"] * 3


async def test_a_retry_of_the_step_goes_on_with_the_failed_steps_inside(each_hand: Hand) -> None:
    workflow_id, child_id = await started(each_hand)
    await each_hand.run(child_id, {"s0": 1})
    await each_hand.run(child_id, {"s1": ValueError("x")})

    recovered = await each_hand.workflows.recover(workflow_id, "child", **ASKED)

    assert (recovered.steps, recovered.revived) == (("child",), 1)
    assert await each_hand.states(child_id) == {"s0": "completed", "s1": "available"}
    assert await each_hand.states(workflow_id) == {"before": "completed", "child": "executing", "after": "pending"}
    await each_hand.run_all(child_id)
    await each_hand.run_all(workflow_id)
    assert [(await each_hand.workflow(w)).state for w in (child_id, workflow_id)] == ["completed"] * 2


async def test_a_retry_inside_brings_back_the_steps_above_and_what_waited_for_them(each_hand: Hand) -> None:
    outer = Workflow("outer")
    outer.add_workflow("child", nested())
    outer.add_workflow("next", chain(1), deps="child")
    workflow_id = await each_hand.insert(outer)
    middle = await child_of(each_hand, workflow_id)
    inner = await child_of(each_hand, middle)
    await each_hand.run(middle, {"before": 1})
    await each_hand.run(inner, {"s0": ValueError("x")})

    await each_hand.workflows.recover(inner, "s0", **ASKED)

    assert await each_hand.states(workflow_id) == {"child": "executing", "next": "pending"}
    assert await each_hand.states(middle) == {"before": "completed", "child": "executing", "after": "pending"}
    next_id = await child_of(each_hand, workflow_id, "next")
    for running in (inner, middle, next_id):
        await each_hand.run_all(running)
    assert (await each_hand.workflow(workflow_id)).state == "completed"


@pytest.mark.parametrize("action", ["complete", "skip"])
async def test_deciding_about_the_only_failed_step_inside_completes_the_step_above(hand: Hand, action: str) -> None:
    workflow_id, child_id = await started(hand)
    await hand.run(child_id, {"s0": 1})
    await hand.run(child_id, {"s1": ValueError("x")})

    await hand.workflows.recover(child_id, "s1", action, payload=2, **ASKED)

    assert (await hand.workflow(child_id)).state == "completed"
    given = {"s0": 1, "s1": 2 if action == "complete" else None}
    assert (await hand.job(workflow_id, "after")).args == {"given": given}


async def test_a_step_decided_by_an_operator_keeps_its_outcome_whatever_its_workflow_would_do(hand: Hand) -> None:
    workflow_id, child_id = await started(hand)
    await hand.run(child_id, {"s0": ValueError("x")})
    await hand.workflows.recover(workflow_id, "child", "complete", payload={"by": "hand"}, **ASKED)

    with pytest.raises(
        IllegalTransitionError, match=f"step 'child' of workflow {workflow_id}, which ran it, is completed"
    ):
        await hand.workflows.recover(child_id, "s0", **ASKED)

    assert (await hand.job(workflow_id, "after")).args == {"given": {"by": "hand"}}


async def test_steps_that_must_never_run_twice_are_not_reached_through_the_step_above(hand: Hand) -> None:
    inner = Workflow("inner")
    inner.add("pay", step(), effects="never")
    inner.add("mail", step())
    outer = Workflow("outer")
    outer.add_workflow("child", inner)
    workflow_id = await hand.insert(outer)
    child_id = await child_of(hand, workflow_id)
    await hand.run(child_id, {"pay": ValueError("x"), "mail": ValueError("y")})

    await hand.workflows.recover(workflow_id, "child", **ASKED)
    first = await hand.states(child_id)
    await hand.run(child_id, {"mail": None})
    with pytest.raises(IllegalTransitionError, match="no step of workflow"):
        await hand.workflows.recover(workflow_id, "child", **ASKED)
    with pytest.raises(IllegalTransitionError, match="no step failed that may run again"):
        await hand.workflows.recover(workflow_id, **ASKED)

    assert first == {"pay": "discarded", "mail": "available"}
    assert (await hand.states(workflow_id))["child"] == "discarded"


async def test_its_own_expiry_counts_from_its_start(hand: Hand) -> None:
    workflow_id = await hand.insert(nested(expires_in=timedelta(hours=1)))
    child_id = await child_of(hand, workflow_id)
    idle = (await hand.workflow(child_id)).expires_at
    await hand.run(workflow_id, {"before": None})
    begun = (await hand.workflow(child_id)).expires_at
    await hand.rows("UPDATE powertools.workflows SET expires_at = now() WHERE id = %s", child_id)

    await hand.sweep()

    assert (idle, begun is not None) == (None, True)
    steps = await hand.steps(workflow_id)
    assert (steps["child"].state, steps["after"].cause) == ("expired", "cancelled_by_dependency")
    assert [(await hand.workflow(w)).state for w in (child_id, workflow_id)] == ["expired", "failed"]


async def test_the_expiry_of_the_outermost_reaches_it(hand: Hand) -> None:
    outer = Workflow("outer", expires_in=timedelta(hours=1))
    outer.add_workflow("child", chain(2))
    workflow_id = await hand.insert(outer)
    child_id = await child_of(hand, workflow_id)
    await hand.rows("UPDATE powertools.workflows SET expires_at = now() WHERE id = %s", workflow_id)

    await hand.sweep()

    assert [(await hand.workflow(w)).state for w in (child_id, workflow_id)] == ["expired", "expired"]
    assert await hand.states(child_id) == {"s0": "expired", "s1": "expired"}


async def test_its_on_finished_comes_with_its_own_end(hand: Hand) -> None:
    workflow_id, child_id = await started(hand, on_finished=step(meta={"mine": 1}))

    await hand.run(child_id, {"s0": ValueError("x")})

    assert await hand.rows(
        "SELECT (meta -> 'workflow_id')::bigint AS workflow, meta ->> 'outcome' AS outcome FROM oban_jobs "
        "WHERE meta ? 'outcome' ORDER BY 1"
    ) == [{"workflow": workflow_id, "outcome": "failed"}, {"workflow": child_id, "outcome": "failed"}]


async def test_an_idempotency_key_is_refused_on_a_nested_one(hand: Hand) -> None:
    with pytest.raises(InvalidWorkflowError, match="stored with its parent"):
        await hand.insert(nested(idempotency_key="k"))

    assert await hand.one("SELECT count(*) FROM powertools.workflows") == 0


async def test_faults_inside_name_the_step_and_the_path(hand: Hand) -> None:
    inner = Workflow("inner")
    inner.add("x", step({"bad": {1, 2}}))
    outer = Workflow("outer")
    outer.add_workflow("child", inner)

    with pytest.raises(InvalidWorkflowError) as refused:
        await hand.insert(outer)

    [fault] = refused.value.faults
    assert (fault.code, fault.step, fault.path) == ("non_serializable", "child", "x.args.bad")
