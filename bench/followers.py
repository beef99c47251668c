"""200 subscribers in one process, which check what they see: none missing, in order.

Started as ``python -m bench.followers DSN``. When its standard input ends, it reads on to the end of the log and prints
one line of JSON about what it saw.
"""

import asyncio
import json
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import uvloop

from oban_powertools import Cursor, Event, Powertools, WorkflowFinished

EVERYTHING: Final = 10
"""Subscribers of every workflow."""

ONE_WORKFLOW: Final = 190
"""Subscribers of one workflow after another."""


@dataclass(slots=True)
class Seen:
    """What all subscribers saw."""

    lags: array[float] = field(default_factory=lambda: array("d"))
    """Milliseconds from the write, which comes before its commit, to the subscriber."""
    workflows: int = 0
    head: int = 0

    def note(self, event: Event) -> None:
        self.lags.append((datetime.now(UTC) - event.timestamp).total_seconds() * 1000)

    def report(self) -> dict[str, Any]:
        cuts = quantiles(self.lags, n=100)
        return {
            "events": len(self.lags), "workflows": self.workflows, "head": self.head,
            "p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(self.lags),
        }  # fmt: skip


class Followers:
    """The subscribers."""

    def __init__(self, powertools: Powertools) -> None:
        self._events = powertools.events
        self._seen = Seen()
        self._free = ONE_WORKFLOW
        self._stopping = asyncio.Event()

    async def run(self) -> Seen:
        since = await self._events.head()
        print("ready", flush=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_told())
            for n in range(EVERYTHING):
                group.create_task(self._follow_everything(since, group if n == 0 else None))
        return self._seen

    async def _until_told(self) -> None:
        await asyncio.to_thread(sys.stdin.read)
        self._seen.head = await self._events.head()
        self._stopping.set()

    async def _follow_everything(self, since: Cursor, group: asyncio.TaskGroup | None) -> None:
        """Cursors have no gap, so neither has what is seen."""
        last = since
        async with self._events.subscribe_all(since=since) as events:
            while not (self._stopping.is_set() and last >= self._seen.head):
                event = await anext(events)
                if event.cursor != last + 1:
                    raise RuntimeError(f"saw cursor {event.cursor} after {last}")
                last = event.cursor
                self._seen.note(event)
                if group is not None and event.number == 1 and self._free:
                    self._free -= 1
                    group.create_task(self._follow_workflow(event))

    async def _follow_workflow(self, first: Event) -> None:
        """Every event of one workflow, 1 to its end."""
        number = 0
        async with self._events.subscribe_workflow(first.workflow_id, since=Cursor(first.cursor - 1)) as events:
            async for event in events:
                if event.number != number + 1:
                    raise RuntimeError(f"workflow {first.workflow_id}: saw event {event.number} after {number}")
                number = event.number
                self._seen.note(event)
                if isinstance(event, WorkflowFinished):
                    break
        self._seen.workflows += 1
        self._free += 1


@asynccontextmanager
async def following(dsn: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, which follows already; ``communicate`` ends its input and returns its report."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.followers", dsn, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _main(dsn: str) -> None:
    async with Powertools.open(dsn) as powertools:
        print(json.dumps((await Followers(powertools).run()).report()), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
