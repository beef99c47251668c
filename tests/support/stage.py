"""Plays on a real database and in the model at once, compared after every move."""

import asyncio
from typing import Any, assert_never

import orjson
from oban._executor import AckAction
from oban._query import Query, _ack_jobs

from oban_powertools import Workflow
from oban_powertools.database import json_border
from oban_powertools.errors import AlreadyTerminalError, StepNotReleasedError
from oban_powertools.runtime.results import StepResult
from oban_powertools.workflows.references import Reference
from tests.support.by_hand import Hand, step
from tests.support.model import ENDED, Engine, Job, Ref, Step
from tests.support.model import Workflow as ModelWorkflow
from tests.support.random_plays import (
    Blind,
    Break,
    Complete,
    Delete,
    Edit,
    Ending,
    Finish,
    Graph,
    Mend,
    Move,
    Play,
    Retry,
    Sweep,
)

BROKEN_STEPS = """
CREATE TABLE broken_steps (workflow_id bigint, "position" int);
CREATE FUNCTION refuse_broken_steps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM public.broken_steps b WHERE (b.workflow_id, b.position) = (NEW.workflow_id, NEW.position)) THEN
    RAISE EXCEPTION 'step % of workflow % is broken', NEW.position, NEW.workflow_id;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER refuse_broken_steps BEFORE UPDATE ON powertools.steps
FOR EACH ROW WHEN (OLD.state = 'available') EXECUTE FUNCTION refuse_broken_steps();
"""

EDIT = """
UPDATE oban_jobs j
SET state = e.state::oban_job_state,
    errors = CASE WHEN e.error IS NULL THEN j.errors ELSE j.errors || e.error END,
    meta = CASE WHEN e.returned IS NULL THEN j.meta ELSE j.meta || jsonb_build_object('return', e.returned) END
FROM unnest(%s::bigint[], %s::text[], %s::jsonb[], %s::jsonb[]) AS e (id, state, error, returned)
WHERE j.id = e.id
"""

SNAPSHOT = """
SELECT jsonb_build_object(
  'steps', (
    SELECT jsonb_agg(jsonb_build_array(
      s.state, s.cause, CASE s.state WHEN 'pending' THEN s.pending END, s.attempt, s.result IS NOT NULL, s.result,
      s.error - '{class,text}'::text[], s.job_id  -- read from a text of any kind: tests/workflows/test_failures.py
    ) ORDER BY s.workflow_id, s.position)
    FROM powertools.steps s
  ),
  'workflows', (
    SELECT jsonb_agg(jsonb_build_array(w.state, w.open, w.failed, w.failures_handled) ORDER BY w.id)
    FROM powertools.workflows w
  ),
  'jobs', (
    SELECT jsonb_object_agg(j.id, jsonb_build_array(j.state, j.attempt, j.priority, j.args))
    FROM oban_jobs j WHERE j.meta ? 'position'
  ),
  'called_back', (
    SELECT jsonb_agg(
      jsonb_build_array(j.meta -> 'outcome', j.meta -> 'failed_steps', j.meta -> 'failures_handled')
      ORDER BY j.meta -> 'workflow_id', j.id
    )
    FROM oban_jobs j WHERE NOT j.meta ? 'position'
  ),
  'faulted', (SELECT jsonb_agg(f.job_id ORDER BY f.job_id) FROM powertools.settle_faults f WHERE f.repaired_at IS NULL)
)::text
"""


class Stage:
    """Where plays are performed."""

    def __init__(self, runner: asyncio.Runner, hand: Hand) -> None:
        self._runner = runner
        self._hand = hand
        self._plain_query = Query(hand.oban._query._pool)

    async def build(self) -> None:
        await self._hand.conn.execute(BROKEN_STEPS)

    def perform(self, play: Play) -> None:
        self._runner.run(self._perform(play))

    async def _perform(self, play: Play) -> None:
        try:
            await _Performance(self._hand, self._plain_query).run(play)
        finally:
            await self._hand.rows("DELETE FROM broken_steps")
            await self._hand.leave_empty()


