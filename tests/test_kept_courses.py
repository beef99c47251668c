"""Courses of events that the state machine found, and that once went wrong."""

from typing import Any

from oban_powertools import Workflow
from tests.by_hand import Hand, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}


def before_nested(inner: Workflow) -> Workflow:
    """before -> nested."""
    workflow = Workflow("outer")
    workflow.add("before", step())
    workflow.add_workflow("nested", inner, deps="before")
    return workflow


async def test_a_nested_workflow_that_never_starts_is_cancelled_with_the_step_that_would_have_run_it(
    hand: Hand,
) -> None:
    workflow_id = await hand.insert(before_nested(chain(2)))

    await hand.run(workflow_id, {"before": ValueError("boom")})

    states = await hand.rows("SELECT DISTINCT cause FROM powertools.steps WHERE name <> 'before'")
    assert states == [{"cause": "cancelled_by_dependency"}]
    assert await hand.violations() == []


async def test_a_nested_workflow_made_as_new_starts_another_generation_of_each_step(hand: Hand) -> None:
    workflow_id = await hand.insert(before_nested(chain(2)))
    nested_id = (await hand.steps(workflow_id))["nested"].child_id
    assert nested_id is not None
    await hand.workflows.recover(nested_id, "s1", "complete", payload="early", **ASKED)
    await hand.run(workflow_id, {"before": ValueError("boom")})

    await hand.workflows.recover(workflow_id, "before", **ASKED)

    steps = await hand.steps(nested_id)
    assert [(s.state, s.generation, s.result) for s in steps.values()] == [("pending", 2, None), ("pending", 2, None)]
    await hand.run_all(workflow_id)
    await hand.run_all(nested_id)
    assert (await hand.workflow(workflow_id)).state == "completed"
