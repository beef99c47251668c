"""Watches a database from move to move: what one look cannot tell, two in a row can.

``check_invariants_v1`` judges the state alone; the rules here are about what may follow what
(property/P2, P5, P6, P9, P22 and P30).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.support.by_hand import Hand
from tests.support.model import ENDED

STARTABLE = ("available", "scheduled", "retryable")
"""States of a job that some node may start, now or when its time comes."""

FAILED = ("discarded", "cancelled", "expired")
"""States of a step that ended, but did not complete."""

TERMINAL = ("completed", *FAILED)
"""States of a step with an outcome."""

LOOK = """
SELECT jsonb_build_object(
  'workflows', (
    SELECT jsonb_agg(jsonb_build_object(
      'id', w.id, 'state', w.state, 'generation', w.generation, 'uid', w.uid, 'name', w.name, 'root_id', w.root_id,
      'calls_back', w.on_finished IS NOT NULL, 'finished_at', w.finished_at,
      'overdue', w.state = 'running' AND w.expires_at <= clock_timestamp()
    ) ORDER BY w.id)
    FROM powertools.workflows w
  ),
  'steps', (
    SELECT jsonb_agg(jsonb_build_object(
      'workflow_id', s.workflow_id, 'position', s.position, 'name', s.name, 'kind', s.kind, 'state', s.state,
      'cause', s.cause, 'generation', s.generation, 'attempt', s.attempt, 'result', s.result, 'error', s.error,
      'finished_at', s.finished_at, 'job_id', s.job_id, 'child_id', s.child_id, 'effects', s.effects,
      'held', s.held_until IS NOT NULL, 'overdue', s.held_until <= clock_timestamp()
    ) ORDER BY s.workflow_id, s.position)
    FROM powertools.steps s
  ),
  'jobs', (
    SELECT jsonb_agg(jsonb_build_object('id', j.id, 'state', j.state, 'meta', j.meta - 'return') ORDER BY j.id)
    FROM oban_jobs j
  ),
  'waits', (
    SELECT jsonb_agg(jsonb_build_object(
      'id', w.id, 'workflow_id', w.workflow_id, 'signal', w.signal, 'key', w.correlation_key,
      'deadline', w.deadline_at IS NOT NULL, 'overdue', w.deadline_at <= clock_timestamp()
    ) ORDER BY w.id)
    FROM powertools.waits w WHERE w.state = 'waiting'
  ),
  'faulted', (SELECT jsonb_agg(f.workflow_id) FROM powertools.settle_faults f WHERE f.repaired_at IS NULL),
  'commands', (SELECT count(*) FROM powertools.commands),
  'violations', (SELECT jsonb_agg(v) FROM powertools.check_invariants_v1() v)
)::text
"""

type Place = tuple[int, int]
"""A step: workflow id, position."""

OUTCOME = ("state", "cause", "attempt", "result", "error", "finished_at")


@dataclass
class Look:
    """One look at the whole database."""

    workflows: dict[int, dict[str, Any]] = field(default_factory=dict)
    steps: dict[Place, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The jobs of steps, by id."""
    called_back: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(workflow id, generation) -> how many on_finished jobs."""
    waits: list[dict[str, Any]] = field(default_factory=list)
    """Those that still wait."""
    faulted: set[int] = field(default_factory=set)
    """Workflows with open settle faults."""
    commands: int = 0
    violations: list[Any] = field(default_factory=list)

    @property
    def own_live_jobs(self) -> list[int]:
        """The live jobs that steps run on."""
        own = {step["job_id"] for step in self.steps.values() if step["state"] == "available"}
        return [job_id for job_id, job in self.jobs.items() if job_id in own and job["state"] not in ENDED]

    @property
    def ended(self) -> bool:
        return all(workflow["state"] in (*ENDED, "failed", "expired") for workflow in self.workflows.values())

    @property
    def failed(self) -> list[Place]:
        """The steps that failed, cancelled ones among them."""
        return [place for place, step in self.steps.items() if step["state"] in FAILED]

    def step_of(self, job_id: int) -> dict[str, Any] | None:
        """The step that a job's meta names."""
        meta = self.jobs[job_id]["meta"]
        return self.steps.get((meta["workflow_id"], meta["position"]))


