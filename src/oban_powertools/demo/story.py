"""Watch the census run, kill a worker in the middle, and tell what happens as it happens.

The rule that must never break: what is told was read from the database or seen on a process, never assumed.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from .. import Powertools, StepRecord, StepState, WorkflowId
from .live import DemoError, LiveStream
from .screen import GREEN, RED, Screen
from .workers import Worker, Workers

KILL_AT: Final = 1 / 3
"""Share of the steps that have ended when a worker is killed."""

_LOOK_EVERY: Final = timedelta(seconds=0.3)
_STUCK_AFTER: Final = timedelta(minutes=1)
_SHOWN_NAMES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A worker that was killed."""

    worker: Worker
    """The process that is gone."""

    held: Mapping[str, StepRecord]
    """The steps it was executing, by name, as they were then."""

    at: float
    """When; process clock, seconds."""


class Story:
    """One run of the census, seen from outside."""

    def __init__(
        self, powertools: Powertools, workflow_id: WorkflowId, workers: Workers, live: LiveStream, screen: Screen
    ) -> None:
        self.workflow_id = workflow_id
        self.workers = workers
        self.live = live
        self.killed: Killed | None = None
        self.done_before = 0
        self._powertools = powertools
        self._screen = screen
        self._started_at = time.monotonic()
        self._last_change = (Counter[StepState](), time.monotonic())
        self._told_rescue = False

    @property
    def elapsed(self) -> float:
        """Seconds since the workers were started; process clock."""
        return time.monotonic() - self._started_at

    async def watch(self) -> None:
        """Tell what happens until every step has its outcome and the workflow's last event has arrived.

        Raises:
            DemoError: A worker died by itself, nothing moves, or an event is missing.
        """
        before = await self._steps()
        self.done_before = sum(step.state.terminal for step in before)
        while True:
            steps = await self._steps()
            self._tell_rescue(steps)
            states = Counter(step.state for step in steps)
            done = sum(count for state, count in states.items() if state.terminal)
            self._screen.progress(done, len(steps), self._details(steps, states))
            if done == len(steps):
                return await self.live.wait_for_the_end()
            self._check(states)
            if self.killed is None and done >= len(steps) * KILL_AT:
                await self._kill(steps)
            await asyncio.sleep(_LOOK_EVERY.total_seconds())

    async def node_of(self, step: StepRecord) -> str | None:
        """The Oban node that ran a step last."""
        job = await self._powertools.oban.get_job(step.job_id) if step.job_id is not None else None
        return job.attempted_by[0] if job is not None and job.attempted_by else None

    async def _steps(self) -> Sequence[StepRecord]:
        return await self._powertools.workflows.steps(self.workflow_id)

    async def _kill(self, steps: Sequence[StepRecord]) -> None:
        """Kill the worker with the most steps in hand, once it has some, and start another one."""
        executing = [step for step in steps if step.state is StepState.EXECUTING]
        in_hand = Counter([await self.node_of(step) for step in executing])
        worker = max(self.workers.all, key=lambda worker: in_hand[worker.node])
        if in_hand[worker.node] < 2:
            return
        killed_at = time.monotonic()
        worker.kill()
        executing = [step for step in await self._steps() if step.state is StepState.EXECUTING]
        held = {step.name: step for step in executing if await self.node_of(step) == worker.node}
        self.killed = Killed(worker=worker, held=held, at=killed_at)
        self._screen.event(
            f"worker {worker.pid} is killed (SIGKILL) with {len(held)} steps in hand: {_names(list(held))}", RED
        )
        self._screen.event(f"worker {self.workers.start().pid} starts in its place")

    def _tell_rescue(self, steps: Sequence[StepRecord]) -> None:
        if self.killed is None or self._told_rescue or any(map(self._waits_for_rescue, steps)):
            return
        self._told_rescue = True
        if self.killed.held:
            after = f"{time.monotonic() - self.killed.at:.1f} s"
            text = f"worker {self.killed.worker.pid} was found to be gone, and its steps were given back, after {after}"
            self._screen.event(text, GREEN)

    def _waits_for_rescue(self, step: StepRecord) -> bool:
        if self.killed is None or step.name not in self.killed.held:
            return False
        return step.state is StepState.EXECUTING and step.attempt == self.killed.held[step.name].attempt

    def _details(self, steps: Sequence[StepRecord], states: Counter[StepState]) -> list[str]:
        waiting = [step.name for step in steps if self._waits_for_rescue(step)]
        executing = [step.name for step in steps if step.state is StepState.EXECUTING and step.name not in waiting]
        lines = [", ".join(f"{states[state]} {state}" for state in StepState if states[state])]
        lines.append(f"events: {self.live.counted}")
        if executing:
            lines.append(f"now: {_names(executing)}")
        if waiting:
            lines.append(f"{len(waiting)} still held by the killed worker: {_names(waiting)}")
        return lines

    def _check(self, states: Counter[StepState]) -> None:
        for worker in self.workers.all:
            if not worker.running and (self.killed is None or worker is not self.killed.worker):
                raise DemoError(f"worker {worker.pid} ended by itself: {worker.last_words()}")
        if states != self._last_change[0]:
            self._last_change = (states, time.monotonic())
        elif time.monotonic() - self._last_change[1] > _STUCK_AFTER.total_seconds():
            raise DemoError(f"no step of workflow {self.workflow_id} has moved for {_STUCK_AFTER}; --fresh starts over")


def _names(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
