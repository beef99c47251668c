"""The program of a process that runs plain functions for another, one after the other.

It is spawned by ``function_processes``, knows nothing of a database, and ends with its parent: the rule that must never
break. With ``oban_hooks``, ``oban_acks`` and ``database.oban`` it imports Oban's internals, which
tests/runtime/test_oban_contract.py names.
"""
# pyright: reportPrivateUsage=false

import asyncio
import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from inspect import isawaitable
from operator import attrgetter
from queue import SimpleQueue
from typing import Any, BinaryIO, Final, NoReturn

import orjson
from oban import Job
from oban._executor import _current_job
from oban.worker import resolve_worker

from .function_lines import READY, read_job, write_error, write_outcome
from .plain_functions import find_plain_function

_PR_SET_PDEATHSIG: Final = 1


def main(descriptor: int, hello: str) -> NoReturn:
    """Run the functions of the jobs that the parent sends, until it ends.

    Args:
        descriptor: Of the socket to the parent.
        hello: JSON: what is entered around each function, the limit of a result, and the parent's id.
    """
    said = orjson.loads(hello)
    _die_with(said["parent"])
    connection = socket.socket(fileno=descriptor)
    jobs: SimpleQueue[Job] = SimpleQueue()
    threading.Thread(
        target=_listen, args=(connection.makefile("rb"), jobs), name="powertools-parent", daemon=True
    ).start()
    connection.sendall(READY)
    while True:
        connection.sendall(_line_of(jobs.get(), said["around"], said["limit"]))


def _die_with(parent: int) -> None:
    """Have the kernel end this process with its parent, also while C code keeps the listening thread from running."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)


def _listen(lines: BinaryIO, jobs: "SimpleQueue[Job]") -> None:
    job: Job | None = None
    with suppress(OSError):
        for line in lines:
            fields = orjson.loads(line)
            if "worker" in fields:
                # Before its function can be asked to stop by the next line.
                job = read_job(fields)
                job._cancellation = asyncio.Event()
                jobs.put(job)
            elif job is not None and job._cancellation is not None:
                job._cancellation.set()
    # With all that the function has started.
    os.killpg(0, signal.SIGKILL)


def _line_of(job: Job, around: list[str], limit: int) -> bytes:
    token = _current_job.set(job)
    try:
        return write_outcome(job, _run(job, around), limit)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its attempt's outcome (attempts/B1)
        return write_error(error)
    finally:
        _current_job.reset(token)


def _run(job: Job, around: list[str]) -> Any:
    with ExitStack() as stack:
        for name in around:
            stack.enter_context(_find(name)(job))
        worker: Any = resolve_worker(job.worker)()
        function = find_plain_function(worker, job)
        value = worker.process(job) if function is None else function()
    return asyncio.run(_awaited(value)) if isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value


def _find(name: str) -> Callable[[Job], Any]:
    module, _, path = name.partition(":")
    __import__(module)
    return attrgetter(path)(sys.modules[module])
