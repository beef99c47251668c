"""Everything that can happen to a database of workflows, one move at a time, each with its look afterwards.

A move picks its targets by number, counted around among those there are; so it fits any course of
events. Time passes by moving what is due into the past.
"""

import copy
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from oban import Cancel, Job, Snooze
from oban._executor import Executor
from oban._query import Query, _ack_jobs
from psycopg.rows import class_row

from oban_powertools import AwaitSignal, current_step
from oban_powertools.errors import PowertoolsError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import START, Hand
from tests.support.model import ENDED
from tests.support.random_workflows import A_DAY, WORKER, WorkflowPlan, define
from tests.support.witness import STARTABLE, Look, Place, Witness

BREAKABLE = """
CREATE TABLE broken (workflow_id bigint, "position" int);
CREATE FUNCTION refuse_broken() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM public.broken b WHERE (b.workflow_id, b.position) = (NEW.workflow_id, NEW.position)) THEN
    RAISE EXCEPTION 'broken on purpose: step % of workflow %', NEW.position, NEW.workflow_id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse_broken BEFORE UPDATE ON powertools.steps FOR EACH ROW EXECUTE FUNCTION refuse_broken();
"""

CLEAR = """
TRUNCATE oban_jobs, broken, powertools.workflows, powertools.steps, powertools.settle_faults, powertools.waits,
  powertools.notices, powertools.callbacks,
  powertools.signals, powertools.events, powertools.event_batches, powertools.deferred_starts
  RESTART IDENTITY
"""

FORGE = """
INSERT INTO oban_jobs (state, queue, worker, args, meta)
SELECT 'available', queue, worker, args, meta FROM oban_jobs WHERE id = ANY (%s) RETURNING id
"""

EDIT = """
UPDATE oban_jobs SET state = %s::oban_job_state, meta = meta || '{"return": {"json": "edited"}}' WHERE id = ANY (%s)
"""

END_HOLDS = "UPDATE powertools.steps SET held_until = now() - interval '1 s' WHERE held_until IS NOT NULL"

OPERATOR: Any = {"actor": "machine", "reason": "because it can"}


@dataclass(frozen=True)
class Append:
    """What a worker does that appends a chain of steps and returns ``value``."""

    names: tuple[str, ...]
    value: Any = None


type Outcome = Any
"""What a worker comes to: a value, an exception, Cancel, Snooze, AwaitSignal or Append."""


class Scripted:
    """A worker that ends as the move says."""

    async def process(self, job: Job) -> Any:
        outcome = job.extra["outcome"]
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Append):
            last = None
            for name in outcome.names:
                last = current_step().append(name, Job(WORKER), deps=[last] if last else [])
            return outcome.value
        return outcome

    def backoff(self, job: Job) -> int:
        return 60


