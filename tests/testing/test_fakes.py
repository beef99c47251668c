"""Fakes give a step's outcome instead of its worker, once or attempt by attempt."""

from datetime import timedelta

import pytest
from oban import Job

from oban_powertools import Workflow, current_step
from oban_powertools.testing import WorkflowRunner, WrongFakeError
from tests.testing.workers import CALLED, Stoppable, charge, double, echo


def order() -> Workflow:
    workflow = Workflow("order")
    charged = workflow.add("charge", charge.new(amount=5))
    workflow.add("tell", echo.new(x=charged.result))
    return workflow


async def test_a_value_is_the_result_and_the_worker_does_not_run(workflow_runner: WorkflowRunner) -> None:
    CALLED.clear()

    run = await workflow_runner.run(order(), fakes={"charge": {"charged": 9}})

    run.assert_step("tell", args={"x": {"charged": 9}})
    assert CALLED == []


async def test_an_exception_fails_each_attempt(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("charge", charge.new(amount=5))

    run = await workflow_runner.run(workflow, fakes={"charge": OSError("no route")})

    run.assert_finished("failed")
    run.assert_step("charge", attempts=20, error="OSError: no route")


async def test_a_list_gives_an_outcome_for_each_attempt(workflow_runner: WorkflowRunner) -> None:
    run = await workflow_runner.run(order(), fakes={"charge": [OSError("x"), TimeoutError, {"charged": 1}]})

    run.assert_step("charge", attempts=3, result={"charged": 1})


async def test_a_list_that_is_too_short_fails_the_test(workflow_runner: WorkflowRunner) -> None:
    with pytest.raises(WrongFakeError, match="the fake of 'charge' has 1 outcomes, and its worker ran 2 times"):
        await workflow_runner.run(order(), fakes={"charge": [OSError("x")]})


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_function_gets_the_args_and_knows_its_step(workflow_runner: WorkflowRunner, asynchronous: bool) -> None:
    async def later(amount: int) -> list[object]:
        return [amount, current_step().step]

    def at_once(amount: int) -> list[object]:
        return [amount, current_step().step]

    run = await workflow_runner.run(order(), fakes={"charge": later if asynchronous else at_once})

    run.assert_step("charge", result=[5, "charge"])


async def test_a_worker_names_all_its_steps(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("a", charge.new(amount=1))
    workflow.add("b", charge.new(amount=2))

    run = await workflow_runner.run(workflow, fakes={charge: lambda amount: amount})

    assert run.results == {"a": 1, "b": 2}


async def test_the_name_of_a_map_means_its_items(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.map("doubled", double, over=[1, 2, 3], args={"n": Workflow.item})

    run = await workflow_runner.run(workflow, fakes={"doubled": lambda n: 10 * n})

    run.assert_step("doubled", result=[10, 20, 30])


async def test_the_workers_own_backoff_holds(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("a", Stoppable.new({"n": 1}))

    run = await workflow_runner.run(workflow, fakes={"a": [OSError("x"), 1]})

    assert timedelta(days=7) <= run.passed < timedelta(days=8)


async def test_a_worker_that_cannot_be_imported_is_faked(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("a", Job("elsewhere.Worker", args={"n": 1}))

    run = await workflow_runner.run(workflow, fakes={"a": lambda n: n})

    run.assert_step("a", result=1)


async def test_a_fake_of_no_step_is_refused_before_anything_runs(workflow_runner: WorkflowRunner) -> None:
    CALLED.clear()

    with pytest.raises(WrongFakeError, match="no step of the workflow has that name; did you mean 'charge'"):
        await workflow_runner.run(order(), fakes={"chargee": 1})

    assert CALLED == []


async def test_a_fake_of_what_runs_no_job_is_refused(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.await_signal("approve", signal="approval", correlation_key="7")

    with pytest.raises(WrongFakeError, match="waits for a signal: give its payload in signals="):
        await workflow_runner.run(workflow, fakes={"approve": 1})
