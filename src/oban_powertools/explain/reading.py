"""Read the facts that explanations are computed from.

Runs in the caller's transaction and locks nothing. The number of queries does not depend on the number of steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ..database import Session
from ..errors import StepNotFoundError, WorkflowNotFoundError
from ..states import JobId, Position, WorkflowId
from .facts import ChildFacts, RecoveryFacts, StepFacts, WaitFacts, WorkflowFacts
from .job_facts import FaultFacts, JobFacts, LockFacts, QuarantineFacts, QueueFacts

_LOCK: Final = ("lock_pid", "lock_session", "locked_since")
"""Columns of the session that holds a row."""


async def read_workflow(session: Session, workflow_id: WorkflowId) -> WorkflowFacts:
    """One workflow.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    workflows = await _read_workflows(session, [workflow_id])
    if not workflows:
        raise WorkflowNotFoundError(workflow_id)
    return workflows[workflow_id]


async def read_step(session: Session, workflow_id: WorkflowId, name: str) -> StepFacts:
    """One step by its name.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    row = await session.one("explain_position", {"workflow_id": workflow_id, "step": name})
    steps = await read_steps(session, [(workflow_id, row["position"])]) if row else []
    if not steps:
        await read_workflow(session, workflow_id)
        raise StepNotFoundError(workflow_id, name)
    return steps[0]


async def read_steps(session: Session, places: Sequence[tuple[int, int]]) -> list[StepFacts]:
    """The steps at these places, workflow and position, with their live jobs; by place."""
    args = {"workflow_ids": [place[0] for place in places], "positions": [place[1] for place in places]}
    rows = await session.all("explain_steps", args)
    workflows = await _read_workflows(session, sorted({row["workflow_id"] for row in rows}))
    live = [row["job_id"] for row in rows if row["state"] == "available"]
    jobs = {job.id: job for job in await read_jobs(session, live)}
    return [_step(row, workflows[row["workflow_id"]], jobs.get(row["job_id"])) for row in rows]


async def _read_workflows(session: Session, ids: Sequence[int]) -> dict[int, WorkflowFacts]:
    rows = await session.all("explain_workflows", {"ids": list(ids)}) if ids else []
    pairs = [({name: value for name, value in row.items() if name not in _LOCK}, _lock(row)) for row in rows]
    return {row["id"]: WorkflowFacts(**row, lock=lock) for row, lock in pairs}


async def read_jobs(session: Session, ids: Sequence[int]) -> list[JobFacts]:
    """The jobs of these ids that exist, by id."""
    rows = await session.all("explain_jobs", {"ids": list(ids)}) if ids else []
    return [_job(row) for row in rows]


async def read_queues(session: Session, jobs: Iterable[JobFacts | None]) -> dict[str, QueueFacts]:
    """Queue name -> facts, for the queues of the jobs that have not ended."""
    names = sorted({job.queue for job in jobs if job is not None and not job.ended})
    rows = await session.all("explain_queues", {"queues": names}) if names else []
    return {row["queue"]: QueueFacts(**row) for row in rows}


async def read_recovery(session: Session, workflow_id: WorkflowId, step: StepFacts | None = None) -> RecoveryFacts:
    """The obstacles to recovering a step, or all failed steps; none while a step lives."""
    if step is not None and not step.ended:
        return RecoveryFacts()
    args = {"workflow_id": workflow_id, "position": step.position if step else None}
    row = await session.one("explain_recovery", args)
    return RecoveryFacts(**row) if row else RecoveryFacts()


def _step(row: Mapping[str, Any], workflow: WorkflowFacts, job: JobFacts | None) -> StepFacts:
    return StepFacts(
        workflow=workflow,
        name=row["name"],
        position=Position(row["position"]),
        kind=row["kind"],
        worker=row["worker"],
        queue=row["queue"],
        effects=row["effects"],
        own_state=row["state"],
        cause=row["cause"],
        own_attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        pending=row["pending"],
        parents=row["parents"],
        error=row["error"],
        cancel_requested_at=row["cancel_requested_at"],
        held_until=row["held_until"],
        hold_reason=row["hold_reason"],
        wait=_wait(row),
        child=_child(row),
        job_id=row["job_id"],
        job=job,
        fault=_fault(row),
    )


def _wait(row: Mapping[str, Any]) -> WaitFacts | None:
    if row["signal"] is None:
        return None
    return WaitFacts(
        signal=row["signal"],
        correlation_key=row["correlation_key"],
        registered_at=row["registered_at"],
        deadline_at=row["deadline_at"],
    )


def _child(row: Mapping[str, Any]) -> ChildFacts | None:
    if row["child_id"] is None:
        return None
    return ChildFacts(
        id=row["child_id"],
        state=row["child_state"],
        total=row["child_total"],
        open=row["child_open"],
        failed=row["child_failed"],
        max_failures=row["child_max_failures"],
    )


def _job(row: Mapping[str, Any]) -> JobFacts:
    return JobFacts(
        id=JobId(row["id"]),
        state=row["state"],
        queue=row["queue"],
        worker=row["worker"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        error=row["error"],
        scheduled_at=row["scheduled_at"],
        attempted_at=row["attempted_at"],
        node=row["node"],
        executor_id=row["executor_id"],
        executor_state=row["executor_state"],
        executor_seen_at=row["executor_seen_at"],
        beat_seconds=row["beat_seconds"],
        aside=row["aside"] or 0,
        aside_since=row["aside_since"],
        left_to_operator=row["left_to_operator"],
        quarantine=_quarantine(row),
        of_a_step=row["of_a_step"],
        workflow_id=row["workflow_id"],
        step=row["step"],
        effects=row["effects"],
        held_until=row["held_until"],
        lock=_lock(row),
        fault=_fault(row),
        now=row["now"],
    )


def _lock(row: Mapping[str, Any]) -> LockFacts | None:
    pid, session, since = (row[name] for name in _LOCK)
    return LockFacts(pid=pid, session=session, since=since) if pid is not None and since is not None else None


def _quarantine(row: Mapping[str, Any]) -> QuarantineFacts | None:
    if row["quarantined_at"] is None:
        return None
    return QuarantineFacts(
        quarantined_at=row["quarantined_at"], crashes=row["crashes"], executor_id=row["crashed_executor_id"]
    )


def _fault(row: Mapping[str, Any]) -> FaultFacts | None:
    if row["fault_state"] is None:
        return None
    details = {key: row[key] for key in ("sqlstate", "faults", "first_fault_at", "last_fault_at")}
    return FaultFacts(state=row["fault_state"], message=row["fault_message"], details=details)
