"""The facts that explanations are computed from: a few rows of workflows, steps, jobs and queues.

No I/O. A state stays the text that was read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..states import TERMINAL_STEP_STATES, JobId, Position, StepState, WorkflowId, WorkflowState
from ..workflows.job_rules import LOST


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFacts:
    """Another session that holds a row in its transaction."""

    pid: int
    """The server's process."""

    session: str
    """Its application_name, or its role."""

    since: datetime
    """When its transaction began."""

    @property
    def details(self) -> dict[str, Any]:
        """The details of a blocker."""
        return {"pid": self.pid, "session": self.session, "since": self.since}


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

    expired_at: datetime | None
    """When its time ran out."""

    parent_id: WorkflowId | None
    """The workflow whose step runs this one; None for an outermost one."""

    parent_position: Position | None
    """That step's place."""

    parent_step: str | None
    """That step's name."""

    parent_state: str | None
    """That step's state, as stored."""

    parent_cause: str | None
    """Why that step ended other than by its own outcome."""

    now: datetime
    """Database clock."""

    lock: LockFacts | None = None
    """The session that keeps it, or its outermost workflow, from moving."""

    @property
    def row(self) -> dict[str, Any]:
        """The row that the rules of commands take."""
        return {"id": self.id, "state": self.state, "semantics_version": self.semantics_version}

    @property
    def not_started(self) -> bool:
        """Whether the step that runs it still waits."""
        return self.parent_state == StepState.PENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFacts:
    """The last wait of a step."""

    signal: str
    """The signal's name."""

    correlation_key: str
    """Which of the signals of that name."""

    registered_at: datetime
    """Since when it waits."""

    deadline_at: datetime | None
    """When it expires."""

    @property
    def details(self) -> dict[str, Any]:
        """The details of a blocker."""
        return {
            "signal": self.signal,
            "correlation_key": self.correlation_key,
            "registered_at": self.registered_at,
            "deadline_at": self.deadline_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFacts:
    """The workflow that a step runs: a nested one, or the items of a map."""

    id: WorkflowId
    """Its id."""

    state: str
    """As stored."""

    total: int
    """Its steps in all."""

    open: int
    """Those without an outcome."""

    failed: int
    """Those that failed."""

    max_failures: int | None
    """How many items of a map may fail."""

    @property
    def came_through(self) -> bool:
        """Whether the workflow ended well enough for its step to complete."""
        enough = self.max_failures is not None and self.failed <= self.max_failures
        return self.state == WorkflowState.COMPLETED or (self.state == WorkflowState.FAILED and enough)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFacts:
    """A settle fault that is not repaired yet."""

    state: str
    """The state in which the job ended."""

    message: str
    """PostgreSQL's own."""

    details: Mapping[str, Any]
    """sqlstate, faults (tries so far), first_fault_at, last_fault_at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFacts:
    """Why a job is kept from running."""

    quarantined_at: datetime
    """Since when."""

    crashes: int
    """Executors that died while they ran it."""

    executor_id: str
    """The last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One row of Oban's jobs."""

    id: JobId
    """Its id."""

    state: str
    """Oban's state."""

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

    executor_id: str | None
    """While it executes: its executor; None for one that sends no heartbeats."""

    executor_state: str | None
    """While it executes: as ``list_executor_health`` has it, or ``gone`` or ``unknown``."""

    executor_seen_at: datetime | None
    """When that executor sent its last heartbeat, or was stopped; None when it is unknown."""

    beat_seconds: int | None
    """The age of its last heartbeat, in seconds."""

    aside: int
    """While it executes: outcomes that its executor holds because the database does not take them, perhaps its own."""

    aside_since: datetime | None
    """Since when it holds the oldest of them."""

    left_to_operator: bool
    """Whether the rescue has left this attempt to an operator."""

    quarantine: QuarantineFacts | None
    """Why it is kept from running."""

    of_a_step: bool
    """Whether its meta says that it is a step's."""

    workflow_id: WorkflowId | None
    """The workflow whose step names this job; None for a plain job."""

    step: str | None
    """That step."""

    effects: str | None
    """May that step run twice?"""

    held_until: datetime | None
    """That step does not start before."""

    lock: LockFacts | None
    """The session that keeps it from being fetched and acknowledged."""

    fault: FaultFacts | None
    """What keeps its outcome from being settled."""

    now: datetime
    """Database clock."""

    @property
    def orphaned(self) -> bool:
        """Whether it is marked executing, but its executor has left it behind."""
        return self.executor_state in LOST

    @property
    def row(self) -> dict[str, Any]:
        """The row that the rules of a job's repairs take."""
        names = "id state of_a_step step effects held_until executor_state executor_id beat_seconds".split()
        return {name: getattr(self, name) for name in names}

    @property
    def ended(self) -> bool:
        """Whether Oban will not run it again by itself."""
        return self.state in TERMINAL_STEP_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One row of steps, with its job while it has a live one."""

    workflow: WorkflowFacts
    """The workflow it belongs to."""

    name: str
    """Unique in the workflow."""

    position: Position
    """Its place in the workflow."""

    kind: str
    """What it runs on: ``job``, ``signal``, ``workflow`` or ``map``."""

    worker: str | None
    """Oban's path of the worker class; None where no job runs."""

    queue: str | None
    """The queue its job runs in; None where no job runs."""

    effects: str
    """May it run twice?"""

    own_state: str
    """The step row's state: ``available`` while the job's own state counts."""

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

    cancel_requested_at: datetime | None
    """When an operator asked for this step's cancel."""

    held_until: datetime | None
    """It does not start before; None when it is not held."""

    hold_reason: str | None
    """Why it is held."""

    wait: WaitFacts | None
    """Its last wait."""

    child: ChildFacts | None
    """The workflow it runs, once that exists."""

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

    @property
    def row(self) -> dict[str, Any]:
        """The row that the rules of commands take."""
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "cause": self.cause,
            "effects": self.effects,
            "held_until": self.held_until,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryFacts:
    """The obstacles to a recovery."""

    retry_refused: str | None = None
    """Why the step may not be retried alone."""

    revival_refused: str | None = None
    """Why no failed step of its workflow may come back."""

    retryable: int | None = None
    """How many steps of the workflow may be retried together; None for a single step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What Oban's producers report of one queue."""

    queue: str
    """Its name."""

    executors: int
    """Executors that send heartbeats, or that Oban refreshed within 60 s."""

    paused: int
    """Executors of these that are paused."""

    places: int | None
    """Jobs that the others may run at once; None when one of them does not report its limit."""

    running: int
    """Jobs that these executors run."""
