"""Workers that are plain functions, for processes of their own: each tells by a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oban import Cancel, Job, Record, Snooze, current_job

from oban_powertools import AwaitSignal, current_step, job, worker
from oban_powertools.current import current_powertools

WITHIN = 30.0
"""Seconds for which a function runs that nobody ends."""


def begin(directory: str, name: str = "pid") -> None:
    """Tell the test that the function runs, and in which process."""
    path = Path(directory, name)
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)


def busy() -> None:
    """As C code does that looks at nothing."""
    ends_at = time.monotonic() + WITHIN
    while time.monotonic() < ends_at:
        pass


@job(queue="default", max_attempts=1)
def process_id() -> int:
    return os.getpid()


@job(queue="default", max_attempts=1)
def adds(first: int, second: int) -> int:
    return first + second


@job(queue="default", max_attempts=1)
def step_and_job() -> list[Any]:
    step, found = current_step(), current_job()
    return [step.step, step.workflow_name, step.attempt, found is not None and found.id == step.job.id]


@job(queue="default", max_attempts=1)
def appends() -> str:
    current_step().append("more", adds.new(1, 2))
    return "appended"


@job(queue="default", max_attempts=1)
def asks_for_powertools() -> None:
    current_powertools()


@job(queue="default", max_attempts=1)
def spins(directory: str) -> None:
    begin(directory)
    busy()


@job(queue="default", max_attempts=1)
def starts_another(directory: str) -> None:
    started = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({WITHIN})"])
    Path(directory, "started").write_text(str(started.pid))
    begin(directory)
    busy()


@worker(queue="default", max_attempts=2)
class TimedOut:
    """Its first attempt takes too long; the second is quick."""

    def process(self, job: Job) -> str:
        if job.attempt == 1:
            begin(job.args["directory"])
            busy()
        return "quick"

    def timeout(self, job: Job) -> float | None:
        return 3.0 if job.attempt == 1 else None

    def backoff(self, job: Job) -> int:
        return 0


@worker(queue="default", max_attempts=1)
class AsksToStop:
    def process(self, job: Job) -> str:
        begin(job.args["directory"])
        ends_at = time.monotonic() + WITHIN
        while time.monotonic() < ends_at:
            if job.cancelled():
                return "saw it"
            time.sleep(0.01)
        return "never saw it"


@job(queue="default", max_attempts=1)
def dies(how: str) -> None:
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), signal.SIGKILL if how == "kill" else signal.SIGSEGV)


@job(queue="default", max_attempts=1)
def waits_for(path: str) -> int:
    ends_at = time.monotonic() + WITHIN
    while not Path(path).exists() and time.monotonic() < ends_at:
        time.sleep(0.01)
    return os.getpid()


async def _later() -> int:
    return os.getpid()


@job(queue="default", max_attempts=1)
def gives_an_awaitable() -> Any:
    return _later()


@worker(queue="default", max_attempts=1)
class Ends:
    """Ends in the way that its args name."""

    def process(self, job: Job) -> Any:
        match job.args["way"]:
            case "raise":
                raise LookupError("no ribbon left")
            case "exit":
                sys.exit("it exits")
            case "return":
                return LookupError("no ribbon left")
            case "cancel":
                return Cancel("not wanted")
            case "snooze":
                return Snooze(3600)
            case "record":
                return Record({"a": 1})
            case "wait":
                return AwaitSignal("go", "k1")
            case way:
                return {"unstorable": {way}}


@contextmanager
def surrounding(job: Job) -> Generator[None]:
    """Writes where it is entered."""
    Path(job.args["directory"], "around").write_text(str(os.getpid()))
    yield


@job(queue="default", max_attempts=1)
def surrounded(directory: str) -> list[Any]:
    return [os.getpid(), Path(directory, "around").read_text()]
