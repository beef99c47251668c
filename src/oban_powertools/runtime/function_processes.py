"""Run plain functions in processes of their own, one for each attempt that runs: what a thread cannot be, stopped.

Not for what runs there (``oban_child``). A pool of processes would not do: one that dies breaks the others' attempts.
Here each has a process for itself, spawned and not forked, kept for the next attempt and ended when it has been idle.

1. A process that dies fails the attempt that it runs, and no other.
2. When its attempt is over, nothing of the function runs on: the process is killed with what it has started.
3. No process outlives this one: the end of the socket ends it, and on Linux the kernel does when it cannot look.

All of it happens in the event loop.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
from oban import Cancel, Job
from oban.worker import WorkerResolutionError

from ..errors import FunctionProcessEndedError
from .function_lines import STOP, FunctionOutcome, read_outcome, write_job

_IDLE_FOR: Final = 60.0
"""Seconds after which a process without work ends."""

STOPS_WITHIN: Final = 5.0
"""Seconds that a function has to end by itself once it is asked to stop."""

_LONGEST_LINE: Final = 2**27
"""Bytes of one outcome."""

_NOT_STOPPED: Final = f"it was asked to stop, did not within {STOPS_WITHIN:g} s, and its process was killed"


class _Child:
    """One process, and the socket to it."""

    def __init__(self, around: Sequence[str], limit: int) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs:
            hello = orjson.dumps({"around": around, "limit": limit, "parent": os.getpid()}).decode()
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; from oban_powertools.runtime.oban_child import main; "
                f"main({theirs.fileno()}, {hello!r})"
            )
            # In a session of its own: Ctrl+C is for this process, and what it starts can be killed with it.
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.pid: int = self._process.pid
        self.ends_at: asyncio.TimerHandle | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    async def connect(self) -> bool:
        """Wait until it may be given jobs; False when it ended instead."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._ours, limit=_LONGEST_LINE)
        return bool(await self.read())

    def write(self, line: bytes) -> None:
        """Give it a line; one that has ended gets none."""
        if self._writer is not None:
            self._writer.write(line)

    async def read(self) -> bytes:
        """The next line; empty when it has ended."""
        assert self._reader is not None
        with suppress(ConnectionError):
            return await self._reader.readline()
        return b""

    async def end_of(self) -> str:
        """How it ended, once it has closed its socket."""
        self.kill()
        return _how(await asyncio.to_thread(self._process.wait))

    def kill(self) -> None:
        """End it with all that it has started, at once."""
        if self.ends_at is not None:
            self.ends_at.cancel()
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        if self._writer is not None:
            self._writer.transport.abort()
        else:
            self._ours.close()

    def reap(self) -> None:
        """Wait until one that was killed has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=STOPS_WITHIN)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else "unknown"
    return f"was ended by signal {-code} ({name})"


class ProcessCall:
    """A plain function that runs for an attempt in a process; has what an attempt needs of ``threads.FunctionCall``."""

    def __init__(self, processes: "FunctionProcesses", child: _Child, job: Job, asked: asyncio.Event | None) -> None:
        self.worker: str = job.worker
        self.value: Any = None
        self.error: BaseException | None = None
        self.traceback: str | None = None
        self.is_orphan = False
        self.pid: int = child.pid
        self._processes = processes
        self._child = child
        self._asked = asked
        self._line = write_job(job)
        self._begun = False
        self._ended = False

    @property
    def aftermath(self) -> str | None:
        """What becomes of the function when its attempt ends now; None when it has ended, or never began."""
        return "its function was stopped, because its process was killed" if self._begun and not self._ended else None

    async def process(self, _: Job) -> Any:
        """Run it in its process, and give what it returns."""
        self._begun = True
        self._child.write(self._line)
        watch = asyncio.create_task(self._kill_when_asked())
        try:
            line = await self._child.read()
        finally:
            watch.cancel()
        if not line.endswith(b"\n"):
            return await self._notice_end()
        self._ended = True
        outcome: FunctionOutcome = read_outcome(line)
        self.error, self.traceback = outcome.error, outcome.traceback
        if self.error is not None:
            raise self.error
        return outcome.value

    async def _notice_end(self) -> Any:
        how = await self._child.end_of()
        self._ended = True
        if self.value is not None:
            return self.value
        self.error = FunctionProcessEndedError(self.worker, self.pid, how)
        raise self.error

    async def _kill_when_asked(self) -> None:
        if self._asked is not None:
            await self._asked.wait()
            self._child.write(STOP)
            await asyncio.sleep(STOPS_WITHIN)
            self.value = Cancel(_NOT_STOPPED)
            self._child.kill()

    def leave(self, _: Any) -> bool:
        """Its attempt is over, and so is the function."""
        if self.aftermath is None and self._child.lives:
            self._processes.keep(self._child)
        else:
            self._processes.drop(self._child)
        return False


class FunctionProcesses:
    """The processes of one Oban instance in which plain functions run: at most as many as its slots ever held attempts.

    Args:
        around: As ``module:name``, what is entered around each function there, the first outermost.
        limit: Bytes of JSON that a step's result may have.
    """

    def __init__(self, around: Sequence[str], limit: int) -> None:
        self._around = around
        self._limit = limit
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that live."""
        return [child.pid for child in self._children if child.lives]

    async def admit(self, job: Job, asked: asyncio.Event | None) -> ProcessCall:
        """A call that may begin, in a process for itself.

        Args:
            asked: Set when the function is to stop.

        Raises:
            FunctionProcessEndedError: The process ended before it could be given a job.
            WorkerResolutionError: No other process can import the worker.
        """
        if job.worker.startswith("__main__."):
            name = job.worker.partition(".")[2]
            raise WorkerResolutionError(
                f"worker '{job.worker}' is one of the script that was started, which another process cannot import: "
                f"move {name} to a module, or leave its queue out of Settings(functions_in=...)"
            )
        child = self._take_idle()
        return ProcessCall(self, child or await self._start(job.worker), job, asked)

    def keep(self, child: _Child) -> None:
        """Keep a process for the next call."""
        child.ends_at = asyncio.get_running_loop().call_later(_IDLE_FOR, self.drop, child)
        self._idle.append(child)

    def drop(self, child: _Child) -> None:
        """End a process."""
        child.kill()
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        asyncio.get_running_loop().run_in_executor(None, child.reap)

    def end(self) -> None:
        """End all of them, also from outside of the event loop."""
        for child in self._children:
            child.kill()
        for child in self._children:
            child.reap()
        self._children.clear()
        self._idle.clear()

    def _take_idle(self) -> _Child | None:
        while self._idle:
            child = self._idle.pop()
            if child.ends_at is not None:
                child.ends_at.cancel()
            if child.lives:
                return child
            self.drop(child)
        return None

    async def _start(self, worker: str) -> _Child:
        child = _Child(self._around, self._limit)
        self._children.add(child)
        try:
            if await child.connect():
                return child
            raise FunctionProcessEndedError(worker, child.pid, f"{await child.end_of()} before it could begin")
        except BaseException:
            self.drop(child)
            raise
