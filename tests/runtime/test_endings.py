"""However a worker ends, its attempt fails once, with its reason, alone: the table of ``tests/support/endings.py``."""

import asyncio
import importlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from oban import Job, Oban, telemetry
from oban._producer import LocalDispatcher

from oban_powertools import Powertools, Workflow
from oban_powertools.runtime.oban_attempts import GuardedDispatcher, GuardedExecutor
from tests.support import endings
from tests.support.by_hand import Hand, everybody_may
from tests.support.endings import BACKOFFS, CLASSES, NOT_RUN, RAISES, RETURNS, RUNS, WAYS
from tests.support.ledger import eventually

WORKERS: Any = endings
"""Oban's decorators lead to classes that type checkers do not know."""

ENDED = ("completed", "discarded", "cancelled")


@pytest.fixture(autouse=True)
def _nothing_has_run() -> None:
    RUNS.clear()


@pytest.fixture(params=[True, False], ids=["turbo", "stock"])
async def running(dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Powertools]:
    """A running Powertools that works on the queue ``default``, with turbo and without."""
    async with Powertools.open(dsn, queues={"default": 10}, authorize=everybody_may, turbo=request.param) as found:
        yield found


def goes_on() -> bool:
    """A producer that is not being stopped."""
    return False


async def finish(powertools: Powertools, jobs: Sequence[Job], states: Sequence[str] = ENDED) -> list[Job]:
    """The jobs once each is in one of these states."""

    async def read() -> list[Job]:
        found = await asyncio.gather(*[powertools.oban.get_job(job.id) for job in jobs])  # pyright: ignore[reportArgumentType]
        return [job for job in found if job is not None]

    async def ended() -> bool:
        return all(job.state in states for job in await read())

    await eventually(ended)
    return await read()


def outcome(job: Job, said: str) -> tuple[Any, ...]:
    """How it ended, and what its only error says of that: what is expected, or all of it."""
    [error] = job.errors or [{}]
    text = str(error.get("error"))  # pyright: ignore[reportAttributeAccessIssue]
    return job.state, job.attempt, RUNS[job.id or 0], said if said in text else text


@pytest.mark.parametrize("make", [WORKERS.Ends.new, lambda args: WORKERS.ends.new(**args)], ids=["class", "function"])
async def test_every_way_to_end_fails_a_plain_job_once_with_its_reason(
    running: Powertools, make: Callable[[dict[str, str]], Job]
) -> None:
    ways = RAISES | {f"return {name}": way for name, way in RETURNS.items()}
    inserted = await running.oban.enqueue_many(*[make({"way": way}) for way in ways])

    ended = await finish(running, inserted)

    found = {way: outcome(job, said) for job, (way, (_, said)) in zip(ended, ways.items(), strict=True)}
    assert found == {way: ("discarded", 1, 1, said) for way, (_, said) in ways.items()}


@pytest.mark.parametrize("make", [WORKERS.Ends.new, lambda args: WORKERS.ends.new(**args)], ids=["class", "function"])
async def test_every_way_to_end_fails_a_step_once_with_its_reason(
    running: Powertools, make: Callable[[dict[str, str]], Job]
) -> None:
    workflow = Workflow("ends")
    for way in WAYS:
        workflow.add(way, make({"way": way}))
    handle = await running.workflows.insert(workflow)

    await handle.wait()

    steps = {step.name: step for step in await running.workflows.steps(handle.id)}
    jobs = await finish(running, [Job("w", id=steps[way].job_id) for way in WAYS])
    found = {way: outcome(job, said) for job, (way, (_, said)) in zip(jobs, WAYS.items(), strict=True)}
    assert found == {way: ("discarded", 1, 1, said) for way, (_, said) in WAYS.items()}
    assert {step.state for step in steps.values()} == {"discarded"}


async def test_neighbours_of_every_way_to_end_complete_at_their_first_attempt(running: Powertools) -> None:
    before = await running.oban.enqueue_many(*[WORKERS.neighbour.new() for _ in range(10)])
    await running.oban.enqueue_many(*[WORKERS.Ends.new({"way": way}) for way in RAISES])
    after = await running.oban.enqueue_many(*[WORKERS.neighbour.new() for _ in range(10)])

    ended = await finish(running, [*before, *after])

    assert {(job.state, job.attempt) for job in ended} == {("completed", 1)}


