"""Read what explanations are made from: a few rows of steps, jobs and queues.

Runs in the caller's transaction and locks nothing. The rule that must never break: a state is kept
as the text that was read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..database import Connection, Queries, fetch_all, fetch_one
from ..errors import StepNotFoundError, WorkflowNotFoundError
from ..states import TERMINAL_STEP_STATES, JobId, Position, WorkflowId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFacts:
    """One row of workflows."""

    id: WorkflowId
    """Its id."""

    name: str
    """Its label."""

    state: str
    """As stored."""

    semantics_version: int
    """The rules the rows were written under."""

    total: int
    """Steps in all."""

    open: int
    """Steps without an outcome."""

    cancel_requested_at: datetime | None
    """When an operator asked for its cancel."""

    now: datetime
    """Database clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFacts:
    """A settle fault that is not repaired yet."""

    state: str
    """What the job ended as."""

    message: str
    """PostgreSQL's own."""

    details: Mapping[str, Any]
    """sqlstate, faults (tries so far), first_fault_at, last_fault_at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One row of Oban's jobs."""

    id: JobId
    """Its id."""

    state: str
    """Oban's word."""

    queue: str
    """Where it runs."""

    worker: str
    """Oban's path of the worker class."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    error: Any
    """The last entry of its errors; None when there was none."""

    scheduled_at: datetime
    """When it is due."""

    attempted_at: datetime | None
    """When its last attempt began."""

    node: str | None
    """The node of its last executor."""

    executor_seen_at: datetime | None
    """When Oban last refreshed that executor; None when it is not registered any more."""

    executor_alive: bool
    """Whether that was within 60 s."""

    workflow_id: WorkflowId | None
    """The workflow whose step believes in this job; None for a plain job."""

    step: str | None
    """That step."""

    fault: FaultFacts | None
    """What keeps its outcome from being settled."""

    now: datetime
    """Database clock."""

    @property
    def ended(self) -> bool:
        """Whether Oban will not run it again by itself."""
        return self.state in TERMINAL_STEP_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One row of steps, with its job while it has a live one."""

    name: str
    """Unique in the workflow."""

    position: Position
    """Its place in the workflow."""

    worker: str
    """Oban's path of the worker class."""

    queue: str
    """The queue its job runs in."""

    own_state: str
    """The step row's state: ``available`` as long as the job is the truth."""

    cause: str | None
    """Why it ended other than by its own job's outcome."""

    own_attempt: int
    """Attempts made when it ended."""

    max_attempts: int
    """Attempts allowed."""

    pending: int
    """Parents without an outcome."""

    parents: int
    """Parents in all."""

    error: Any
    """The last error when it ended."""

    job_id: JobId | None
    """Its job, once released."""

    job: JobFacts | None
    """Its live job; None without one, or when the row is gone."""

    fault: FaultFacts | None
    """What keeps its job's outcome from being settled."""

    @property
    def state(self) -> str:
        """The raw state: the live job's own."""
        return self.job.state if self.job else self.own_state

    @property
    def attempt(self) -> int:
        """Attempts made so far."""
        return self.job.attempt if self.job else self.own_attempt

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.own_state in TERMINAL_STEP_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What Oban's producers say of one queue."""

    queue: str
    """Its name."""

    executors: int
    """Producers that were refreshed within 60 s."""

    paused: int
    """Those of them that take no jobs."""

    places: int | None
    """Jobs the others may run at once; None when one of them does not say."""

    running: int
    """Jobs in these executors' hands."""


async def read_workflow(conn: Connection, queries: Queries, workflow_id: WorkflowId) -> WorkflowFacts:
    """One workflow.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    row = await fetch_one(conn, queries["explain_workflow"], {"workflow_id": workflow_id})
    if row is None:
        raise WorkflowNotFoundError(workflow_id)
    return WorkflowFacts(**row)


async def read_step(conn: Connection, queries: Queries, workflow_id: WorkflowId, name: str) -> StepFacts:
    """One step by its name.

    Raises:
        StepNotFoundError: The workflow has no such step.
    """
    row = await fetch_one(conn, queries["explain_position"], {"workflow_id": workflow_id, "step": name})
    found = await read_steps(conn, queries, workflow_id, [row["position"]]) if row else []
    if not found:
        raise StepNotFoundError(workflow_id, name)
    return found[0]


async def read_steps(
    conn: Connection, queries: Queries, workflow_id: WorkflowId, positions: Sequence[int]
) -> list[StepFacts]:
    """The steps at these positions with their live jobs, by position."""
    rows = await fetch_all(conn, queries["explain_steps"], {"workflow_id": workflow_id, "positions": list(positions)})
    live = [row["job_id"] for row in rows if row["state"] == "available"]
    jobs = {job.id: job for job in await read_jobs(conn, queries, live)}
    return [_step(row, jobs.get(row["job_id"])) for row in rows]


async def read_jobs(conn: Connection, queries: Queries, ids: Sequence[int]) -> list[JobFacts]:
    """The jobs of these ids that exist, by id."""
    rows = await fetch_all(conn, queries["explain_jobs"], {"ids": list(ids)}) if ids else []
    return [_job(row) for row in rows]


async def read_queues(conn: Connection, queries: Queries, jobs: Iterable[JobFacts | None]) -> dict[str, QueueFacts]:
    """Queue name -> facts, for the queues of the jobs that have not ended."""
    names = sorted({job.queue for job in jobs if job is not None and not job.ended})
    rows = await fetch_all(conn, queries["explain_queues"], {"queues": names}) if names else []
    return {row["queue"]: QueueFacts(**row) for row in rows}


def _step(row: Mapping[str, Any], job: JobFacts | None) -> StepFacts:
    return StepFacts(
        name=row["name"],
        position=Position(row["position"]),
        worker=row["worker"],
        queue=row["queue"],
        own_state=row["state"],
        cause=row["cause"],
        own_attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        pending=row["pending"],
        parents=row["parents"],
        error=row["error"],
        job_id=row["job_id"],
        job=job,
        fault=_fault(row),
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
        executor_seen_at=row["executor_seen_at"],
        executor_alive=row["executor_alive"],
        workflow_id=row["workflow_id"],
        step=row["step"],
        fault=_fault(row),
        now=row["now"],
    )


def _fault(row: Mapping[str, Any]) -> FaultFacts | None:
    if row["fault_state"] is None:
        return None
    details = {key: row[key] for key in ("sqlstate", "faults", "first_fault_at", "last_fault_at")}
    return FaultFacts(state=row["fault_state"], message=row["fault_message"], details=details)
