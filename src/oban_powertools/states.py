"""The states, policies and statuses of workflows and steps, as the database spells them.

Names only: no I/O, and no rules beyond which states are terminal. A value here is the database's text, so renaming one
needs a migration.
"""

from enum import StrEnum
from typing import Final, NewType

__all__ = [
    "CallbackState",
    "Cause",
    "Effects",
    "ExecutorState",
    "ExecutorStatus",
    "HistoryKind",
    "IncidentId",
    "IncidentState",
    "IncidentStatus",
    "IncidentSubstatus",
    "JobId",
    "JobState",
    "OperatorStatus",
    "Policy",
    "Position",
    "RecoveryAction",
    "SignalStatus",
    "StepKind",
    "StepPhase",
    "StepState",
    "WorkflowId",
    "WorkflowState",
]

WorkflowId = NewType("WorkflowId", int)
JobId = NewType("JobId", int)
Position = NewType("Position", int)
IncidentId = NewType("IncidentId", int)

SEMANTICS_VERSION: Final = 2


class WorkflowState(StrEnum):
    """The life of a workflow."""

    RUNNING = "running"
    CANCEL_REQUESTED = "cancel_requested"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether the workflow has ended."""
        return self not in (WorkflowState.RUNNING, WorkflowState.CANCEL_REQUESTED)


class StepState(StrEnum):
    """The life of a step; while it has a live job these are the job's own words."""

    PENDING = "pending"
    AVAILABLE = "available"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    SUSPENDED = "suspended"
    AWAITING_SIGNAL = "awaiting_signal"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether the step has its outcome."""
        return self in TERMINAL_STEP_STATES


TERMINAL_STEP_STATES: Final = frozenset(
    {StepState.COMPLETED, StepState.DISCARDED, StepState.CANCELLED, StepState.EXPIRED}
)


class Policy(StrEnum):
    """What a failed parent does to its child along one edge."""

    CANCEL = "cancel"
    """The child, and every step that depends on it, is cancelled."""

    CONTINUE = "continue"
    """The edge counts as satisfied; references to the parent resolve to null."""


class Effects(StrEnum):
    """May the step run twice? Repairs and rescue respect it."""

    REPEATABLE = "repeatable"
    ASK = "ask"
    NEVER = "never"


class Cause(StrEnum):
    """Why a step ended other than by its own job's outcome."""

    CANCELLED_BY_DEPENDENCY = "cancelled_by_dependency"
    JOB_DELETED = "job_deleted"
    CANCEL_REQUESTED = "cancel_requested"
    COMPLETED_AFTER_CANCEL_REQUEST = "completed_after_cancel_request"
    WORKFLOW_EXPIRED = "workflow_expired"
    WAIT_EXPIRED = "wait_expired"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"
    COMPLETED_BY_OPERATOR = "completed_by_operator"
    SKIPPED = "skipped"


class StepKind(StrEnum):
    """What a step runs on."""

    JOB = "job"
    SIGNAL = "signal"
    WORKFLOW = "workflow"
    MAP = "map"


class SignalStatus(StrEnum):
    """What became of a delivered signal."""

    CONSUMED = "consumed"
    STORED = "stored"
    LATE = "late"
    AMBIGUOUS = "ambiguous"
    DUPLICATE = "duplicate"


class CallbackState(StrEnum):
    """What became of the ``on_finished`` job of an ended workflow: the state of the job, or that it was deleted."""

    AVAILABLE = "available"
    SCHEDULED = "scheduled"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    JOB_DELETED = "job_deleted"


class HistoryKind(StrEnum):
    """What an entry of a workflow's history is about."""

    WORKFLOW = "workflow"
    STEP = "step"
    SIGNAL = "signal"
    COMMAND = "command"
    RESCUE = "rescue"
    LATE_RESULT = "late_result"
    INCIDENT = "incident"
    CALLBACK = "callback"


class StepPhase(StrEnum):
    """What a step without an outcome does: it works, or waits for one thing."""

    DEPENDENCIES = "dependencies"
    """It waits for the steps that it depends on, or for its workflow to start."""

    TIME = "time"
    """It waits for its time: it is scheduled, or its worker asked for a later one."""

    QUEUE = "queue"
    """It could run, and waits for a place in its queue."""

    SIGNAL = "signal"
    """It waits for its signal."""

    WORK = "work"
    """Its worker works; of a nested workflow or a map, that does."""

    RESCUE = "rescue"
    """Its executor has sent its last heartbeat: nobody works, until its job is rescued."""

    RETRY = "retry"
    """It failed, and waits for its next attempt to start."""


class JobState(StrEnum):
    """Oban's states of a job."""

    AVAILABLE = "available"
    SCHEDULED = "scheduled"
    SUSPENDED = "suspended"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"


class RecoveryAction(StrEnum):
    """What an operator may do to a step that stands in the way."""

    RETRY = "retry"
    CANCEL = "cancel"
    COMPLETE = "complete"
    SKIP = "skip"


class OperatorStatus(StrEnum):
    """The word an operator reads first; the raw state stands beside it."""

    NEEDS_REVIEW = "Needs Review"
    BLOCKED = "Blocked"
    WAITING = "Waiting"
    RUNNABLE = "Runnable"
    RUNNING = "Running"
    FINISHED = "Finished"


class ExecutorState(StrEnum):
    """How an executor is."""

    HEALTHY = "healthy"
    """Its heartbeats come, and its event loop answers."""

    LATE = "late"
    """Its last heartbeat, or the last answer of its event loop, is older than ``executor_late_after``."""

    MISSING = "missing"
    """Its last heartbeat is older than ``executor_missing_after``."""

    STOPPED = "stopped"
    """It ended in good order."""


class ExecutorStatus(StrEnum):
    """The word an operator reads first of an executor; its health stands beside it."""

    HEALTHY = "Healthy"
    LATE = "Late"
    MISSING = "Missing"
    STOPPED = "Stopped"


class IncidentState(StrEnum):
    """Whether somebody has to look at it."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class IncidentStatus(StrEnum):
    """The word an operator reads first of an incident; its state stands beside it."""

    NEEDS_REVIEW = "Needs Review"
    ACKNOWLEDGED = "Acknowledged"
    MUTED = "Muted"
    """Open, and no messages are sent about it now."""
    RESOLVED = "Resolved"


class IncidentSubstatus(StrEnum):
    """Whether it is known."""

    NEW = "new"
    """Detected for the first time, less than an hour ago."""

    ONGOING = "ongoing"
    """Open for over an hour since it was detected for the first time."""

    REGRESSED = "regressed"
    """It came back once."""

    RECURRING = "recurring"
    """It came back more than once."""
