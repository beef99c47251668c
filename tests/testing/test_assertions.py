"""A failed assertion says what is different, and why the workflow is as it is."""

import pytest

from oban_powertools import Workflow
from oban_powertools.testing import WorkflowRunner
from tests.testing.workers import echo, fail


def order() -> Workflow:
    workflow = Workflow("order")
    workflow.add("check", echo.new(x=1))
    workflow.add("charge", fail.new(text="card declined"), deps=["check"])
    workflow.add("ship", echo.new(x=2), deps=["charge"])
    return workflow


async def test_a_workflow_that_failed_is_explained(workflow_runner: WorkflowRunner) -> None:
    run = await workflow_runner.run(order())

    with pytest.raises(AssertionError) as failure:
        run.assert_finished()

    assert str(failure.value).splitlines() == [
        f"workflow {run.id} 'order' is failed, expected completed: {run.why}",
        "  check: completed, attempt 1 of 20, result 1",
        "  charge: discarded, attempt 2 of 2, ValueError: card declined",
        "  ship: cancelled, cancelled_by_dependency",
    ]
    assert "card declined" in run.why


async def test_everything_that_is_different_about_a_step_is_said(workflow_runner: WorkflowRunner) -> None:
    run = await workflow_runner.run(order())

    with pytest.raises(AssertionError) as failure:
        run.assert_step("charge", state="completed", result=5, args={"text": "x"}, error="closed", attempts=1)

    assert str(failure.value).splitlines()[0] == (
        f"step 'charge' of workflow {run.id}: state is discarded, expected completed; attempts is 2, expected 1; "
        "result is None, expected 5; args is {'text': 'card declined'}, expected {'text': 'x'}; "
        f"error is 'ValueError: card declined', expected one with 'closed'. {run.why}"
    )


async def test_a_step_that_there_is_not_is_told_beside_those_that_there_are(workflow_runner: WorkflowRunner) -> None:
    run = await workflow_runner.run(order())

    with pytest.raises(AssertionError, match="has no step 'charges'; it has check, charge, ship"):
        run.assert_step("charges")


async def test_a_result_of_none_is_compared(workflow_runner: WorkflowRunner) -> None:
    run = await workflow_runner.run(order())

    with pytest.raises(AssertionError, match="result is 1, expected None"):
        run.assert_step("check", result=None)
