"""What a replayed task does, and the process that runs such tasks.

Started by ``replay.py`` as ``python -m bench.replay_task QUEUE``; it works until its standard input ends.
"""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oban import Job
from oban.decorators import worker

from bench.wfformat import digest
from oban_powertools import Powertools, current_step

TASKS_AT_ONCE = 100
"""Of one process; tasks only sleep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger: a task's code was here."""

    workflow_id: int
    phase: str
    """start or end."""
    task: str
    pid: int


class Ledger:
    """What the tasks' code really did, in the order it did it, by all processes.

    A file, because no rollback takes an entry back: each is one ``write`` to a file opened for appending.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, phase: str) -> None:
        step = current_step()
        os.write(self._file, f"{json.dumps([step.workflow_id, phase, step.step, os.getpid()])}\n".encode())

    @staticmethod
    def read(path: Path) -> list[Entry]:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [Entry(workflow_id=w, phase=phase, task=task, pid=pid) for w, phase, task, pid in lines]


open_ledger = cache(Ledger)


@worker(max_attempts=3)
class ReplayTask:
    """Takes as long as it is told, and returns proof of the results it was given."""

    async def process(self, job: Job) -> dict[str, Any]:
        ledger = open_ledger(current_step().context["ledger"])
        ledger.write("start")
        await asyncio.sleep(job.args["seconds"])
        ledger.write("end")
        task = job.args["task"]
        return {"task": task, "digest": digest(task, [parent["digest"] for parent in job.args["parents"]])}


async def work(queue: str) -> None:
    async with Powertools.open(queues={queue: TASKS_AT_ONCE}):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
