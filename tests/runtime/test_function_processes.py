"""A plain function in a process of its own: what it gives, how it is stopped, and that its death is its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from oban import Job

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.config import FunctionHome
from oban_powertools.errors import InvalidSettingError
from oban_powertools.runtime import function_processes
from oban_powertools.states import StepState
from oban_powertools.workflows import WorkflowHandle
from tests.support import processed
from tests.support.by_hand import everybody_may
from tests.support.ledger import eventually

WORKERS: Any = processed
IN_PROCESSES = Settings(functions_in={"default": "process"}, around_functions=())


@pytest.fixture
async def powertools(dsn: str) -> AsyncIterator[Powertools]:
    async with Powertools.open(
        dsn, queues={"default": 4}, authorize=everybody_may, settings=IN_PROCESSES, shutdown_grace_period=0.05
    ) as powertools:
        yield powertools


async def begin(powertools: Powertools, **jobs: Job) -> WorkflowHandle:
    """A workflow of these steps."""
    workflow = Workflow("processed")
    for name, job in jobs.items():
        workflow.add(name, job)
    return await powertools.workflows.insert(workflow)


async def results(powertools: Powertools, **jobs: Job) -> dict[str, Any]:
    """Step -> result, once all have ended."""
    handle = await begin(powertools, **jobs)
    await handle.wait()
    return await powertools.workflows.results(handle.id)


async def step_of(powertools: Powertools, handle: WorkflowHandle) -> Any:
    [step] = await powertools.workflows.steps(handle.id)
    return step


async def pid_in(directory: Path, name: str = "pid") -> int:
    """The process of a function, once it runs."""

    async def written() -> bool:
        return (directory / name).exists()

    await eventually(written, within=30)
    return int((directory / name).read_text())


async def has_ended(pid: int) -> bool:
    """Whether a process has ended, perhaps only in a moment."""

    async def ended() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return bool(await eventually(ended, within=20))


# What it gives


async def test_a_function_of_such_a_queue_runs_in_another_process_and_gives_its_result(powertools: Powertools) -> None:
    found = await results(powertools, where=WORKERS.process_id.new(), sum=WORKERS.adds.new(1, 2))

    assert found["where"] != os.getpid()
    assert found["sum"] == 3


async def test_a_function_in_a_process_knows_its_step_and_its_job(powertools: Powertools) -> None:
    assert await results(powertools, s0=WORKERS.step_and_job.new()) == {"s0": ["s0", "processed", 1, True]}


async def test_a_function_in_a_process_appends_steps(powertools: Powertools) -> None:
    assert await results(powertools, s0=WORKERS.appends.new()) == {"s0": "appended", "more": 3}


async def test_a_plain_wrapper_of_something_awaitable_is_awaited_in_the_process(powertools: Powertools) -> None:
    [pid] = (await results(powertools, s0=WORKERS.gives_an_awaitable.new())).values()

    assert pid != os.getpid()


async def test_a_function_in_a_process_is_told_to_open_calls_of_its_own(powertools: Powertools) -> None:
    handle = await begin(powertools, s0=WORKERS.asks_for_powertools.new())
    await handle.wait()

    assert "open_sync_calls" in (await step_of(powertools, handle)).error["text"]


@pytest.mark.parametrize(
    ("way", "state", "words"),
    [
        ("raise", "discarded", "no ribbon left"),
        ("exit", "discarded", "it exits"),
        ("return", "discarded", "no ribbon left"),
        ("cancel", "cancelled", "not wanted"),
        ("set", "discarded", "sorted(value)"),
    ],
)
async def test_each_ending_in_a_process_is_that_of_a_thread(
    powertools: Powertools, dsn: str, way: str, state: str, words: str
) -> None:
    handle = await begin(powertools, s0=WORKERS.Ends.new({"way": way}))
    await handle.wait()
    step = await step_of(powertools, handle)
    queue = await begin_in_thread(dsn, way)

    assert (step.state, words in step.error["text"]) == (state, True)
    assert (step.error.get("class"), step.error["text"]) == (queue.get("class"), queue["text"])


async def begin_in_thread(dsn: str, way: str) -> dict[str, str]:
    """The error of the same worker in a thread."""
    async with Powertools.open(dsn, name="threads", queues={"threads": 1}, node="other") as powertools:
        job = WORKERS.Ends.new({"way": way}, queue="threads")
        handle = await begin(powertools, s0=job)
        await handle.wait()
        return (await step_of(powertools, handle)).error


async def test_the_traceback_of_a_process_is_the_functions_own(powertools: Powertools) -> None:
    handle = await begin(powertools, s0=WORKERS.Ends.new({"way": "raise"}))
    await handle.wait()

    error = (await step_of(powertools, handle)).error["error"]

    assert 'raise LookupError("no ribbon left")' in error
    assert error.count("Traceback") == 1


async def test_a_function_in_a_process_waits_for_a_signal_and_snoozes(powertools: Powertools) -> None:
    handle = await begin(powertools, s0=WORKERS.Ends.new({"way": "wait"}))
    await powertools.workflows.signal("go", "k1", {"ok": True})
    await handle.wait()
    snoozed = await powertools.oban.enqueue(WORKERS.Ends.new({"way": "snooze"}))

    async def asleep() -> bool:
        return (await powertools.jobs.get(snoozed.id or 0)).state == "scheduled"

    assert await powertools.workflows.results(handle.id) == {"s0": {"ok": True}}
    assert await eventually(asleep, within=20)


async def test_context_managers_are_entered_in_the_process(dsn: str, tmp_path: Path) -> None:
    settings = Settings(functions_in={"*": "process"}, around_functions=[processed.surrounding])
    async with Powertools.open(dsn, queues={"default": 1}, settings=settings) as powertools:
        [[here, there]] = (await results(powertools, s0=WORKERS.surrounded.new(str(tmp_path)))).values()

    assert str(here) == there


# How it is stopped


async def test_a_timeout_kills_the_process_and_says_so(powertools: Powertools, tmp_path: Path) -> None:
    handle = await begin(powertools, s0=WORKERS.TimedOut.new({"directory": str(tmp_path)}))
    pid = await pid_in(tmp_path)
    await handle.wait()
    step = await step_of(powertools, handle)
    job = await powertools.jobs.get(step.job_id)

    assert (step.result, step.attempt) == ("quick", 2)
    assert "timed out after 3.0s; its function was stopped, because its process was killed" in str(job.errors[0])
    assert await has_ended(pid)


async def test_a_function_in_a_process_sees_that_it_is_asked_to_stop(powertools: Powertools, tmp_path: Path) -> None:
    handle = await begin(powertools, s0=WORKERS.AsksToStop.new({"directory": str(tmp_path)}))
    await pid_in(tmp_path)

    await powertools.workflows.request_cancel(handle.id, actor="ada", reason="because of a test")
    await handle.wait()

    assert (await step_of(powertools, handle)).result == "saw it"


async def test_a_function_that_does_not_stop_when_asked_is_killed_with_its_process(
    powertools: Powertools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function_processes, "STOPS_WITHIN", 0.1)
    handle = await begin(powertools, s0=WORKERS.starts_another.new(str(tmp_path)))
    pid = await pid_in(tmp_path)
    await powertools.workflows.request_cancel(handle.id, actor="ada", reason="because of a test")

    await handle.wait()
    step = await step_of(powertools, handle)

    assert step.state is StepState.CANCELLED
    assert "and its process was killed" in step.error["error"]
    assert await has_ended(pid)
    assert await has_ended(int((tmp_path / "started").read_text()))


async def test_a_stop_of_the_producer_kills_the_process_and_leaves_the_job_to_be_rescued(
    powertools: Powertools, tmp_path: Path
) -> None:
    handle = await begin(powertools, s0=WORKERS.spins.new(str(tmp_path)))
    pid = await pid_in(tmp_path)

    await powertools.oban.stop_queue("default")

    assert await has_ended(pid)
    assert (await step_of(powertools, handle)).state is StepState.EXECUTING


# How it dies


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit", "ended with exit code 7"),
        ("kill", "was ended by signal 9 (SIGKILL)"),
        ("crash", "was ended by signal 11 (SIGSEGV)"),
    ],
)
async def test_a_process_that_dies_fails_its_own_attempt_with_how_and_no_other(
    powertools: Powertools, tmp_path: Path, how: str, words: str
) -> None:
    neighbour = await begin(powertools, s0=WORKERS.waits_for.new(str(tmp_path / "go")))
    handle = await begin(powertools, s0=WORKERS.dies.new(how))
    await handle.wait()
    (tmp_path / "go").touch()
    record = await neighbour.wait()
    error = (await step_of(powertools, handle)).error

    assert words in error["text"]
    assert error["class"].endswith("FunctionProcessEndedError")
    assert record.state == "completed"


async def test_a_process_that_somebody_kills_fails_its_attempt(powertools: Powertools, tmp_path: Path) -> None:
    handle = await begin(powertools, s0=WORKERS.spins.new(str(tmp_path)))
    os.kill(await pid_in(tmp_path), signal.SIGTERM)
    await handle.wait()

    assert "SIGTERM" in (await step_of(powertools, handle)).error["text"]


async def test_a_process_is_kept_for_the_next_attempt_and_replaced_when_it_died_idle(powertools: Powertools) -> None:
    [first] = (await results(powertools, s0=WORKERS.process_id.new())).values()
    [second] = (await results(powertools, s0=WORKERS.process_id.new())).values()
    os.kill(second, signal.SIGKILL)
    await has_ended(second)
    [third] = (await results(powertools, s0=WORKERS.process_id.new())).values()

    assert first == second
    assert third != second


async def test_no_more_processes_are_there_than_attempts_run_and_idle_ones_end(
    powertools: Powertools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function_processes, "_IDLE_FOR", 0.05)
    (tmp_path / "go").touch()
    many = {f"s{number}": WORKERS.waits_for.new(str(tmp_path / "go")) for number in range(12)}
    found = await results(powertools, **many)
    processes = powertools._attachment.processes

    async def none_left() -> bool:
        return not processes.pids

    assert len(found) == 12
    assert await eventually(none_left, within=20)


async def test_processes_end_with_the_powertools_that_started_them(dsn: str) -> None:
    async with Powertools.open(dsn, queues={"default": 1}, settings=IN_PROCESSES) as powertools:
        [pid] = (await results(powertools, s0=WORKERS.process_id.new())).values()

    assert await has_ended(pid)


PARENT = """
import asyncio, sys
from oban_powertools import Powertools, Settings, Workflow
from tests.support import processed

