"""A worker process under measurement.

Started by ``Fleet`` as ``python -m bench.worker DSN LIMIT turbo|plain``. Answers each line on its standard input with
one line of JSON about itself, and works until the input ends.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import uvloop

from bench import steps
from oban_powertools import Powertools

ROOT = Path(__file__).parents[1]
READY_WITHIN = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What workers have used so far."""

    ran: int
    """Steps whose code ran."""
    rss: int
    """Bytes resident now."""
    cpu: float
    """Seconds."""


class Fleet:
    """Some worker processes that work on the queue ``default``."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def usage(self) -> Usage:
        """Summed over the processes."""
        answers = [_ask(process) for process in self._processes]
        return Usage(
            ran=sum(a["ran"] for a in answers), rss=sum(a["rss"] for a in answers), cpu=sum(a["cpu"] for a in answers)
        )


@contextmanager
def fleet(dsn: str, *, limit: int, turbo: bool = True, processes: int = 1) -> Iterator[Fleet]:
    """Workers that are ready; each runs ``limit`` steps at a time."""
    command = [sys.executable, "-m", "bench.worker", dsn, str(limit), "turbo" if turbo else "plain"]
    started = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ}
        )
        for _ in range(processes)
    ]
    try:
        for process in started:
            _ask(process)
        yield Fleet(started)
    finally:
        for process in started:
            if process.stdin is not None:
                process.stdin.close()
        for process in started:
            process.wait(READY_WITHIN)


def _ask(process: subprocess.Popen[str]) -> dict[str, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("usage\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a worker ended with code {process.wait(READY_WITHIN)}")
    return json.loads(line)


async def _work(dsn: str, limit: int, turbo: bool) -> None:
    me = psutil.Process()
    async with Powertools.open(dsn, queues={"default": limit}, turbo=turbo):
        await asyncio.sleep(0.3)  # until the producer listens
        while await asyncio.to_thread(sys.stdin.readline):
            used = me.cpu_times()
            report = {"ran": steps.COUNTER.value, "rss": me.memory_info().rss, "cpu": used.user + used.system}
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    uvloop.run(_work(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "turbo"))
