"""Run plain functions in threads of this process, a bounded number at once.

Not for deciding which (``plain_functions``) and what becomes of their attempts (``oban_attempts``). A thread cannot be
stopped: a function whose attempt has ended runs on, keeps its place here, and is told of. The threads are daemons, so
such a function ends with its process. All but ``FunctionCall._carry_out`` happens in the event loop.
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from inspect import isawaitable
from itertools import count
from queue import Empty, SimpleQueue
from types import CodeType
from typing import Any, Final

from oban import Job

from ..config import Around

RUNS_ON: Final = "its function runs on in a thread, which cannot be stopped"

_IDLE_FOR: Final = 60.0
"""Seconds after which a thread without work ends."""


class FunctionCall:
    """A plain function that runs for an attempt. Made by ``Threads.admit``; Oban's executor takes it for the worker."""

    def __init__(self, threads: "Threads", job: Job, function: Callable[[], Any]) -> None:
        self.job_id: int = job.id or 0
        self.worker: str = job.worker
        self.queue: str = job.queue
        self.thread_id: int | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.traceback: str | None = None
        self.is_orphan = False
        self._job = job
        self._function = function
        self._threads = threads
        self._context = contextvars.copy_context()
        self._ended: asyncio.Future[None] | None = None
        self._then: Callable[[FunctionCall], None] | None = None

    async def process(self, _: Job) -> Any:
        """Run it in a thread, and give what it returns or, of a wrapper, what that is awaited for."""
        self._threads.start(self)
        self._ended = asyncio.get_running_loop().create_future()
        await self._ended
        if self.error is not None:
            raise self.error
        return await self.value if isawaitable(self.value) else self.value

    @property
    def runs_on(self) -> bool:
        """Whether it runs, and nobody waits for it any more."""
        return self._ended is not None and self._ended.cancelled()

    @property
    def aftermath(self) -> str | None:
        """What becomes of the function when its attempt ends now; None when it has ended, or never began."""
        return RUNS_ON if self.runs_on else None

    def leave(self, then: "Callable[[FunctionCall], None]") -> bool:
        """Its attempt is over; whether the function runs on all the same. If so ``then`` is called when it ends."""
        if self._ended is None:
            self._threads.release()
        elif self._ended.cancel() or self.runs_on:
            self._then = then
            self._threads.left.append(self)
        return self.runs_on

    def end(self) -> None:
        """Called in the loop once the function has ended."""
        if self._then is not None:
            self._threads.left.remove(self)
            self._then(self)
        elif self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def carry_out(self) -> None:
        """Called in its thread."""
        self.thread_id = threading.get_ident()
        try:
            self.value = self._context.run(self.run_around)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its attempt's outcome (attempts/B1)
            self.error = error
        self.thread_id = None

    def run_around(self) -> Any:
        """Called in its thread and its context."""
        with ExitStack() as stack:
            for around in self._threads.around:
                stack.enter_context(around(self._job))
            return self._function()


OF_CALL: Final[CodeType] = FunctionCall.run_around.__code__
"""The frame below which a thread's stack is the worker's own."""


class _Thread(threading.Thread):
    """Runs one call after the other.

    Args:
        end: Called in the loop with this thread and a call that has ended, or None after a while without any.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, end: "Callable[[_Thread, FunctionCall | None], None]", name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.inbox: SimpleQueue[FunctionCall | None] = SimpleQueue()
        self._loop = loop
        self._end = end

    def run(self) -> None:
        # The loop may end at any moment, and the thread with it.
        with suppress(RuntimeError):
            while self._carry_out_next():
                pass

    def _carry_out_next(self) -> bool:
        try:
            call = self.inbox.get(timeout=_IDLE_FOR)
        except Empty:
            self._loop.call_soon_threadsafe(self._end, self, None)
            call = self.inbox.get()
        if call is not None:
            call.carry_out()
            self._loop.call_soon_threadsafe(self._end, self, call)
        return call is not None


class Threads:
    """The threads of one Oban instance in which plain functions run.

    Args:
        most: So many functions may run at once now, with those whose attempts have ended.
        around: Entered around each function, in its thread, the first outermost.
    """

    def __init__(self, most: Callable[[], int], around: Sequence[Around] = ()) -> None:
        self.around = around
        self._most = most
        self._taken = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        self._idle: list[_Thread] = []
        self._calls: dict[int, FunctionCall] = {}
        self.left: list[FunctionCall] = []
        self._numbers = count(1)

    async def admit(self, job: Job, function: Callable[[], Any]) -> FunctionCall:
        """A call that may begin, in turn; waits while too many functions run."""
        if self._turns or self._taken >= self._most():
            await self._turn()
        else:
            self._taken += 1
        return FunctionCall(self, job, function)

    def thread_of(self, job_id: int) -> int | None:
        """The id of the thread in which the function of an attempt runs that has not ended; from any thread."""
        call = self._calls.get(job_id)
        return None if call is None or call.runs_on else call.thread_id

    def has_orphans(self, queue: str) -> bool:
        """Whether a function of this queue runs on whose attempt was left to be rescued; from any thread."""
        return any(call.is_orphan and call.queue == queue for call in list(self.left))

    def start(self, call: FunctionCall) -> None:
        """Run a call that was admitted."""
        thread = self._idle.pop() if self._idle else self._start_thread()
        self._calls[call.job_id] = call
        thread.inbox.put(call)

    def release(self) -> None:
        """Give back the place of a call that has ended or never began."""
        self._taken -= 1
        self._admit_next()

    def _start_thread(self) -> _Thread:
        thread = _Thread(asyncio.get_running_loop(), self._end, f"powertools-function-{next(self._numbers)}")
        thread.start()
        return thread

    def _end(self, thread: _Thread, call: FunctionCall | None) -> None:
        if call is not None:
            self._idle.append(thread)
            if self._calls.get(call.job_id) is call:
                del self._calls[call.job_id]
            self.release()
            call.end()
        elif thread in self._idle:
            self._idle.remove(thread)
            thread.inbox.put(None)

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self._admit_next()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()
            raise

    def _admit_next(self) -> None:
        while self._turns and self._taken < self._most():
            turn = self._turns.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