async def main(dsn, directory):
    settings = Settings(functions_in={"default": "process"})
    async with Powertools.open(dsn, queues={"default": 1}, settings=settings) as powertools:
        workflow = Workflow("orphan")
        workflow.add("s0", processed.spins.new(directory))
        await (await powertools.workflows.insert(workflow)).wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_process_ends_when_its_parent_is_killed(dsn: str, tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, dsn, str(tmp_path))
    try:
        pid = await pid_in(tmp_path)
    finally:
        parent.kill()
        await parent.wait()

    assert await has_ended(pid)


# What is refused


def test_what_no_other_process_can_import_is_refused_with_the_setting() -> None:
    with pytest.raises(InvalidSettingError, match="another process can import"):
        Settings(functions_in={"default": "process"}, around_functions=[lambda _: processed.surrounding(_)])


@pytest.mark.parametrize("value", [{"default": "proces"}, {1: "process"}, ["default"], "process"])
def test_a_wrong_choice_is_refused(value: Any) -> None:
    with pytest.raises(InvalidSettingError, match="queues -> thread or process"):
        Settings(functions_in=value)


def test_the_closest_word_is_suggested() -> None:
    home: Any = "proces"
    with pytest.raises(InvalidSettingError, match="did you mean 'process'"):
        Settings(functions_in={"default": home})


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, False), ({"*": "process"}, True), ({"*": "process", "mail": "thread"}, False), ({"mail": "process"}, True)],
)
def test_a_queue_of_its_own_name_counts_before_all_others(chosen: dict[str, FunctionHome], expected: bool) -> None:
    assert Settings(functions_in=chosen).runs_in_process("mail") is expected


async def test_a_worker_of_the_script_is_told_to_move_to_a_module() -> None:
    processes = function_processes.FunctionProcesses([], 1000)

    with pytest.raises(Exception, match="move render to a module"):
        await processes.admit(Job("__main__.render"), None)
