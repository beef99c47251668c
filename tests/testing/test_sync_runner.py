"""The same for tests without an event loop."""

from datetime import timedelta

from oban_powertools import Workflow
from oban_powertools.testing import SyncWorkflowRunner
from tests.testing.workers import double, echo


def test_a_workflow_runs_to_its_end(sync_workflow_runner: SyncWorkflowRunner) -> None:
    workflow = Workflow("t")
    first = workflow.add("a", double.new(n=2))
    workflow.add("b", echo.new(x=first.result), delay=timedelta(days=30))

    run = sync_workflow_runner.run(workflow, fakes={"a": 7})

    run.assert_step("b", result=7)


def test_what_the_application_inserted_is_run(sync_workflow_runner: SyncWorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.await_signal("approve", signal="approval", correlation_key="7", deadline=timedelta(days=2))
    handle = sync_workflow_runner.calls.workflows.insert(workflow)

    sync_workflow_runner.advance(timedelta(days=1))
    sync_workflow_runner.look(handle.id).assert_step("approve", state="awaiting_signal")
    sync_workflow_runner.signal("approval", "7", "yes")
    sync_workflow_runner.drain()

    assert sync_workflow_runner.calls.workflows.results(handle.id) == {"approve": "yes"}
    sync_workflow_runner.run(handle).assert_finished()