async def test_every_fault_of_a_workers_class_fails_its_attempt_with_its_reason(running: Powertools) -> None:
    inserted = await running.oban.enqueue_many(*[found.new() for found in CLASSES])

    ended = await finish(running, inserted)

    found = {kind.__name__: outcome(job, said)[::3] for job, (kind, said) in zip(ended, CLASSES.items(), strict=True)}
    assert found == {kind.__name__: ("discarded", said) for kind, said in CLASSES.items()}


async def test_a_backoff_that_fails_is_told_beside_the_reason_and_obans_own_holds(running: Powertools) -> None:
    inserted = await running.oban.enqueue_many(*[WORKERS.BadBackoff.new({"way": way}) for way in BACKOFFS])

    ended = await finish(running, inserted, ["retryable"])

    found = {way: outcome(job, said)[3] for job, (way, (_, said)) in zip(ended, BACKOFFS.items(), strict=True)}
    assert found == {way: said for way, (_, said) in BACKOFFS.items()}
    assert all("ValueError: the reason" in job.errors[0]["error"] for job in ended)  # pyright: ignore[reportArgumentType]
    assert all(job.scheduled_at and job.attempted_at and job.scheduled_at > job.attempted_at for job in ended)


@pytest.mark.parametrize("event", ["oban.job.start", "oban.job.stop"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), ValueError("no")])
async def test_telemetry_that_raises_changes_no_outcome(powertools: Powertools, event: str, error: Exception) -> None:
    def raises(*_: Any) -> None:
        raise error

    telemetry.attach("raises", [event], raises)
    try:
        [job] = await finish(powertools, await powertools.oban.enqueue_many(WORKERS.neighbour.new()))
    finally:
        telemetry.detach("raises")

    assert (job.state, job.errors) == ("completed", [])


async def test_what_a_worker_writes_over_its_job_changes_nobodys_outcome(running: Powertools) -> None:
    [job] = await finish(
        running, await running.oban.enqueue_many(WORKERS.Ends.new({"way": "a scribbled job"}, max_attempts=1))
    )

    assert (job.state, job.max_attempts, job.meta) == ("discarded", 1, {})


@pytest.mark.parametrize("worker", ["tests.support.by_hand.Scripted", "ending_that_is_not_there.Worker"])
async def test_a_job_whose_row_holds_nonsense_has_an_outcome(worker: str) -> None:
    row: Any = {"meta": [1], "errors": None, "tags": None}
    executor = GuardedExecutor(Job(worker, attempt=1, extra={"outcome": None}, **row), goes_on)

    await executor.execute()

    assert executor.action is not None


# Attempts in which no code of the worker ran


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose modules can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


async def test_a_worker_that_cannot_be_imported_leaves_the_attempt_unused_with_the_reason(
    running: Powertools, modules: Path
) -> None:
    for module, (text, _) in NOT_RUN.items():
        (modules / f"{module}.py").write_text(text)
    ways = {**NOT_RUN, "ending_that_is_not_there": ("", "Module 'ending_that_is_not_there' not found")}
    inserted = await running.oban.enqueue_many(*[Job(f"{module}.Worker", max_attempts=1) for module in ways])

    ended = await finish(running, inserted, ["retryable"])

    found = {module: outcome(job, said) for job, (module, (_, said)) in zip(ended, ways.items(), strict=True)}
    assert found == {module: ("retryable", 0, 0, said) for module, (_, said) in ways.items()}
    assert {job.meta["not_run"] for job in ended} == {1}
    assert all("WorkerResolutionError" in job.errors[0]["error"] for job in ended)  # pyright: ignore[reportArgumentType]


