"""The ways in which a worker, or its class, can fail an attempt: name -> what it does, and what the error says."""

import asyncio
import math
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from oban import Cancel, Job, Record, Snooze, current_job
from oban.decorators import job, worker

from oban_powertools import AwaitSignal

RUNS: Counter[int] = Counter()
"""Job id -> how often its code ran."""


class Odd(BaseException):
    """No Exception."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("str() fails")

    __repr__ = __str__


class Nameless(type):
    """Raises when a class is asked for its name."""

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise LookupError(f"no {name}")
        return super().__getattribute__(name)


class NamelessError(Exception, metaclass=Nameless):
    pass


class Prickly:
    """Raises at whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")

    def __repr__(self) -> str:
        raise RuntimeError("repr() fails")


def _raise(error: BaseException) -> Any:
    raise error


def _any(value: Any) -> Any:
    """What no type checker would let pass."""
    return value


def _deep(levels: int) -> Any:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def _endless(depth: int = 0) -> int:
    return _endless(depth + 1) + 1


async def _cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(60)


async def _exits_in_a_thread() -> None:
    await asyncio.to_thread(sys.exit, 4)


def _scribbles() -> None:
    found = current_job()
    assert found is not None
    found.id, found.attempt, found.max_attempts, found.attempted_at = 10**9, 77, 99, datetime(2000, 1, 1, tzinfo=UTC)
    found.meta = {"workflow_id": 10**9, "position": 0, "uid": "u"}
    raise ValueError("scribbled")


type Way = Callable[[], Any | Coroutine[Any, Any, Any]]

RAISES: dict[str, tuple[Way, str]] = {
    "an exception": (lambda: _raise(ValueError("plain")), "ValueError: plain"),
    "sys.exit()": (lambda: sys.exit(3), "SystemExit: 3"),
    "SystemExit without a code": (lambda: _raise(SystemExit()), "SystemExit"),
    "sys.exit in a thread": (_exits_in_a_thread, "SystemExit: 4"),
    "KeyboardInterrupt": (lambda: _raise(KeyboardInterrupt("no key")), "KeyboardInterrupt: no key"),
    "GeneratorExit": (lambda: _raise(GeneratorExit("gone")), "GeneratorExit: gone"),
    "CancelledError": (lambda: _raise(asyncio.CancelledError("by code")), "CancelledError: by code"),
    "a cancelled task": (_cancels_itself, "CancelledError"),
    "a BaseException of its own": (lambda: _raise(Odd("odd")), "Odd: odd"),
    "a group": (lambda: _raise(BaseExceptionGroup("two", [Odd("a"), ValueError("b")])), "two (2 sub-exceptions)"),
    "StopIteration": (lambda: _raise(StopIteration(1)), "RuntimeError: coroutine raised StopIteration"),
    "StopAsyncIteration": (lambda: _raise(StopAsyncIteration(1)), "RuntimeError: "),
    "no text": (lambda: _raise(MuteError()), "MuteError"),
    "no name": (
        lambda: _raise(NamelessError()),
        "the exception's name cannot be read, because that raises LookupError",
    ),
    "a group of what has no name": (lambda: _raise(ExceptionGroup("two", [NamelessError()])), "two"),
    "NUL and surrogate": (lambda: _raise(ValueError("a\0b\ud800")), "ValueError: a\\u0000b\\ud800"),
    "recursion": (_endless, "RecursionError: maximum recursion depth exceeded"),
    "MemoryError": (lambda: _raise(MemoryError("none left")), "MemoryError: none left"),
    "TimeoutError": (lambda: _raise(TimeoutError("slow")), "TimeoutError: slow"),
    "a scribbled job": (_scribbles, "ValueError: scribbled"),
    "an unrecordable recording": (lambda: Record(object()), "not serializable"),
}
"""Way to end by raising -> what the error says."""

RETURNS: dict[str, tuple[Way, str]] = {
    "a Snooze for text": (lambda: Snooze(_any("soon")), "'soon', expected a number of seconds"),
    "a Snooze for NaN": (lambda: Snooze(_any(math.nan)), "nan, expected a number of seconds"),
    "a Snooze for ever": (lambda: Snooze(10**12), "1000000000000, expected a number of seconds"),
    "a Snooze from long ago": (lambda: Snooze(-(10**12)), "-1000000000000, expected a number of seconds"),
    "a Snooze of True": (lambda: Snooze(True), "True, expected a number of seconds"),
    "a Snooze with notes that are text": (lambda: Snooze(1, meta=_any("notes")), "ValueError: "),
    "a Snooze with a set": (lambda: Snooze(1, meta={"x": {1}}), "set is not JSON-safe"),
    "a Snooze with NUL": (lambda: Snooze(1, meta={"x": "\0"}), "NUL character"),
    "a Cancel that is mute": (lambda: Cancel(_any(MuteError())), "RuntimeError: str() fails"),
    "an exception": (lambda: ValueError("returned"), "ValueError('returned')"),
}
"""Way to end by returning, of any job -> what the error says."""

