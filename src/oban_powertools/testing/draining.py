"""Move a workflow on without waiting: run what is due, sweep, and let time pass to what is due next.

The rule that must never break: it ends. Where nothing moves any more it says why instead of waiting.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ..runtime.oban_draining import acknowledge, attempt, fetch, find_not_run, rescue_all
from ..runtime.sweep import Swept, sweep_once
from .clock import NEAREST, Awaited, Clock, Moment
from .fakes import Faked
from .idle import IdlePowertools

_MOST_JUMPS: Final = 5_000
"""Instants that one run passes over, so that a worker that snoozes for ever ends it."""
_MOST_IDLE_JUMPS: Final = 20
"""Instants at which nothing happens."""

_NOT_IMPORTABLE: Final = (
    "the worker {} of job {} cannot be imported, so the job would be tried for ever: import it, or give a fake of its "
    "step"
)

type GoalCheck = Callable[[], Awaitable[bool]]


class NothingMovesError(AssertionError):
    """A workflow did not get as far as the test wanted, and nothing will move it there by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a run is to reach."""

    awaited: Awaited
    """Where it is to get."""

    answer: GoalCheck
    """Sends signals that the test has given for what waits now; whether there was one."""

    within: timedelta
    """Time that may pass."""


class Drainer:
    """Runs the jobs of one database in this process.

    Args:
        powertools: On that database.
        clock: Of it.
    """

    def __init__(self, powertools: IdlePowertools, clock: Clock) -> None:
        self._powertools = powertools
        self._oban = powertools.oban
        self._clock = clock

    async def run_due(self, faked: Faked, awaited: Awaited | None = None) -> tuple[int, Moment]:
        """Run jobs until none may run now, without time passing; returns how many attempts that took, and what is then.

        Raises:
            WrongFakeError: A fake has too few outcomes.
            NothingMovesError: A worker cannot be imported, so its job would be tried for ever.
        """
        attempts = 0
        while (moment := await self._clock.look(awaited)).queues:
            jobs = await fetch(self._oban, moment.queues, stage=moment.staged)
            if not jobs:
                break
            outcomes = [await attempt(job, faked.find_worker, self._powertools.attachment) for job in jobs]
            await acknowledge(self._oban, outcomes)
            attempts += len(jobs)
            if faked.wrong is not None:
                raise faked.wrong
            if (not_run := find_not_run(outcomes)) is not None:
                raise NothingMovesError(_NOT_IMPORTABLE.format(not_run.job.worker, not_run.job.id))
        return attempts, moment

    async def sweep(self) -> bool:
        """Do what the loop of a process would: end waits and workflows whose time is up, and so on; whether it did."""
        async with self._powertools.session() as session:
            swept = await sweep_once(session, Swept(), self._powertools.settings)
        return bool(swept.repaired or swept.expired or swept.reconciled)

    async def run_now(self, faked: Faked) -> int:
        """Run jobs and sweep until nothing more happens now; returns how many attempts and sweeps did something."""
        moves = 0
        while moves < _MOST_JUMPS:
            attempts, _ = await self.run_due(faked)
            moves += attempts
            if not await self.sweep():
                return moves
            moves += 1
        return moves

    async def advance(self, by: timedelta, faked: Faked) -> None:
        """Let time pass, stopping wherever something is due."""
        await self.run_now(faked)
        while (due_in := (await self._clock.look()).due_in) is not None and due_in < by:
            await self._clock.let_pass(due_in + NEAREST)
            by = max(timedelta(0), by - due_in - NEAREST)
            await self.run_now(faked)
        await self._clock.let_pass(by)
        await self.run_now(faked)

    async def run_to(self, goal: Goal, faked: Faked) -> str | None:
        """Let as much time pass as it takes to reach a goal; returns why it cannot be reached, None where it was."""
        idle = jumps = 0
        passed = self._clock.passed
        while True:
            attempts, moment = await self.run_due(faked, goal.awaited)
            if moment.reached:
                return None
            if await self.sweep() or await goal.answer():
                idle = 0
                continue
            # Read before the sweep, which has found nothing to do.
            due_in = moment.due_in
            if due_in is None:
                # What is executing runs in no process: it was loaded, or its worker took this one with it.
                if await rescue_all(self._oban):
                    continue
                return "nothing is scheduled that would move it"
            idle, jumps = 0 if attempts else idle + 1, jumps + 1
            if idle > _MOST_IDLE_JUMPS:
                return "nothing happens although it is due"
            if jumps > _MOST_JUMPS:
                return f"it was not there after {jumps} instants at which something was due"
            if self._clock.passed - passed + due_in > goal.within:
                return f"the next thing is due {due_in} from now, and no more than {goal.within} was to pass"
            await self._clock.let_pass(due_in + NEAREST)