class Moves:
    """Moves on one database, from its first workflow until everything has ended."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand
        self._commands: int | None = None
        self._broken: set[int] = set()
        self.plain_query = Query(hand.oban._query._pool)
        self.fetched: list[Job] = []
        """Every job as some node once fetched it; any of them may acknowledge at any time."""
        self.witness = Witness()

    @property
    def seen(self) -> Look:
        return self.witness.seen

    # Workflows and their jobs

    async def insert(self, plans: Sequence[WorkflowPlan]) -> None:
        await self._hand.workflows.insert_many([define(plan) for plan in plans])
        await self._look()
        if self._commands is None:
            # The audit is not emptied between two courses: nobody may.
            self._commands = self.seen.commands

    async def fetch(self, picks: Sequence[int]) -> None:
        startable = [job_id for job_id, job in self.seen.jobs.items() if job["state"] in STARTABLE]
        async with self._hand.conn.cursor(row_factory=class_row(Job)) as cursor:
            await cursor.execute(START, (_picked(startable, picks),))
            self.fetched += await cursor.fetchall()
        await self._look()

    async def finish(self, endings: Sequence[tuple[int, Outcome]], *, turbo: bool = True) -> None:
        """Acknowledge fetched jobs in one batch, perhaps late or once more."""
        outcomes = {self.fetched[pick % len(self.fetched)].id: (pick, outcome) for pick, outcome in endings}
        acks: list[Any] = []
        for pick, outcome in outcomes.values():
            job = copy.copy(self.fetched[pick % len(self.fetched)])
            job.extra = {"outcome": outcome}
            acks.append((await Executor(job).execute()).action)
        await (self._hand.ack(*acks) if turbo else _ack_jobs(self.plain_query, acks))
        await self._look()

    async def complete_from_outside(self, pick: int, status: str) -> None:
        place = self._step(pick)
        await self._command(self._hand.workflows.complete_step, place, status=status, payload="outside")

    # Signals and commands

    async def signal(self, key: str, payload: Any, *, dedupe_key: str | None = None, to: int | None = None) -> None:
        workflow_id = self._workflow(to) if to is not None else None
        await self._attempt(
            self._hand.workflows.signal("go", key, payload, dedupe_key=dedupe_key, workflow_id=workflow_id)
        )
        await self._look()

    async def request_cancel(self, pick: int) -> None:
        await self._command(self._hand.workflows.request_cancel, (self._workflow(pick), None), **OPERATOR)

    async def recover(self, pick: int, action: str, *, failed: bool = False) -> None:
        """Recover one step of all, or of those that failed."""
        place = self.seen.failed[pick % len(self.seen.failed)] if failed else self._step(pick)
        await self._command(self._hand.workflows.recover, place, action, recovering=True, **OPERATOR)

    async def retry_all(self, pick: int) -> None:
        """Recover every failed step of a workflow in which one failed."""
        workflow_id, _ = self.seen.failed[pick % len(self.seen.failed)]
        await self._command(self._hand.workflows.recover, (workflow_id, None), recovering=True, **OPERATOR)

    async def hold(self, pick: int, *, whole: bool) -> None:
        place = self._step(pick)
        position = None if whole else place[1]
        await self._command(self._hand.workflows.hold, (place[0], position), hold_for=A_DAY, **OPERATOR)

    async def release(self, pick: int, *, whole: bool) -> None:
        place = self._step(pick)
        await self._command(self._hand.workflows.release, (place[0], None if whole else place[1]), **OPERATOR)

    # Time

    async def overdue_wait(self, pick: int) -> None:
        due = _picked([wait["id"] for wait in self.seen.waits if wait["deadline"]], [pick])
        await self._rows("UPDATE powertools.waits SET deadline_at = now() - interval '1 s' WHERE id = ANY (%s)", due)

    async def overdue_workflow(self, pick: int) -> None:
        await self._rows(
            "UPDATE powertools.workflows SET inserted_at = now() - (expires_at - inserted_at) - interval '1 s', "
            "expires_at = now() - interval '1 s' WHERE id = %s AND state = 'running' AND expires_at > now()",
            self._workflow(pick),
        )

    async def overdue_holds(self, pick: int) -> None:
        await self._rows(
            "UPDATE powertools.steps SET held_until = now() - interval '1 s' WHERE workflow_id = %s "
            "AND held_until IS NOT NULL AND NOT EXISTS (SELECT FROM broken)",
            self._workflow(pick),
        )

    async def stage(self) -> None:
        """What was scheduled comes due, and Oban stages it."""
        await self._hand.rows("UPDATE oban_jobs SET scheduled_at = now() WHERE state IN ('scheduled', 'retryable')")
        await self.plain_query.stage_jobs(1000, ["default"])
        await self._look()

    async def sweep(self) -> None:
        await self._hand.rows("UPDATE powertools.settle_faults SET last_fault_at = last_fault_at - interval '1 h'")
        await self._hand.sweep()
        await self._look()
        self._check_swept()

    def _check_swept(self) -> None:
        """Nothing broken stops another family (property/P16); no job of a stopping workflow is left idle."""
        roots = {workflow_id: workflow["root_id"] for workflow_id, workflow in self.seen.workflows.items()}
        broken = {roots[workflow_id] for workflow_id in self._broken}
        sound = {workflow_id for workflow_id, root_id in roots.items() if root_id not in broken}
        left = [wait for wait in self.seen.waits if wait["overdue"] and wait["workflow_id"] in sound]
        left += [self.seen.workflows[i] for i in sound if self.seen.workflows[i]["overdue"]]
        left += [step for (i, _), step in self.seen.steps.items() if step["overdue"] and i in sound]
        left += [f"settle faults of workflow {i}" for i in sound & self.seen.faulted]
        for job_id in self.seen.own_live_jobs:
            job = self.seen.jobs[job_id]
            workflow_id = job["meta"]["workflow_id"]
            if self.seen.workflows[workflow_id]["state"] == "cancel_requested" and workflow_id in sound:
                left += [job] if job["state"] != "executing" else []
        assert not left, f"the sweep left {left}"

    # Other tools

    async def delete(self, picks: Sequence[int], *, by_oban: bool) -> None:
        job_ids = _picked(list(self.seen.jobs), picks)
        if by_oban:
            await self._hand.oban._query.delete_many_jobs(job_ids)
            await self._look()
        else:
            await self._rows("DELETE FROM oban_jobs WHERE id = ANY (%s)", job_ids)

    async def cancel_jobs(self, picks: Sequence[int]) -> None:
        await self._hand.oban._query.cancel_many_jobs(_picked(list(self.seen.jobs), picks))
        await self._look()

    async def retry_jobs(self, picks: Sequence[int]) -> None:
        job_ids = _picked(list(self.seen.jobs), picks)
        self._revives(job_ids)
        await self._hand.oban._query.retry_many_jobs(job_ids)
        await self._look()

    async def rescue_jobs(self) -> None:
        """Oban's own rescue takes every executing job for abandoned."""
        await self.plain_query.rescue_jobs(-60)
        await self._look()

    async def edit_jobs(self, picks: Sequence[int], state: str) -> None:
        """One UPDATE in psql puts jobs, alive or not, into this state."""
        job_ids = _picked(list(self.seen.jobs), picks)
        if state not in ENDED:
            self._revives(job_ids)
        await self._rows(EDIT, state, job_ids)

    async def forge(self, pick: int, state: str) -> None:
        """Somebody inserts a copy of a job, ends it and deletes it."""
        forged = await self._hand.one(FORGE, _picked(list(self.seen.jobs), [pick]))
        await self._hand.rows(EDIT, state, [forged])
        await self._rows("DELETE FROM oban_jobs WHERE id = %s", forged)

    def _revives(self, job_ids: Sequence[int]) -> None:
        """These jobs become startable whatever we want, unless they are live and free already."""
        live = set(self.seen.own_live_jobs)
        for job_id in job_ids:
            step = self.seen.step_of(job_id)
            if job_id not in live or step is None or step["held"]:
                self.witness.outsiders.add(job_id)

    # Faults of our own

    async def break_steps(self, picks: Sequence[int]) -> None:
        """No row of these steps can be changed until they are mended."""
        for pick in picks:
            place = self._step(pick)
            self._broken.add(place[0])
            await self._hand.rows("INSERT INTO broken VALUES (%s, %s)", *place)

    async def mend(self) -> None:
        self._broken.clear()
        await self._hand.rows("DELETE FROM broken")

    async def take_over_commands(self) -> None:
        """Count what the audit has by now, where a test has acted beside these moves."""
        await self._look()
        self._commands = self.seen.commands

    # The end

    async def to_the_end(self) -> None:
        """Let everything come to its end: no workflow is in limbo (property/P1)."""
        await self.mend()
        await self.sweep()
        for _ in range(60):
            if self.seen.ended:
                break
            await self._rows(END_HOLDS)
            await self.sweep()
            await self._rows(EDIT, "completed", self.seen.own_live_jobs)
            for wait in self.seen.waits:
                await self._hand.workflows.signal(wait["signal"], wait["key"], "end", workflow_id=wait["workflow_id"])
            await self._look()
        assert self.seen.ended, f"in limbo: {self.seen.workflows} {self.seen.steps} {self.seen.jobs}"
        assert not self.seen.faulted and not self.seen.waits and not self.seen.own_live_jobs

    # Parts

    async def _command(
        self,
        method: Callable[..., Coroutine[Any, Any, Any]],
        place: tuple[int, int | None],
        *args: Any,
        recovering: bool = False,
        **options: Any,
    ) -> None:
        name = [self.seen.steps[place[0], place[1]]["name"]] if place[1] is not None else []
        recorded = await self._attempt(method(WorkflowId(place[0]), *name, *args, **options))
        await self._look(recovering=recovering)
        assert self._commands is not None
        self._commands += recorded
        assert self.seen.commands == self._commands

    async def _attempt(self, command: Coroutine[Any, Any, Any]) -> bool:
        """Try a command; whether it was accepted or refused, rather than met a broken row."""
        try:
            await command
        except PowertoolsError:
            return True
        except psycopg.errors.RaiseException as error:
            assert self._broken and "broken on purpose" in str(error)
            return False
        return True

    async def _rows(self, query: str, *args: Any) -> None:
        try:
            await self._hand.rows(query, *args)
        except psycopg.errors.RaiseException as error:
            assert self._broken and "broken on purpose" in str(error)
        await self._look()

    async def _look(self, *, recovering: bool = False) -> None:
        await self.witness.check(self._hand, recovering=recovering)

    def _workflow(self, pick: int) -> WorkflowId:
        ids = list(self.seen.workflows)
        return WorkflowId(ids[pick % len(ids)])

    def _step(self, pick: int) -> Place:
        places = list(self.seen.steps)
        return places[pick % len(places)]


def _picked(things: Sequence[int], picks: Sequence[int]) -> list[int]:
    """Each at most once; none where there are none."""
    return sorted({things[pick % len(things)] for pick in picks}) if things else []


OUTCOMES: tuple[Outcome, ...] = (
    Exception("boom"),
    Cancel("enough"),
    Snooze(60),
    AwaitSignal("go", "k0"),
    AwaitSignal("go", "k1", timedelta(days=1)),
    Append(("x0",)),
    Append(("x0", "x1"), value=[1]),
)
"""What workers come to besides a plain value."""
