"""The demo's worker processes: how the demo starts them, and what they run.

A worker ends when the demo has ended, even by ``kill -9``: its standard input is a pipe from the demo, and the end of
that pipe tells it to leave.
"""

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from .. import Powertools, Settings
from .database import open_database
from .steps import QUEUE

type WorkerProcess = subprocess.Popen[bytes]
STEPS_AT_ONCE: Final = 8
"""Of one worker."""
GONE_AFTER: Final = timedelta(seconds=3)
"""Silence after which a worker is gone (the default is 15 s)."""


async def work(data_directory: Path | None) -> None:
    """Be a worker until standard input ends."""
    queues, settings = {QUEUE: STEPS_AT_ONCE}, Settings(executor_gone_after=GONE_AFTER)
    async with (
        open_database(data_directory) as dsn,
        Powertools.open(dsn, queues=queues, node=node_of(os.getpid()), leadership=False, settings=settings),
    ):
        await asyncio.to_thread(sys.stdin.buffer.read)


def demo_command(data_directory: Path | None) -> list[str]:
    """This very command, on the data directory that its user gave."""
    return [sys.argv[0], "demo", *([] if data_directory is None else ["--data", str(data_directory)])]


def node_of(worker_pid: int) -> str:
    """The name under which Oban knows a worker process."""
    return f"worker-{worker_pid}"


def start_worker(workers: ExitStack, data_directory: Path | None) -> WorkerProcess:
    """Start a worker; the end of the stack lets it finish the steps in hand, and waits for it."""
    command = [*demo_command(data_directory), "worker"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # Ctrl-C is the demo's to handle
    return workers.enter_context(process)
