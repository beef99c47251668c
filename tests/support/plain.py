"""Workers that are plain functions, and what a test holds them by: each waits until the test lets it go."""

import asyncio
import functools
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from oban import Job, current_job
from oban.decorators import job, worker

from oban_powertools import current_step

WITHIN = 30.0
"""Seconds for which a worker waits for its test."""

ENTERED: defaultdict[str, threading.Event] = defaultdict(threading.Event)
"""Name -> set once the worker runs."""

GO: defaultdict[str, threading.Event] = defaultdict(threading.Event)
"""Name -> set by the test: the worker may end."""

THREADS: dict[str, threading.Thread] = {}
"""Name -> the thread that the worker ran in."""


def forget() -> None:
    """Let everything go that an earlier test has left, and forget it."""
    for event in list(GO.values()):
        event.set()
    for held in (ENTERED, GO, THREADS):
        held.clear()


def hold(name: str) -> str:
    """Wait for the test."""
    go = GO[name]
    THREADS[name] = threading.current_thread()
    ENTERED[name].set()
    assert go.wait(WITHIN), "the test never came"
    return f"{name} went on"


@job(queue="default", max_attempts=1)
def held(name: str) -> str:
    return hold(name)


@worker(queue="default", max_attempts=1)
class Held:
    def process(self, job: Job) -> str:
        return hold(job.args["name"])


@worker(queue="default", max_attempts=2)
class TimedOut:
    """Its first attempt takes too long; the second is quick."""

    def process(self, job: Job) -> str:
        return hold(job.args["name"]) if job.attempt == 1 else "quick"

    def timeout(self, job: Job) -> float | None:
        return 0.05 if job.attempt == 1 else None

    def backoff(self, job: Job) -> int:
        return 0


@job(queue="default", max_attempts=1)
def thread_name() -> str:
    return threading.current_thread().name


@worker(queue="default", max_attempts=1)
class ThreadName:
    def process(self, job: Job) -> str:
        return threading.current_thread().name


@job(queue="default", max_attempts=1)
async def loop_thread_name() -> str:
    return threading.current_thread().name


@job(queue="default", max_attempts=1)
def step_and_job() -> list[Any]:
    step, found = current_step(), current_job()
    return [step.step, step.workflow_name, step.job is found]


def handing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as users write it: a plain wrapper of whatever function."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@job(queue="default", max_attempts=1)
@handing_on
async def wrapped_async() -> str:
    return threading.current_thread().name


@job(queue="default", max_attempts=1)
@handing_on
def wrapped_plain() -> str:
    return threading.current_thread().name


async def _later() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


@job(queue="default", max_attempts=1)
def gives_an_awaitable() -> Any:
    return _later()


@job(queue="default", max_attempts=1)
def runs_a_loop() -> str:
    return asyncio.run(_later())


@worker(queue="default", max_attempts=1)
class AsksToStop:
    """Looks whether it is to stop, as a long computation would."""

    def process(self, job: Job) -> str:
        ENTERED[job.args["name"]].set()
        for _ in range(round(WITHIN * 100)):
            if job.cancelled():
                return "saw it"
            threading.Event().wait(0.01)
        return "never saw it"
