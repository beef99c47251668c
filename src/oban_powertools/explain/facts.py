"""The facts that explanations are computed from: a few rows of workflows, steps, jobs and queues.

No I/O. A state stays the text that was read.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ..states import TERMINAL_STEP_STATES, JobId, Position, StepState, WorkflowId, WorkflowState
from .job_facts import FaultFacts, JobFacts, LockFacts


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

    lock: LockFacts | None
    """The session that keeps it, or its outermost workflow, from moving."""

    @property
    def row(self) -> dict[str, Any]:
        """The row that the rules of commands take."""
        names = ("id", "state", "semantics_version", "cancel_requested_at")
        return {name: getattr(self, name) for name in names}

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
        return asdict(self)


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

    uncompleted: int
    """Those that ended otherwise than completed, but for those that a cancel or an expiry of the workflow ended."""

    failed: int
    """Those that failed."""

    cancelled: int
    """Those that were cancelled."""

    expired: int
    """Those that expired."""

    max_failures: int | None
    """How many items of a map may fail."""

    @property
    def came_through(self) -> bool:
        """Whether the workflow ended well enough for its step to complete."""
        enough = self.max_failures is not None and self.uncompleted <= self.max_failures
        return self.state == WorkflowState.COMPLETED or (self.state == WorkflowState.FAILED and enough)


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
        names = ("name", "kind", "state", "cause", "effects", "held_until", "cancel_requested_at")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryFacts:
    """The obstacles to a recovery."""

    retry_refused: str | None = None
    """Why the step may not be retried alone."""

    revival_refused: str | None = None
    """Why no failed step of its workflow may come back."""

    retryable: int | None = None
    """How many steps of the workflow may be retried together; None for a single step."""

    @property
    def row(self) -> dict[str, Any]:
        """What it adds to the row that the rules of commands take."""
        names = ("retry_refused", "revival_refused", "retryable")
        return {name: getattr(self, name) for name in names}
