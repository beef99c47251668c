"""A worker that is a plain function runs in a thread: beside the event loop, with its context, and truthfully ended."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from oban import Job, decorators
from oban._executor import Executor

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.runtime import plain_functions
from oban_powertools.runtime.stacks import stack_of_thread
from oban_powertools.states import StepState
from oban_powertools.workflows import WorkflowHandle
from tests.support import endings, plain
from tests.support.by_hand import everybody_may
from tests.support.endings import RUNS, WAYS
from tests.support.ledger import eventually
from tests.support.plain import ENTERED, GO, THREADS

WORKERS: Any = plain
"""Oban's decorators lead to classes that type checkers do not know."""


@pytest.fixture(autouse=True)
def _nothing_held() -> Iterator[None]:
    plain.forget()
    yield
    plain.forget()


async def entered(name: str) -> None:
    """The worker of this name runs."""
    assert await asyncio.to_thread(ENTERED[name].wait, plain.WITHIN)


async def results(powertools: Powertools, **jobs: Job) -> dict[str, Any]:
    """Step -> result, of a workflow of these."""
    workflow = Workflow("plain")
    for name, job in jobs.items():
        workflow.add(name, job)
    handle = await powertools.workflows.insert(workflow)
    await handle.wait()
    return await powertools.workflows.results(handle.id)


async def begin(powertools: Powertools, job: Job) -> WorkflowHandle:
    """A workflow whose only step, s0, has this job."""
    workflow = Workflow("plain")
    workflow.add("s0", job)
    return await powertools.workflows.insert(workflow)


async def step_of(powertools: Powertools, handle: WorkflowHandle) -> Any:
    [step] = await powertools.workflows.steps(handle.id)
    return step


# Where it runs


async def test_plain_functions_run_in_a_thread_and_asynchronous_ones_on_the_loop(powertools: Powertools) -> None:
    here = threading.current_thread().name
    found = await results(
        powertools,
        function=WORKERS.thread_name.new(),
        klass=WORKERS.ThreadName.new(),
        wrapped=WORKERS.wrapped_plain.new(),
        coroutine=WORKERS.loop_thread_name.new(),
        wrapped_coroutine=WORKERS.wrapped_async.new(),
        awaitable=WORKERS.gives_an_awaitable.new(),
    )

    in_threads = {name for name, thread in found.items() if thread.startswith("powertools-function-")}
    assert in_threads == {"function", "klass", "wrapped"}
    assert {thread for name, thread in found.items() if name not in in_threads} == {here}


async def test_a_plain_function_may_run_an_event_loop_of_its_own(powertools: Powertools) -> None:
    [thread] = (await results(powertools, s0=WORKERS.runs_a_loop.new())).values()

    assert thread.startswith("powertools-function-")


@pytest.mark.parametrize(
    "make", [WORKERS.held.new, lambda name: WORKERS.Held.new({"name": name})], ids=["job", "class"]
)
async def test_the_event_loop_goes_on_while_a_plain_function_blocks(powertools: Powertools, make: Any) -> None:
    handle = await begin(powertools, make("blocks"))
    await entered("blocks")

    others = await results(powertools, coroutine=WORKERS.loop_thread_name.new(), plain=WORKERS.thread_name.new())
    GO["blocks"].set()
    await handle.wait()

    assert len(others) == 2
    assert await powertools.workflows.results(handle.id) == {"s0": "blocks went on"}


async def test_a_plain_function_knows_its_step_and_its_job(powertools: Powertools) -> None:
    assert await results(powertools, s0=WORKERS.step_and_job.new()) == {"s0": ["s0", "plain", True]}


