"""200 subscribers in one process, which check what they see: none missing, in order.

Started as ``python -m bench.followers DSN``. When its standard input ends, it reads on to the end of the log and prints
one line of JSON about what it saw.
"""

import asyncio
import json
import subprocess
import sys
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import uvloop

from oban_powertools import Cursor, Event, Powertools, WorkflowFinished
from oban_powertools.events import Subscription

EVERYTHING: Final = 10
"""Subscribers of every workflow."""

ONE_WORKFLOW: Final = 190
"""Subscribers of one workflow after another."""

COMMITTED: Final = b"""
SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8
FROM powertools.event_batches b JOIN powertools.events e ON e.batch_id = b.id
WHERE b.last_cursor > %s ORDER BY b.last_cursor - b.events + e.place
"""
"""When the events after a cursor were committed, oldest first."""


@dataclass(slots=True)
class Seen:
    """What all subscribers saw, and when."""

    cursors: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    """Seconds since the epoch."""
    workflows: int = 0
    head: int = 0

    def note(self, event: Event) -> None:
        self.cursors.append(event.cursor)
        self.times.append(time.time())

    def report(self, since: Cursor, committed: Sequence[float]) -> dict[str, Any]:
        """``committed``: when the events after ``since`` were committed."""
        lags = [(at - committed[c - since - 1]) * 1000 for c, at in zip(self.cursors, self.times, strict=True)]
        cuts = quantiles(lags, n=100)
        return {
            "events": len(lags),
            "workflows": self.workflows,
            "head": self.head,
            "p50": cuts[49],
            "p95": cuts[94],
            "p99": cuts[98],
            "most": max(lags),
        }


class Followers:
    """The subscribers."""

    def __init__(self, powertools: Powertools) -> None:
        self._powertools = powertools
        self._events = powertools.events
        self._seen = Seen()
        self._free = ONE_WORKFLOW
        self._everything: list[Subscription] = []
        self._told = False

    async def run(self) -> dict[str, Any]:
        """See everything until the end of the input; what was seen."""
        since = await self._events.head()
        print("ready", flush=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._until_told())
            for n in range(EVERYTHING):
                group.create_task(self._follow_everything(since, group if n == 0 else None))
        async with self._powertools.connect() as conn:
            committed = await (await conn.execute(COMMITTED, [since])).fetchall()
        return self._seen.report(since, [at for (at,) in committed])

    async def _until_told(self) -> None:
        await asyncio.to_thread(sys.stdin.read)
        self._seen.head = await self._events.head()
        self._told = True
        for subscription in self._everything:
            if subscription.cursor >= self._seen.head:
                subscription.close()

    async def _follow_everything(self, since: Cursor, group: asyncio.TaskGroup | None) -> None:
        """Cursors have no gap, so neither has what is seen."""
        last = since
        async with self._events.subscribe_all(since=since) as events:
            self._everything.append(events)
            async for event in events:
                if event.cursor != last + 1:
                    raise RuntimeError(f"saw cursor {event.cursor} after {last}")
                last = event.cursor
                self._seen.note(event)
                if group is not None and event.number == 1 and self._free:
                    self._free -= 1
                    group.create_task(self._follow_workflow(event))
                if self._told and last >= self._seen.head:
                    break

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
        sys.executable,
        "-m",
        "bench.followers",
        dsn,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
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
        print(json.dumps(await Followers(powertools).run()), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
