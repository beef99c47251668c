"""Narrate one run of the census from its live events.

An event that does not arrive ends the demo with an error.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final

from .. import Event, Powertools, StepChange, StepRecord, StepState, WorkflowFinished, WorkflowId
from ..cli.exits import Exit, StoppedError
from .screen import Screen
from .steps import FLAKY, HANDLER
from .workers import WorkerProcess, node_of

KILL_AT: Final = 1 / 3
"""Share of the steps that have ended when a worker is killed."""
STUCK_AFTER: Final = 60.0
"""Seconds without an event."""


class Story:
    """What happens to the workflow and its workers, from now on."""

    def __init__(
        self, powertools: Powertools, workflow_id: WorkflowId, start_worker: Callable[[], WorkerProcess], screen: Screen
    ) -> None:
        self.killed: int | None = None  # its pid
        self.held: Mapping[str, int] = {}  # by the killed worker: step -> attempt
        self._powertools = powertools
        self._workflow_id = workflow_id
        self._start_worker = start_worker
        self._victim, _ = start_worker(), start_worker()
        self._screen = screen
        self._moved_at = time.monotonic()
        self._ended: set[str] = set()
        self._delays: list[float] = []

    @property
    def counted(self) -> str:
        """``2,911 live, half within 12 ms``: from what happened to its arrival, on one clock."""
        within = f", half within {median(self._delays) * 1000:.0f} ms" if self._delays else ""
        return f"{len(self._delays):,} live{within}"

    async def steps(self) -> Sequence[StepRecord]:
        """Every step as it is now."""
        return await self._powertools.workflows.steps(self._workflow_id)

    async def node_of(self, step: StepRecord) -> str | None:
        """The Oban node that ran a step last."""
        job = await self._powertools.oban.get_job(step.job_id) if step.job_id is not None else None
        return job.attempted_by[0] if job is not None and job.attempted_by else None

    async def watch(self, events: AsyncIterator[Event]) -> None:
        """Tell what happens until the event of the workflow's end has arrived.

        Raises:
            StoppedError: Nothing moves any more, or an event is missing.
        """
        steps = await self.steps()
        self._ended |= {step.name for step in steps if step.state.terminal}
        following = asyncio.create_task(self._follow(events))
        try:
            while not following.done():
                if time.monotonic() - self._moved_at > STUCK_AFTER:
                    raise StoppedError(f"no event for {STUCK_AFTER:.0f} s; --fresh starts over", Exit.FAILED)
                self._screen.progress(len(self._ended), len(steps), f"events: {self.counted}")
                if self.killed is None and len(self._ended) >= len(steps) * KILL_AT:
                    await self._kill(self._victim)
                await asyncio.wait([following], timeout=0.3)
        finally:
            following.cancel()
        following.result()

    async def _follow(self, events: AsyncIterator[Event]) -> None:
        last: int | None = None
        async for event in events:
            self._delays.append((datetime.now(UTC) - event.timestamp).total_seconds())
            if last is not None and event.number != last + 1:
                raise StoppedError(f"event {last} is followed by {event.number}: some are missing", Exit.FAILED)
            last, self._moved_at = event.number, time.monotonic()
            if line := _describe(event):
                self._screen.event(*line)
            if isinstance(event, WorkflowFinished):
                return
            if event.state.terminal:
                self._ended.add(event.step_name)

    async def _kill(self, worker: WorkerProcess) -> None:
        """Kill a worker once it has steps in hand, and start another one."""
        if len(await self._held_by(worker)) < 2:
            return
        self.killed = worker.pid
        worker.kill()
        worker.wait()
        self.held = await self._held_by(worker)
        self._screen.event(f"worker {worker.pid} is killed (SIGKILL) with {len(self.held)} steps in hand", "red")
        self._screen.event(f"worker {self._start_worker().pid} starts in its place")

    async def _held_by(self, worker: WorkerProcess) -> Mapping[str, int]:
        executing = [step for step in await self.steps() if step.state is StepState.EXECUTING]
        return {step.name: step.attempt for step in executing if await self.node_of(step) == node_of(worker.pid)}


def _describe(event: Event) -> tuple[str, str] | None:
    """What is worth telling: text and colour."""
    if isinstance(event, WorkflowFinished):
        return f"the workflow has ended: {event.outcome}", "green"
    match event.step_name, event.change:
        case name, StepChange.RETRYING if event.error:
            return f"step {name!r} failed: {event.error}; it is tried again in about a second", "yellow"
        case name, StepChange.RETRYING:
            return f"step {name!r} is taken from a worker that is gone", "yellow"
        case name, StepChange.DISCARDED:
            return f"step {name!r} is discarded: {event.error}", "red"
        case name, StepChange.COMPLETED if name == FLAKY:
            return f"step {name!r} succeeded at attempt {event.attempt}", "green"
        case name, StepChange.COMPLETED if name == HANDLER:
            return f"step {name!r} handled that: it depends on it by a continue edge", "green"
        case _:
            return None