async def test_every_way_to_end_ends_a_plain_function_as_an_asynchronous_one(powertools: Powertools) -> None:
    ends: Any = endings
    RUNS.clear()
    ways = {way: said for way, (_, said) in WAYS.items() if way not in endings.NEED_A_LOOP}
    workflow = Workflow("ends")
    for way in ways:
        workflow.add(way, ends.ends_plainly.new(way=way))
    handle = await powertools.workflows.insert(workflow)

    await handle.wait()

    steps = {step.name: step for step in await powertools.workflows.steps(handle.id)}
    told = {way: said if said in (steps[way].error or {})["error"] else steps[way].error for way, said in ways.items()}
    assert told == ways
    assert {(step.state, step.attempt, RUNS[step.job_id or 0]) for step in steps.values()} == {("discarded", 1, 1)}


# How many


async def test_at_most_as_many_run_at_once_as_there_are_threads(dsn: str) -> None:
    settings = Settings(function_threads=2)
    async with Powertools.open(dsn, queues={"default": 10}, settings=settings) as powertools:
        handles = [await begin(powertools, WORKERS.held.new(f"h{number}")) for number in range(4)]
        await entered_some(2)
        running = len(THREADS)
        for number in range(4):
            GO[f"h{number}"].set()
        for handle in handles:
            await handle.wait()

    assert running == 2
    assert len({thread.name for thread in THREADS.values()}) == 2


async def entered_some(count: int) -> None:
    """So many workers run, and the others have been fetched."""

    async def some() -> bool:
        return len(THREADS) >= count

    await eventually(some)


async def test_as_many_threads_as_twice_what_the_queues_may_run_are_there_by_default(powertools: Powertools) -> None:
    assert powertools._attachment.threads._most() == 20


# How it is ended


async def test_a_timeout_fails_the_attempt_says_that_the_function_runs_on_and_keeps_its_late_result(
    powertools: Powertools, caplog: pytest.LogCaptureFixture
) -> None:
    handle = await begin(powertools, WORKERS.TimedOut.new({"name": "slow"}))
    record = await handle.wait()
    step = await step_of(powertools, handle)
    job = await powertools.jobs.get(step.job_id)
    GO["slow"].set()

    async def late() -> list[Any]:
        async with powertools.connect() as conn:
            cursor = await conn.execute("SELECT attempt, state, result FROM powertools.late_results")
            return await cursor.fetchall()

    kept = await eventually(late)
    assert (record.state, step.result, step.attempt) == ("completed", "quick", 2)
    assert "timed out after 0.05s; its function runs on in a thread, which cannot be stopped" in str(job.errors[0])
    assert [tuple(row) for row in kept or []] == [(1, "completed", {"json": "slow went on"})]
    assert "is over, and its function runs on in a thread" in caplog.text


async def test_a_function_that_runs_on_keeps_its_thread_and_leaves_the_others_theirs(dsn: str) -> None:
    async with Powertools.open(dsn, queues={"default": 1}) as powertools:
        handle = await begin(powertools, WORKERS.TimedOut.new({"name": "slow"}))
        await handle.wait()

        found = await results(powertools, s0=WORKERS.thread_name.new())

        assert found["s0"] != THREADS["slow"].name
        GO["slow"].set()


async def test_a_plain_function_sees_that_it_is_asked_to_stop(powertools: Powertools) -> None:
    handle = await begin(powertools, WORKERS.AsksToStop.new({"name": "long"}))
    await entered("long")

    await powertools.workflows.request_cancel(handle.id, actor="ada", reason="because of a test")
    await handle.wait()

    assert (await step_of(powertools, handle)).result == "saw it"


async def test_a_hung_function_that_is_cancelled_ends_its_attempt_and_is_told_to_run_on(powertools: Powertools) -> None:
    handle = await begin(powertools, WORKERS.held.new("hung"))
    await entered("hung")
    step = await step_of(powertools, handle)
    await powertools.workflows.recover(handle.id, "s0", "cancel", actor="ada", reason="because of a test")

    async def ended() -> bool:
        powertools._attachment.know_hung([step.job_id])
        return (await powertools.workflows.get(handle.id)).state.terminal

    await eventually(ended, within=20)
    step = await step_of(powertools, handle)
    GO["hung"].set()

    assert step.state is StepState.CANCELLED
    assert "its function runs on in a thread, which cannot be stopped" in step.error["error"]


