"""Read the stacks of hung tasks, and of a blocked event loop, in this process, for incidents.

A line is a frame's file, line and function, the innermost last: never a value of a variable. Called from the thread of
the heartbeats, which runs on when the event loop is blocked; a task that hangs does not move meanwhile. The rule that
must never break: no stack leaves the process but through the display policy.
"""

# pyright: reportPrivateUsage=false

import asyncio
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import CodeType
from typing import Any, Final, cast

import orjson

from ..privacy.display import DisplayPolicy, Kind
from .threads import OF_CALL

MOST_FRAMES: Final = 30
"""Frames of one stack: the innermost."""

LONGEST: Final = 10_000
"""Characters of one stack."""

_MOST_STACKS: Final = 10
"""Stacks of one executor."""

_DEEPEST: Final = 1000
"""Frames that are looked at."""

_NOT_BELOW: Final = (OF_CALL, asyncio.Handle._run.__code__)  # noqa: SLF001 - what every callback of a loop is run by
"""Frames under which a worker's code begins: what lies below is how the process was started."""

type Tasks = Mapping[int, asyncio.Task[Any]]
"""Id of a job -> the task that runs it."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What one task does, or the event loop."""

    job_id: int | None
    """Whose task it is; None when the event loop is blocked by none of a job's."""

    lines: Sequence[str]
    """Its frames, the innermost last."""

    blocks_loop: bool = False
    """Whether it keeps the event loop from answering."""


class Stacks:
    """The stacks of one process, of which the database is told when they change.

    Made in the event loop's thread.

    Args:
        display: Decides what of the lines is stored.
        thread_of: The id of the thread in which a job's plain function runs; None where it runs in none.
    """

    def __init__(self, display: DisplayPolicy, thread_of: Callable[[int], int | None]) -> None:
        self._display = display
        self._thread_of = thread_of
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._told: dict[str, str] = {}

    @property
    def tells_some(self) -> bool:
        """Whether the database has some of them."""
        return bool(self._told)

    def changes(
        self, tasks: Mapping[str, Tasks], hung: Collection[int], *, blocked: bool
    ) -> Iterator[tuple[str, str | None]]:
        """Executor and its stacks, as JSON or None, where they differ from what the database was told before.

        Args:
            tasks: By the ids of the executors.
            hung: Ids of the jobs that seem to hang.
            blocked: Whether the event loop does not answer; then it is one stack that all executors wait for.
        """
        blocking = [self._blocking_stack(tasks)] if blocked else []
        for executor_id, running in tasks.items():
            written = self._write(blocking or list(self._hung_stacks(running, hung)))
            if written != self._told.get(executor_id):
                yield executor_id, written
                self._remember(executor_id, written)

    def _remember(self, executor_id: str, written: str | None) -> None:
        # After the caller has stored it: otherwise it is tried again at the next beat.
        self._told.pop(executor_id, None)
        if written is not None:
            self._told[executor_id] = written

    def _blocking_stack(self, tasks: Mapping[str, Tasks]) -> Stack:
        current = asyncio.current_task(self._loop)
        running = (item for executor_tasks in tasks.values() for item in executor_tasks.items())
        job_id = next((job_id for job_id, task in running if task is current), None)
        return Stack(job_id, stack_of_thread(self._thread_id), blocks_loop=True)

    def _hung_stacks(self, tasks: Tasks, hung: Collection[int]) -> Iterator[Stack]:
        ids = sorted(tasks.keys() & set(hung))
        for job_id in ids[:_MOST_STACKS]:
            thread_id = self._thread_of(job_id)
            yield Stack(job_id, stack_of_task(tasks[job_id]) if thread_id is None else stack_of_thread(thread_id))

    def _write(self, stacks: Sequence[Stack]) -> str | None:
        entries = [
            {
                "job_id": stack.job_id,
                "blocks_loop": stack.blocks_loop,
                "stack": self._display.render(Kind.DETAILS, list(stack.lines)),
            }
            for stack in stacks
        ]
        return orjson.dumps(entries).decode() if entries else None


def stack_of_task(task: asyncio.Task[Any]) -> list[str]:
    """The lines in which a suspended task waits, and those of the task that it waits for."""
    return _bounded(list(islice(_walk_task(task), _DEEPEST)))


def stack_of_thread(thread_id: int) -> list[str]:
    """The lines that a thread runs now, in the loop's thread those of the task or callback; empty when it has ended."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - documented, for debuggers such as this
    lines: list[str] = []
    while frame is not None and frame.f_code not in _NOT_BELOW and len(lines) < MOST_FRAMES:
        lines.append(_line(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return _bounded(lines[::-1])


def _walk_task(task: Any) -> Iterator[str]:
    # Task.get_stack() ends at the outermost coroutine of a suspended task.
    while isinstance(cast("object", task), asyncio.Task):
        yield from _walk_awaited(task.get_coro())
        waits_for: Any = getattr(task, "_fut_waiter", None)  # no public name leads from a task to what it waits for
        children = getattr(waits_for, "_children", ())  # of a gather
        task = next((child for child in children if not child.done()), waits_for)


def _walk_awaited(awaited: Any) -> Iterator[str]:
    while awaited is not None:
        for prefix, following in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            code: CodeType | None = getattr(awaited, f"{prefix}_code", None)
            frame = getattr(awaited, f"{prefix}_frame", None)
            if code is not None and frame is not None:
                yield _line(code, frame.f_lineno)
                awaited = getattr(awaited, following)
                break
        else:
            return


def _line(code: CodeType, number: int | None) -> str:
    return f"{code.co_filename}:{number} {code.co_qualname}"


def _bounded(lines: Sequence[str]) -> list[str]:
    """The innermost lines within the bounds."""
    kept: list[str] = []
    left = LONGEST
    for line in reversed(lines[-MOST_FRAMES:]):
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return kept[::-1]
