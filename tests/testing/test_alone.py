"""One worker alone, and a definition alone: no database."""

import pytest
from oban import Cancel, Job, Snooze, current_job

from oban_powertools import AwaitSignal, Workflow, current_step
from oban_powertools.errors import InvalidWorkflowError, NotInStepError, UnstorableValueError
from oban_powertools.testing import check, step_context
from tests.testing.workers import Stoppable, append, ask, charge, double, echo, fail, flaky, sleepy


async def test_a_worker_runs_with_its_context() -> None:
    with step_context(step="a", workflow="order", context={"account": 42}, attempt=4, generation=2) as step:
        assert await step.run(flaky.new()) == 1
        found = current_step()

    assert (found.step, found.workflow_name, found.context) == ("a", "order", {"account": 42})
    assert (found.attempt, found.generation) == (4, 2)


async def test_its_exception_is_raised() -> None:
    with step_context() as step, pytest.raises(ValueError, match="closed"):
        await step.run(fail.new(text="closed"))


async def test_references_take_the_results_that_are_given() -> None:
    workflow = Workflow("t")
    order = workflow.add("order", charge.new(amount=1))

    with step_context(results={"order": {"lines": [{"total": 7}]}}, errors={"order": None}) as step:
        assert await step.run(echo.new(x=order.result["lines"][0]["total"])) == 7
        assert await step.run(echo.new(x=[order.error, order.result["none"]])) == [None, None]


async def test_a_reference_without_a_result_says_what_to_give() -> None:
    workflow = Workflow("t")
    order = workflow.add("order", charge.new(amount=1))

    with step_context() as step, pytest.raises(KeyError, match=r"needs results=\{'order'"):
        await step.run(echo.new(x=order.result))


async def test_a_cancel_is_asked_for() -> None:
    with step_context(cancelled=True) as step:
        assert isinstance(await step.run(Stoppable.new({"n": 1})), Cancel)


async def test_what_else_a_worker_may_return_is_given_back() -> None:
    with step_context() as step:
        assert await step.run(ask.new()) == AwaitSignal("asked", "1")
        assert isinstance(await step.run(sleepy.new()), Snooze)


async def test_appended_steps_are_named() -> None:
    with step_context() as step:
        await step.run(append.new())

        assert step.appended == ["more"]


@pytest.mark.parametrize("value", [object(), {1: 2}, float("nan")], ids=["object", "key", "nan"])
async def test_what_could_not_be_stored_is_refused(value: object) -> None:
    with step_context() as step, pytest.raises(UnstorableValueError):
        await step.run(echo.new(x=value))


def test_a_test_without_a_loop_runs_it_too() -> None:
    with step_context() as step:
        assert step.run_blocking(double.new(n=4)) == 8
        assert step.run_blocking(charge.new(amount=1)) == {"charged": 1}


def test_outside_no_step_runs() -> None:
    with step_context():
        pass

    assert current_job() is None
    with pytest.raises(NotInStepError):
        current_step()


def test_a_sound_definition_passes() -> None:
    workflow = Workflow("t", on_finished=charge.new(amount=1))
    first = workflow.add("a", charge.new(amount=1))
    workflow.map("b", double, over=first.result, args={"n": Workflow.item})

    check(workflow)


def test_what_insert_refuses_is_refused() -> None:
    workflow = Workflow("t")
    workflow.add("a", charge.new(amount=1), deps=["bb"])
    workflow.add("b", echo.new(x=object()))

    with pytest.raises(InvalidWorkflowError) as refusal:
        check(workflow)

    assert [fault.code for fault in refusal.value.faults] == ["missing_dependency", "non_serializable"]


@pytest.mark.parametrize("around", [False, True], ids=["outermost", "nested"])
def test_workers_are_imported_and_their_args_bound(around: bool) -> None:
    workflow = Workflow("t")
    workflow.add("gone", Job("elsewhere.Worker"))
    workflow.add("no_worker", Job("tests.testing.test_alone.Workflow"))
    workflow.add("args", Job("tests.testing.workers.charge", args={"total": 1}))
    outer = Workflow("outer")
    outer.add_workflow("inner", workflow)

    with pytest.raises(InvalidWorkflowError) as refusal:
        check(outer if around else workflow)

    path = "inner." if around else ""
    assert [(fault.step, fault.code) for fault in refusal.value.faults] == [
        (f"{path}gone", "worker_not_importable"),
        (f"{path}no_worker", "worker_not_importable"),
        (f"{path}args", "args_do_not_bind"),
    ]
    assert "missing a required argument: 'amount'" in str(refusal.value)