class _Performance:
    def __init__(self, hand: Hand, plain_query: Query) -> None:
        self._hand = hand
        self._plain_query = plain_query
        self._engine = Engine()
        self._row_ids: dict[Job, int] = {}
        self._workflow_ids: list[Any] = []
        self._seen_all = True
        self._was_blind = False

    async def run(self, play: Play) -> None:
        await self._insert(play.graphs)
        await self._compare("insert")
        for move in play.moves:
            await self._make(move)
            await self._compare(move)
        for move in (Mend(), Blind(False), Sweep()):
            await self._make(move)
            await self._compare(move)
        while live := [job for job in self._engine.jobs if job.live and not job.step.ended]:
            await self._finish([(job, Ending()) for job in live], turbo=True)
            await self._compare("the end")
        assert all(workflow.ended for workflow in self._engine.workflows)

    async def _insert(self, graphs: tuple[Graph, ...]) -> None:
        handles = await self._hand.workflows.insert_many([_definition(graph) for graph in graphs])
        self._workflow_ids = [handle.id for handle in handles]
        for graph in graphs:
            workflow = ModelWorkflow()
            workflow.steps = [
                Step(workflow, position, dict(plan.parents), _args(position, plan.refs), plan.priority)
                for position, plan in enumerate(graph)
            ]
            self._engine.insert(workflow)

    # Moves

    async def _make(self, move: Move) -> None:
        match move:
            case Finish(endings, turbo):
                live = [job for job in self._engine.jobs if job.live]
                await self._finish(_picked(live, endings), turbo=turbo)
            case Edit(endings):
                await self._edit(_picked(self._existing(), endings))
            case Delete(picks):
                await self._delete([job for job, _ in _picked(self._existing(), [(pick, Ending()) for pick in picks])])
            case Retry(picks):
                await self._retry([job for job, _ in _picked(self._existing(), [(pick, Ending()) for pick in picks])])
            case Complete(pick, ending):
                await self._complete(pick, ending)
            case Break(picks):
                await self._break(picks)
            case Mend():
                self._engine.faulty.clear()
                await self._hand.rows("DELETE FROM broken_steps")
            case Blind(blind):
                self._engine.trigger_enabled = not blind
                self._was_blind |= blind
                await self._hand.rows(f"ALTER TABLE oban_jobs {'DISABLE' if blind else 'ENABLE'} TRIGGER USER")
            case Sweep():
                await self._hand.rows(
                    "UPDATE powertools.settle_faults SET last_fault_at = last_fault_at - interval '1 h'"
                )
                await self._hand.sweep()
                self._engine.sweep()
                self._seen_all = True
            case _:
                assert_never(move)

    def _existing(self) -> list[Job]:
        return [job for job in self._engine.jobs if not job.deleted]

    async def _finish(self, picked: list[tuple[Job, Ending]], *, turbo: bool) -> None:
        if not picked:
            return
        started = await self._hand.start(*[self._row_ids[job] for job, _ in picked])
        acks: list[AckAction] = []
        for (job, ending), row in zip(picked, started, strict=True):
            job.attempt += 1
            job.max_attempts = max(job.max_attempts, job.attempt)
            error = _end(job, ending)
            job.attempt -= ending.kind == "snooze"
            state = {"error": "retryable", "snooze": "scheduled"}.get(ending.kind, ending.kind)
            change = -1 if ending.kind == "snooze" else None
            acks.append(AckAction(row, state, change, error, _recorded(job, ending), None if state in ENDED else 60))
        acked = await (self._hand.ack(*acks) if turbo else _ack_jobs(self._plain_query, acks))
        assert sorted(acked) == sorted(self._row_ids[job] for job, _ in picked)
        self._settle([job for job, _ in picked])

    async def _edit(self, picked: list[tuple[Job, Ending]]) -> None:
        errors = [_end(job, ending) for job, ending in picked]
        returned = [_recorded(job, ending) for job, ending in picked]
        await self._hand.rows(
            EDIT,
            [self._row_ids[job] for job, _ in picked],
            [job.state for job, _ in picked],
            [orjson.dumps(error).decode() if error else None for error in errors],
            [orjson.dumps(meta["return"]).decode() if meta else None for meta in returned],
        )
        self._settle([job for job, _ in picked])

    async def _delete(self, picked: list[Job]) -> None:
        lived = [job for job in picked if job.live]
        for job in picked:
            job.deleted = True
        await self._hand.rows("DELETE FROM oban_jobs WHERE id = ANY (%s)", [self._row_ids[job] for job in picked])
        self._settle(lived)

    async def _retry(self, picked: list[Job]) -> None:
        for job in picked:
            if job.state != "available":
                job.state, job.max_attempts = "available", max(job.max_attempts, job.attempt + 1)
        await self._hand.oban._query.retry_many_jobs([self._row_ids[job] for job in picked])

    async def _complete(self, pick: int, ending: Ending) -> None:
        steps = [step for workflow in self._engine.workflows for step in workflow.steps]
        chosen = steps[pick % len(steps)]
        workflow_id = self._workflow_ids[self._engine.workflows.index(chosen.workflow)]
        payload = ending.value[0] if ending.kind == "completed" and ending.value else ending.value
        try:
            await self._hand.workflows.complete_step(
                workflow_id, f"s{chosen.position}", status=ending.kind, payload=payload
            )
        except StepNotReleasedError:
            assert chosen.state == "pending"
        except AlreadyTerminalError:
            assert chosen.ended or chosen.job is None or not chosen.job.live
        else:
            assert chosen.job is not None and chosen.job.live
            chosen.job.state = ending.kind
            if ending.kind != "completed":
                chosen.job.errors += [{"error": payload}]
            elif payload is not None:
                chosen.job.result = [payload]
            self._settle([chosen.job])

    async def _break(self, picks: tuple[int, ...]) -> None:
        places = [(w, s.position) for w, workflow in enumerate(self._engine.workflows) for s in workflow.steps]
        for workflow, position in {places[pick % len(places)] for pick in picks}:
            self._engine.faulty.add((workflow, position))
            await self._hand.rows("INSERT INTO broken_steps VALUES (%s, %s)", self._workflow_ids[workflow], position)

    def _settle(self, jobs: list[Job]) -> None:
        self._engine.settle([job for job in jobs if not job.live])
        self._seen_all &= self._engine.trigger_enabled

    # Comparing

    async def _compare(self, after: Move | str) -> None:
        found = orjson.loads(await self._hand.one(SNAPSHOT))
        self._name_new_jobs(found["steps"])
        expected = self._expected()
        differences = {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}
        assert not differences, f"after {after}, found and expected: {differences}"
        if self._seen_all:
            violations = await self._hand.violations()
            if self._was_blind:  # what no trigger saw is in no event; only ends are found by the sweep
                violations = [v for v in violations if v["invariant"] != "last_event_tells_the_state"]
            assert not violations, f"after {after}: {violations}"

    def _steps(self) -> list[Step]:
        return [step for workflow in self._engine.workflows for step in workflow.steps]

    def _name_new_jobs(self, rows: list[list[Any]]) -> None:
        for model_step, row in zip(self._steps(), rows, strict=True):
            if model_step.job is not None and row[-1] is not None:
                self._row_ids.setdefault(model_step.job, row[-1])

    def _expected(self) -> dict[str, Any]:
        workflows = self._engine.workflows
        faulted = sorted(self._row_ids[self._engine.jobs[index]] for index in self._engine.faults)
        return {
            "steps": [self._expected_step(s) for s in self._steps()],
            "workflows": [
                [w.state, sum(not s.ended for s in w.steps), w.failed, w.failures_handled] for w in workflows
            ],
            "jobs": {
                str(self._row_ids.get(job)): [job.state, job.attempt, job.step.priority, job.args]
                for job in self._existing()
            }
            or None,
            "called_back": [[w.state, w.failed_steps, w.failures_handled] for w in workflows if w.ended] or None,
            "faulted": faulted or None,
        }

    def _expected_step(self, model_step: Step) -> list[Any]:
        s = model_step
        result = s.result[0] if s.result else None
        job_id = self._row_ids.get(s.job) if s.job else None
        return [
            s.state,
            s.cause,
            s.pending if s.state == "pending" else None,
            s.attempt,
            s.result is not None,
            result,
            s.error,
            job_id,
        ]