async def look(hand: Hand) -> Look:
    seen = orjson.loads(await hand.one(LOOK))
    jobs = seen["jobs"] or []
    return Look(
        workflows={workflow["id"]: workflow for workflow in seen["workflows"] or []},
        steps={(step["workflow_id"], step["position"]): step for step in seen["steps"] or []},
        jobs={job["id"]: job for job in jobs if "position" in job["meta"]},
        called_back=Counter(
            (job["meta"]["workflow_id"], job["meta"]["generation"]) for job in jobs if "outcome" in job["meta"]
        ),
        waits=seen["waits"] or [],
        faulted=set(seen["faulted"] or []),
        commands=seen["commands"],
        violations=seen["violations"] or [],
    )


class Witness:
    """Compares each look with the one before."""

    def __init__(self) -> None:
        self.seen = Look()
        self.outsiders: set[int] = set()
        """Jobs that somebody else made, or made startable: what they do is not ours to answer for."""
        self._released: dict[tuple[int, int, int], int] = {}
        self._ended: set[tuple[int, int]] = set()

    async def check(self, hand: Hand, *, recovering: bool = False) -> None:
        """Look again and compare.

        Args:
            recovering: The move was a recovery: steps and workflows may start another generation.
        """
        before, now = self.seen, await look(hand)
        self.seen = now
        assert not now.violations, now.violations
        for place, step in before.steps.items():
            _check_step(step, now.steps[place], recovering=recovering)
        for workflow_id, workflow in before.workflows.items():
            _check_workflow(workflow, now.workflows[workflow_id], recovering=recovering)
        for job_id in now.jobs.keys() - before.jobs.keys() - self.outsiders:
            self._check_new_job(before, now, job_id, recovering=recovering)
        self._check_live_jobs(now)
        self._check_callbacks(now)

    def _check_new_job(self, before: Look, now: Look, job_id: int, *, recovering: bool) -> None:
        meta, step = now.jobs[job_id]["meta"], now.step_of(job_id)
        assert step is not None, f"job {job_id} belongs to no step"
        workflow = now.workflows[step["workflow_id"]]
        named = (meta["uid"], meta["step"], meta["workflow_name"], meta.get("generation", 1))
        assert named == (workflow["uid"], step["name"], workflow["name"], step["generation"]), f"job {job_id}: {meta}"
        key = (step["workflow_id"], step["position"], step["generation"])
        assert key not in self._released, f"{key} was released as job {self._released[key]} and again as {job_id}"
        self._released[key] = job_id
        stopping = before.workflows.get(workflow["id"], {}).get("state") == "cancel_requested"
        assert recovering or not stopping, f"job {job_id} is new in workflow {workflow['id']}, which is being stopped"

    def _check_live_jobs(self, now: Look) -> None:
        own = set(now.own_live_jobs)
        for job_id, job in now.jobs.items():
            if job["state"] in ENDED or job_id in self.outsiders:
                continue
            step = now.step_of(job_id)
            assert job_id in own, f"job {job_id} is {job['state']}, but its step does not run on it: {step}"
            assert step is not None
            assert (job["state"] == "suspended") <= step["held"], f"job {job_id} is suspended and nothing holds {step}"
            held = step["held"] and not step["overdue"]
            assert not (held and job["state"] in STARTABLE), f"{step} is held and its job {job['state']}"

    def _check_callbacks(self, now: Look) -> None:
        self._ended |= {
            (workflow["id"], workflow["generation"])
            for workflow in now.workflows.values()
            if workflow["calls_back"] and workflow["finished_at"]
        }
        expected = Counter(self._ended)
        assert now.called_back == expected, f"on_finished jobs {now.called_back}, generations ended {expected}"


def _check_step(before: dict[str, Any], now: dict[str, Any], *, recovering: bool) -> None:
    risen = now["generation"] - before["generation"]
    assert risen >= 0 and (recovering or not risen), f"generation: {before} became {now}"
    if before["state"] in TERMINAL and not risen:
        changed = [part for part in OUTCOME if before[part] != now[part]]
        assert not changed, f"{changed} of an ended step: {before} became {now}"


def _check_workflow(before: dict[str, Any], now: dict[str, Any], *, recovering: bool) -> None:
    risen = now["generation"] - before["generation"]
    assert now["uid"] == before["uid"]
    assert risen >= 0 and (recovering or not risen), f"generation: {before} became {now}"
    if before["finished_at"] and not risen:
        changed = [part for part in ("state", "finished_at") if before[part] != now[part]]
        assert not changed, f"{changed} of an ended workflow: {before} became {now}"
