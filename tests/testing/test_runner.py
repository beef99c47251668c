"""A runner runs workflows to their end, by the real engine and without waiting."""

from datetime import UTC, datetime, timedelta
from typing import Any

import oban.testing
import pytest
from oban import Job, Oban

from oban_powertools import AwaitSignal, Workflow, current_powertools
from oban_powertools.errors import InlineModeError, InvalidArgumentError, NotInWorkerError
from oban_powertools.testing import NothingMovesError, SyncWorkflowRunner, WorkflowRunner, open_runner
from tests.testing.workers import (
    CALLED,
    append,
    ask,
    asks_for_the_other_calls,
    charge,
    double,
    echo,
    enqueue_another,
    fail,
    flaky,
    inserts_another,
    inserts_another_plainly,
    sleepy,
    snooze_for_ever,
    tell,
)

DAY = timedelta(days=1)


async def violations(runner: WorkflowRunner) -> list[object]:
    async with runner.powertools.connect() as conn:
        return await (await conn.execute("SELECT * FROM powertools.check_invariants_v1()")).fetchall()


async def test_retries_and_a_delay_of_thirty_days_pass_without_waiting(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    first = workflow.add("flaky", flaky.new())
    workflow.add("later", echo.new(x=first.result), delay=30 * DAY)

    run = await workflow_runner.run(workflow)

    run.assert_finished()
    run.assert_step("flaky", attempts=4, result=1)
    run.assert_step("later", result=1)
    assert 30 * DAY <= run.passed < 31 * DAY
    assert await violations(workflow_runner) == []


async def test_what_happened_lies_as_far_back_as_time_passed(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("a", echo.new(x=1))
    workflow.add("b", echo.new(x=2), deps=["a"], delay=30 * DAY)

    run = await workflow_runner.run(workflow)

    now = datetime.now(UTC)
    started = run.steps["a"].started_at
    assert started is not None
    assert timedelta(0) <= now - started - 30 * DAY < timedelta(minutes=1)
    history = await workflow_runner.powertools.workflows.history(run.id)
    instants = [entry.at for entry in history.entries]
    assert instants == sorted(instants)


async def test_a_failure_ends_the_workflow_and_its_callback_runs(workflow_runner: WorkflowRunner) -> None:
    CALLED.clear()
    workflow = Workflow("t", on_finished=tell.new())
    workflow.add("fail", fail.new(text="the bank is closed"))
    workflow.add("after", echo.new(x=1), deps=["fail"])

    run = await workflow_runner.run(workflow)

    run.assert_finished("failed")
    run.assert_step("fail", state="discarded", attempts=2, error="the bank is closed")
    run.assert_step("after", state="cancelled")
    assert CALLED == ["told failed"]


async def test_maps_nested_workflows_and_appended_steps_run(workflow_runner: WorkflowRunner) -> None:
    inner = Workflow("inner")
    inner.add("pack", double.new(n=1))
    workflow = Workflow("t")
    numbers = workflow.add("numbers", echo.new(x=[1, 2, 3]))
    workflow.map("doubled", double, over=numbers.result, args={"n": Workflow.item})
    workflow.add_workflow("fulfil", inner, deps=["numbers"])
    workflow.add("append", append.new())

    run = await workflow_runner.run(workflow)

    run.assert_finished()
    run.assert_step("doubled", result=[2, 4, 6])
    run.assert_step("doubled/doubled[1]", args={"n": 2}, result=4)
    run.assert_step("fulfil/pack", result=2)
    run.assert_step("more", result=8)


async def test_a_snooze_of_days_passes(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("sleepy", sleepy.new())

    run = await workflow_runner.run(workflow)

    run.assert_step("sleepy", result="awake")
    assert 3 * DAY <= run.passed < 4 * DAY


async def test_a_signal_that_is_given_comes_where_it_is_waited_for(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.await_signal("approve", signal="approval", correlation_key="7", deadline=3 * DAY)
    workflow.add("asks", ask.new())

    run = await workflow_runner.run(workflow, signals={"approve": {"by": "ann"}, "asked": 42})

    run.assert_finished()
    run.assert_step("approve", result={"by": "ann"})
    run.assert_step("asks", result=42)
    assert run.passed < DAY


async def test_without_a_signal_the_deadline_passes(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.await_signal("approve", signal="approval", correlation_key="7", deadline=3 * DAY)

    run = await workflow_runner.run(workflow)

    run.assert_finished("failed")
    run.assert_step("approve", state="expired")
    assert 3 * DAY <= run.passed < 4 * DAY


async def test_a_wait_without_a_deadline_is_explained_instead_of_waited_for(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("order")
    workflow.await_signal("approve", signal="approval", correlation_key="7")

    with pytest.raises(NothingMovesError) as refusal:
        await workflow_runner.run(workflow)

    assert "'order' did not reach its end: nothing is scheduled that would move it" in str(refusal.value)
    assert "approve: awaiting_signal, signal 'approval' with key '7'" in str(refusal.value)


async def test_the_time_of_a_workflow_runs_out(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t", expires_in=timedelta(hours=2))
    workflow.add("later", echo.new(x=1), delay=DAY)

    run = await workflow_runner.run(workflow)

    run.assert_finished("expired")


async def test_a_worker_that_snoozes_for_ever_ends_the_run(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("snooze", snooze_for_ever.new())

    with pytest.raises(NothingMovesError, match="no more than 1:00:00 was to pass"):
        await workflow_runner.run(workflow, within=timedelta(hours=1))


async def test_a_run_stops_where_a_step_waits(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("first", echo.new(x=1), delay=DAY)
    workflow.await_signal("approve", signal="approval", correlation_key="7", deadline=DAY, deps=["first"])

    run = await workflow_runner.run(workflow, until="approve")

    run.assert_step("approve", state="awaiting_signal")
    await workflow_runner.signal("approval", "7", "yes")
    (await workflow_runner.look(run.id)).assert_step("approve", state="completed", result="yes")


async def test_time_passes_as_far_as_it_is_told_to(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("soon", echo.new(x=1), delay=DAY)
    workflow.add("later", echo.new(x=1), delay=10 * DAY)
    handle = await workflow_runner.powertools.workflows.insert(workflow)

    await workflow_runner.advance(5 * DAY)

    run = await workflow_runner.look(handle)
    run.assert_step("soon", state="completed")
    run.assert_step("later", state="scheduled")


async def test_what_becomes_due_meanwhile_happens_in_its_order(workflow_runner: WorkflowRunner) -> None:
    CALLED.clear()
    workflow = Workflow("t")
    workflow.add("second", charge.new(amount=2), delay=2 * DAY)
    first = workflow.add("first", charge.new(amount=1), delay=DAY)
    workflow.add("third", charge.new(amount=3), deps=[first], delay=2 * DAY)
    await workflow_runner.powertools.workflows.insert(workflow)

    await workflow_runner.advance(30 * DAY)

    assert CALLED == ["charge 1", "charge 2", "charge 3"]


async def test_a_hold_ends_by_itself(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("a", echo.new(x=1))
    handle = await workflow_runner.powertools.workflows.insert(workflow)
    await workflow_runner.powertools.workflows.hold(handle.id, hold_for=DAY, actor="ann", reason="the bank is closed")

    run = await workflow_runner.run(handle)

    run.assert_finished()
    assert DAY <= run.passed < 2 * DAY


async def test_plain_jobs_run_too_and_a_worker_may_enqueue(workflow_runner: WorkflowRunner) -> None:
    CALLED.clear()
    workflow = Workflow("t")
    workflow.add("enqueue", enqueue_another.new())

    (await workflow_runner.run(workflow)).assert_step("enqueue", result=True)
    await workflow_runner.drain()

    assert CALLED == ["charge 7"]


async def test_a_failed_workflow_is_recovered_and_run_again(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("fail", fail.new(text="x"))
    run = await workflow_runner.run(workflow)

    await workflow_runner.powertools.workflows.recover(run.id, actor="ann", reason="the bank is open again")
    again = await workflow_runner.run(run.id, fakes={"fail": "fine"})

    again.assert_finished()
    again.assert_step("fail", result="fine")


async def test_no_step_of_another_workflow_is_mistaken_for_one_of_this(workflow_runner: WorkflowRunner) -> None:
    other = Workflow("other")
    other.await_signal("approve", signal="approval", correlation_key="7")
    await workflow_runner.powertools.workflows.insert(other)
    workflow = Workflow("t")
    workflow.await_signal("approve", signal="approval", correlation_key="8")

    run = await workflow_runner.run(workflow, signals={"approve": 1})

    run.assert_step("approve", result=1)


async def test_inline_mode_does_not_keep_a_runner_from_running(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("enqueue", enqueue_another.new())

    with oban.testing.mode("inline"):
        run = await workflow_runner.run(workflow)

    run.assert_step("enqueue", result=True)


async def test_inserting_a_workflow_in_inline_mode_is_refused_and_names_the_runner(
    workflow_runner: WorkflowRunner, sync_workflow_runner: SyncWorkflowRunner
) -> None:
    workflow = Workflow("t")
    workflow.add("echo", echo.new(x=1))
    insert, insert_many = workflow_runner.powertools.workflows.insert, workflow_runner.powertools.workflows.insert_many

    with oban.testing.mode("inline"):
        with pytest.raises(InlineModeError, match=r"workflow 't' .* workflow_runner"):
            await insert(workflow)
        with pytest.raises(InlineModeError):
            await insert_many([workflow])
        with pytest.raises(InlineModeError):
            sync_workflow_runner.calls.workflows.insert(workflow)
        assert await insert_many([]) == []
        with oban.testing.mode("manual"):
            handle = await insert(workflow)

    assert handle.inserted


@pytest.mark.parametrize("worker", [inserts_another, inserts_another_plainly], ids=["async", "plain"])
async def test_a_worker_has_the_calls_of_its_process(workflow_runner: WorkflowRunner, worker: Any) -> None:
    workflow = Workflow("t")
    workflow.add("insert", worker.new())

    run = await workflow_runner.run(workflow)

    run.assert_finished()
    (await workflow_runner.run(run.results["insert"])).assert_step("echo", result="another")


def test_a_worker_has_the_calls_of_its_process_without_asyncio_too(sync_workflow_runner: SyncWorkflowRunner) -> None:
    for worker in (inserts_another, inserts_another_plainly):
        workflow = Workflow("t")
        workflow.add("insert", worker.new())

        run = sync_workflow_runner.run(workflow)

        sync_workflow_runner.run(run.results["insert"]).assert_step("echo", result="another")


async def test_an_asynchronous_worker_is_refused_the_calls_that_block(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("ask", asks_for_the_other_calls.new())

    run = await workflow_runner.run(workflow)

    assert "call current_powertools()" in run.results["ask"]


async def test_the_calls_of_a_worker_end_with_it(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("insert", inserts_another.new())
    await workflow_runner.run(workflow)

    with pytest.raises(NotInWorkerError):
        current_powertools()


@pytest.mark.parametrize("hour", [3600, 3600.0, timedelta(hours=1)], ids=["int", "float", "timedelta"])
async def test_durations_are_seconds_or_a_timedelta(workflow_runner: WorkflowRunner, hour: Any) -> None:
    workflow = Workflow("t")
    workflow.add("snooze", snooze_for_ever.new())

    with pytest.raises(NothingMovesError, match="no more than 1:00:00 was to pass"):
        await workflow_runner.run(workflow, within=hour)
    await workflow_runner.advance(hour)
    assert (await workflow_runner.look(1, passed=hour)).passed == timedelta(hours=1)


@pytest.mark.parametrize("wrong", ["1h", True, -1, timedelta(days=-1)])
async def test_what_is_no_duration_is_refused_by_name(workflow_runner: WorkflowRunner, wrong: Any) -> None:
    workflow = Workflow("t")
    workflow.add("echo", echo.new(x=1))
    stored = await workflow_runner.powertools.workflows.insert(workflow)

    with pytest.raises(InvalidArgumentError, match="within"):
        await workflow_runner.run(stored, within=wrong)
    with pytest.raises(InvalidArgumentError, match="by"):
        await workflow_runner.advance(wrong)
    with pytest.raises(InvalidArgumentError, match="passed"):
        await workflow_runner.look(stored, passed=wrong)


async def test_a_run_plans_its_statements_in_one_session_and_asks_about_time_in_another(
    workflow_runner: WorkflowRunner,
) -> None:
    workflow = Workflow("t")
    workflow.add("flaky", flaky.new())
    await workflow_runner.run(workflow)

    async with workflow_runner.powertools.connect() as conn:
        cursor = await conn.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        assert await cursor.fetchone() == (2,)


async def test_a_closed_runner_gives_enqueue_back_what_it_had(powertools_dsn: str) -> None:
    with open_runner(powertools_dsn) as outer:
        with open_runner(powertools_dsn):
            pass
        inserted = await Oban.get_instance().enqueue(charge.new(amount=1))

        assert inserted.id is not None
        assert await outer.drain() == 1


async def test_a_worker_that_cannot_be_imported_is_told(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("a", Job("elsewhere.Worker"))

    with pytest.raises(NothingMovesError, match=r"the worker elsewhere\.Worker of job 1 cannot be imported"):
        await workflow_runner.run(workflow)


async def test_a_worker_that_waits_for_a_signal_is_faked(workflow_runner: WorkflowRunner) -> None:
    workflow = Workflow("t")
    workflow.add("asks", echo.new(x=1))

    run = await workflow_runner.run(workflow, fakes={"asks": AwaitSignal("paid", "9")}, signals={"paid": True})

    run.assert_step("asks", result=True)