async def test_the_last_attempt_runs_once_the_module_is_there(each_hand: Hand, modules: Path) -> None:
    module = f"deployed_in_{modules.name}"
    workflow = Workflow("deploy")
    workflow.add("fresh", Job(f"{module}.Fresh", max_attempts=1))
    workflow_id = await each_hand.insert(workflow)
    for _ in range(3):
        await each_hand.run(workflow_id, {"fresh": None})
    waiting = await each_hand.job(workflow_id, "fresh")

    (modules / f"{module}.py").write_text("class Fresh:\n    async def process(self, job): return 7\n")
    importlib.invalidate_caches()
    await each_hand.run(workflow_id, {"fresh": None})

    [step] = (await each_hand.steps(workflow_id)).values()
    assert (waiting.state, waiting.attempt, waiting.max_attempts, waiting.meta["not_run"]) == ("retryable", 0, 1, 3)
    assert (step.state, step.result, step.attempt) == ("completed", 7, 1)


async def test_the_same_reason_is_written_down_once_however_often_it_keeps_code_from_running(each_hand: Hand) -> None:
    [job] = await each_hand.oban.enqueue_many(Job("ending_that_is_not_there.Worker", max_attempts=1))
    for _ in range(5):
        [started] = await each_hand.start(job.id)
        await each_hand.ack(await each_hand.execute(started, None))

    assert await each_hand.rows("SELECT jsonb_array_length(errors) AS errors, meta FROM oban_jobs") == [
        {"errors": 1, "meta": {"not_run": 5}}
    ]


async def test_what_could_not_run_is_tried_a_quarter_later_each_time_from_two_seconds_to_five_minutes() -> None:
    executors: list[Any] = [
        GuardedExecutor(Job("ending_that_is_not_there.Worker", attempt=1, meta={"not_run": tries}), goes_on)
        for tries in (None, "text", 1, 5, 10, 20, 30, 10**9)
    ]

    waits = [(await executor.execute()).action.schedule_in for executor in executors]

    assert waits == [2, 2, 2, 6, 19, 173, 300, 300]


# The end of the process


class Waits:
    """Waits, or is interrupted by what its process is told."""

    async def process(self, job: Job) -> None:
        if "signal" in job.args:
            os.kill(os.getpid(), job.args["signal"])
        await asyncio.Event().wait()


def waits(**args: Any) -> Job:
    return Job(f"{__name__}.Waits", args=args, attempt=1)


def leave(*_: Any) -> None:
    sys.exit(7)


async def test_an_exit_that_a_signals_handler_raises_ends_the_process_and_not_the_attempt() -> None:
    before = signal.signal(signal.SIGTERM, leave)
    executor = GuardedExecutor(waits(signal=signal.SIGTERM), goes_on)
    try:
        with pytest.raises(SystemExit):
            await executor.execute()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert executor.action is None


async def test_ctrl_c_that_python_itself_raises_ends_the_process_and_not_the_attempt() -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    executor = GuardedExecutor(waits(signal=signal.SIGINT), goes_on)
    try:
        with pytest.raises(KeyboardInterrupt):
            await executor.execute()
    finally:
        signal.signal(signal.SIGINT, before)

    assert executor.action is None


@pytest.mark.parametrize(("stops", "state"), [(True, None), (False, "retryable")])
async def test_a_cancelled_attempt_has_an_outcome_unless_its_producer_stops(stops: bool, state: str | None) -> None:
    executor = GuardedExecutor(waits(), lambda: stops)
    task = asyncio.create_task(executor.execute())
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()
    await asyncio.wait([task])

    assert (task.cancelled(), executor.status) == (stops, state)


async def test_an_attempt_whose_coroutine_is_closed_has_no_outcome() -> None:
    executor = GuardedExecutor(waits(), goes_on)
    attempt = executor.execute()
    attempt.send(None)

    attempt.close()

    assert executor.action is None


async def test_a_producer_is_guarded_while_powertools_is_attached_and_another_dispatcher_is_left_alone(
    hand: Hand,
) -> None:
    other = LocalDispatcher()
    other.__class__ = type("Other", (LocalDispatcher,), {})
    dispatchers: list[Any] = []
    for dispatcher in (None, other):
        oban = Oban(pool=hand.oban._query._pool, name="guarded", queues={"default": 3}, dispatcher=dispatcher)
        powertools = Powertools(oban)
        dispatchers.append(oban._producers["default"]._dispatcher)
        await powertools.close()
        dispatchers.append(oban._producers["default"]._dispatcher)

    assert [type(dispatcher) for dispatcher in dispatchers[:2]] == [GuardedDispatcher, LocalDispatcher]
    assert dispatchers[2:] == [other, other]