STEP_RETURNS: dict[str, tuple[Way, str]] = {
    "NaN": (lambda: math.nan, "nan is not a JSON number"),
    "an object": (object, "object is not JSON-safe"),
    "a prickly object": (Prickly, "RuntimeError: no __class__"),
    "nested deeply": (lambda: _deep(100_000), "nested deeper than 200 levels"),
    "an exit that is returned": (lambda: SystemExit(3), "SystemExit is not JSON-safe"),
    "a deadline in words": (
        lambda: AwaitSignal("paid", "k", deadline=_any("60 s")),
        "deadline is '60 s'; expected a timedelta",
    ),
    "a signal that is none": (lambda: AwaitSignal(_any(None), "k"), "a wait needs a signal"),
}
"""Way to end by returning, of a step -> what the error says."""

WAYS = RAISES | {f"return {name}": way for name, way in (RETURNS | STEP_RETURNS).items()}


async def _end(way: str) -> Any:
    found = current_job()
    assert found is not None and found.id is not None
    RUNS[found.id] += 1
    ended = WAYS[way][0]()
    return await ended if asyncio.iscoroutine(ended) else ended


@worker(queue="default", max_attempts=1)
class Ends:
    async def process(self, job: Job) -> Any:
        return await _end(job.args["way"])


@job(queue="default", max_attempts=1)
async def ends(way: str) -> Any:
    return await _end(way)


NEED_A_LOOP = {"a cancelled task", "sys.exit in a thread"}
"""Ways that are open only to an asynchronous worker."""


@job(queue="default", max_attempts=1)
def ends_plainly(way: str) -> Any:
    found = current_job()
    assert found is not None and found.id is not None
    RUNS[found.id] += 1
    return WAYS[way][0]()


@job(queue="default", max_attempts=1)
async def neighbour() -> str:
    return "ok"


@worker(queue="default", max_attempts=1)
class CannotBeMade:
    def __init__(self) -> None:
        sys.exit("no such thing")

    async def process(self, job: Job) -> None: ...


@worker(queue="default", max_attempts=1)
class NotCallable:
    process = 7


@worker(queue="default", max_attempts=1)
class NoProcess: ...


@worker(queue="default", max_attempts=1)
class YieldsInstead:
    async def process(self, job: Job) -> Any:
        yield 7


@worker(queue="default", max_attempts=1)
class TimesOutAtNever:
    async def process(self, job: Job) -> None: ...

    def timeout(self, job: Job) -> float:
        return math.nan


@worker(queue="default", max_attempts=1)
class TimesOutInText:
    async def process(self, job: Job) -> None: ...

    def timeout(self, job: Job) -> Any:
        return "soon"


@worker(queue="default", max_attempts=1)
class LeavesAtItsTimeout:
    async def process(self, job: Job) -> None: ...

    def timeout(self, job: Job) -> float:
        sys.exit("no time")


CLASSES: dict[type[Any], str] = {
    CannotBeMade: "SystemExit: no such thing",
    NotCallable: "TypeError: 'int' object is not callable",
    NoProcess: "NotImplementedError: Worker must implement process method",
    YieldsInstead: "TypeError: ",
    TimesOutAtNever: "timeout() returned nan",
    TimesOutInText: "timeout() returned 'soon'",
    LeavesAtItsTimeout: "SystemExit: no time",
}
"""Class with a fault of its own -> what the error says."""

BACKOFFS: dict[str, tuple[Way, str]] = {
    "raises": (lambda: _raise(KeyError("no such delay")), "raised KeyError: 'no such delay'"),
    "leaves": (lambda: sys.exit(9), "raised SystemExit: 9"),
    "text": (lambda: "soon", "returned 'soon'"),
    "none": (lambda: None, "returned None"),
    "NaN": (lambda: math.nan, "returned nan"),
    "endless": (lambda: math.inf, "returned inf"),
    "huge": (lambda: 10**400, "returned 1000"),
    "mute": (Prickly, "raised RuntimeError: "),
}
"""What a worker's backoff() does -> what the error says of it."""


@worker(queue="default", max_attempts=2)
class BadBackoff:
    async def process(self, job: Job) -> None:
        raise ValueError("the reason")

    def backoff(self, job: Job) -> Any:
        return BACKOFFS[job.args["way"]][0]()


NOT_RUN: dict[str, tuple[str, str]] = {
    "ending_without_class": ("x = 1", "Class 'Worker' not found"),
    "ending_without_a_class": ("Worker = 7", "resolved to int, expected a class"),
    "ending_import_error": ("import no_such_module_at_all", "Module 'ending_import_error' not found"),
    "ending_syntax_error": ("def", "SyntaxError: "),
    "ending_name_error": ("x = y", "NameError: name 'y' is not defined"),
    "ending_exit": ("import sys; sys.exit('run me as a program')", "SystemExit: run me as a program"),
    "ending_interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
}
"""Module -> its text, and what is said of a worker in it that cannot be had."""