async def test_a_hung_functions_stack_is_its_own(powertools: Powertools) -> None:
    handle = await begin(powertools, WORKERS.held.new("hung"))
    await entered("hung")
    step = await step_of(powertools, handle)

    thread_id = powertools._attachment.thread_of(step.job_id)
    stack = stack_of_thread(thread_id or 0)
    GO["hung"].set()
    await handle.wait()

    assert [line.rpartition(" ")[2] for line in stack][-4:-1] == ["held", "hold", "Event.wait"]
    assert powertools._attachment.thread_of(step.job_id) is None


async def test_a_function_that_outlasts_the_grace_period_keeps_its_executor_from_having_stopped(
    dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Powertools.open(dsn, queues={"default": 1}, shutdown_grace_period=0.05) as powertools:
        handle = await begin(powertools, WORKERS.held.new("outlasts"))
        await entered("outlasts")
        attachment = powertools._attachment
        await powertools.oban.stop_queue("default")
        before = [executor.stopped for executor in attachment.executors()]
        GO["outlasts"].set()

        async def stopped() -> bool:
            return not attachment.threads.left

        await eventually(stopped)
        # one that has stopped and said so is left out
        running_on = [executor for executor in attachment.executors() if not executor.stopped]

    assert (before, running_on) == ([False], [])
    assert "outlasts" not in caplog.text
    assert "runs on in a thread" in caplog.text
    assert handle.id


# What is entered around it


ORDER: list[Any] = []


@contextmanager
def outer(job: Job) -> Iterator[None]:
    ORDER.append(("outer", job.worker.rpartition(".")[2], threading.current_thread().name))
    yield
    ORDER.append("outer left")


@contextmanager
def inner(job: Job) -> Iterator[None]:
    ORDER.append("inner")
    try:
        yield
    finally:
        ORDER.append("inner left")


@contextmanager
def refusing(job: Job) -> Iterator[None]:
    raise LookupError("no connection")
    yield


@pytest.fixture
async def surrounded(dsn: str) -> AsyncIterator[Powertools]:
    ORDER.clear()
    settings = Settings(around_functions=[outer, inner])
    async with Powertools.open(dsn, queues={"default": 2}, authorize=everybody_may, settings=settings) as powertools:
        yield powertools


async def test_context_managers_are_entered_around_each_plain_function_in_its_thread(surrounded: Powertools) -> None:
    [thread] = (await results(surrounded, s0=WORKERS.thread_name.new())).values()
    await results(surrounded, s0=WORKERS.loop_thread_name.new())

    assert [("outer", "thread_name", thread), "inner", "inner left", "outer left"] == ORDER


async def test_what_a_context_manager_raises_fails_the_attempt_before_its_function_runs(dsn: str) -> None:
    settings = Settings(around_functions=(refusing,))
    async with Powertools.open(dsn, queues={"default": 2}, settings=settings) as powertools:
        handle = await begin(powertools, WORKERS.held.new("never"))
        await handle.wait()
        step = await step_of(powertools, handle)

    assert "LookupError: no connection" in step.error["error"]
    assert not ENTERED["never"].is_set()


# What is read of Oban


def test_the_function_of_a_job_is_a_free_variable_of_its_process() -> None:
    """plain_functions.py reads it there; a class of the user's own has another module."""
    source = inspect.getsource(decorators.job)

    assert decorators.__name__ == plain_functions._DECORATORS
    assert "async def process(self, job: Job):\n                result = func(**job.args)\n" in source
    assert (
        "if inspect.isawaitable(result):\n                    return await result\n                return result"
        in source
    )


def test_the_executor_times_out_whatever_has_a_process() -> None:
    """A call of a plain function passes for the worker in _perform, while _timeout() asks the worker itself."""
    source = inspect.getsource(Executor._perform)

    assert "return await worker.process(self.job)" in source
    assert source.count("worker.process") == 1
    assert "raise JobTimeoutError(" in source
    assert "self.worker.timeout(self.job)" in inspect.getsource(Executor._timeout)