def _definition(graph: Graph) -> Workflow:
    workflow = Workflow("play", on_finished=step())
    for position, plan in enumerate(graph):
        args = _referring(_args(position, plan.refs))
        job = step(args, priority=plan.priority, max_attempts=3)
        workflow.add(f"s{position}", job, deps={f"s{parent}": policy for parent, policy in plan.parents})
    return workflow


def _args(position: int, refs: tuple[Ref, ...]) -> dict[str, Any]:
    return {"position": position, '"quoted\\': "ü\n", "refs": list(refs), "deep": {"first": refs[0] if refs else None}}


def _referring(value: Any) -> Any:
    if isinstance(value, Ref):
        return Reference(f"s{value.parent}", value.part, value.path)
    if isinstance(value, dict):
        return {key: _referring(item) for key, item in value.items()}
    return [_referring(item) for item in value] if isinstance(value, list) else value


def _picked(jobs: list[Job], endings: Any) -> list[tuple[Job, Ending]]:
    """Each job at most once."""
    return list({jobs[pick % len(jobs)]: ending for pick, ending in endings}.items()) if jobs else []


def _end(job: Job, ending: Ending) -> dict[str, Any] | None:
    """Put a job of the model into its new state; the error that comes with it."""
    job.state = {"error": "retryable", "snooze": "scheduled"}.get(ending.kind, ending.kind)
    if ending.kind == "completed":
        # A result of an earlier run stays in the job's meta until another one replaces it.
        job.result = list(ending.value) if ending.value else job.result
        return None
    if ending.kind == "snooze":
        return None
    error = {"attempt": job.attempt, "at": "2026-01-01T00:00:00Z", "error": ending.value}
    job.errors.append(error)
    return error


def _recorded(job: Job, ending: Ending) -> dict[str, Any] | None:
    """The meta that Oban's executor acknowledges a recorded result with."""
    if ending.kind != "completed" or not job.result:
        return None
    encoded = {"json": job.result[0]}
    return {"recorded": True, "return": StepResult(encoded, json_border.dumps(encoded)).encoded}
