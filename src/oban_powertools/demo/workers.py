"""The demo's worker processes, seen from both sides.

The rule that must never break: a worker ends when the demo is gone, however it went. Its standard input is a pipe from
the demo, and the end of that pipe is its sign to leave.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from .. import Powertools, Settings
from .database import open_database
from .steps import QUEUE

STEPS_AT_ONCE: Final = 8
"""Of one worker."""
GONE_AFTER: Final = timedelta(seconds=3)
"""Silence after which a worker is gone (the default is 15 s)."""
STOP_WITHIN: Final = timedelta(seconds=10)
"""Longer than the steps in hand take."""


async def work(data_directory: Path | None) -> None:
    """Be a worker until standard input ends."""
    settings = Settings(executor_gone_after=GONE_AFTER)
    async with (
        open_database(data_directory) as dsn,
        Powertools.open(
            dsn, queues={QUEUE: STEPS_AT_ONCE}, node=node_of(os.getpid()), leadership=False, settings=settings
        ),
    ):
        await asyncio.to_thread(sys.stdin.buffer.read)


def node_of(pid: int) -> str:
    """The name under which Oban knows a worker process."""
    return f"worker-{pid}"


def data_option(data_directory: Path | None) -> list[str]:
    """The demo's option for its data directory, as its user gave it."""
    return [] if data_directory is None else ["--data", str(data_directory)]


class Worker:
    """One worker process, seen from the demo."""

    def __init__(self, data_directory: Path | None, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "oban_powertools.demo", *data_option(data_directory), "worker"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is the demo's to handle
            )
        self.pid = self._process.pid
        self.node = node_of(self.pid)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def last_words(self) -> str:
        """The last line it wrote."""
        return self._log.read_text(errors="replace").strip().rpartition("\n")[2] or "it said nothing"

    def ask_to_stop(self) -> None:
        """It finishes the steps in hand and leaves."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self) -> None:
        """Wait until it has left; kill it when it does not."""
        try:
            self._process.wait(STOP_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()


class Workers:
    """All worker processes; leaving the context stops them."""

    def __init__(self, data_directory: Path | None, count: int) -> None:
        self._data_directory = data_directory
        self._count = count
        self._logs = tempfile.TemporaryDirectory(prefix="powertools-demo-")
        self.all: list[Worker] = []

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.all:
            worker.ask_to_stop()
        for worker in self.all:
            worker.wait()
        self._logs.cleanup()

    def start(self) -> Worker:
        """One more."""
        worker = Worker(self._data_directory, Path(self._logs.name, f"{len(self.all)}.log"))
        self.all.append(worker)
        return worker
