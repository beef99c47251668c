"""The records that make up an explanation: first the operator's words, beside them the raw facts.

No I/O. States and codes stay text, so that one which this release does not know is printed as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ..states import JobId, OperatorStatus, Position, WorkflowId
from ..wire import AsDict
from .explained_incidents import ExplainedIncident


class BlockerCode(StrEnum):
    """Why a step or job does not run, or why it ended without success. See docs/reference/explain.md."""

    # A step's own
    WAITING_ON_DEPENDENCIES = "waiting_on_dependencies"
    WAITING_ON_RETRYABLE_DEPENDENCY = "waiting_on_retryable_dependency"
    WAITING_ON_SIGNAL = "waiting_on_signal"
    EXPIRED_WAIT = "expired_wait"
    CANCEL_REQUESTED = "cancel_requested"
    WAITING_ON_WORKFLOW = "waiting_on_workflow"
    WAITING_ON_ITEMS = "waiting_on_items"
    HELD = "held"
    WORKFLOW_EXPIRED = "workflow_expired"
    CANCELLED_BY_DEPENDENCY = "cancelled_by_dependency"
    CANCELLED_BY_OPERATOR = "cancelled_by_operator"
    NESTED_WORKFLOW_FAILED = "nested_workflow_failed"
    COULD_NOT_START = "could_not_start"
    JOB_DELETED = "job_deleted"
    BOOKKEEPING_FAULT = "bookkeeping_fault"
    LOCKED = "locked"
    # Its job's
    SCHEDULED = "scheduled"
    RETRY_BACKOFF = "retry_backoff"
    QUEUE_PAUSED = "queue_paused"
    QUEUE_HAS_NO_EXECUTOR = "queue_has_no_executor"
    QUEUE_SATURATED = "queue_saturated"
    WORKER_NOT_IMPORTABLE = "worker_not_importable"
    ORPHANED_BY_MISSING_EXECUTOR = "orphaned_by_missing_executor"
    QUARANTINED = "quarantined"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    JOB_DISCARDED = "job_discarded"
    JOB_CANCELLED = "job_cancelled"


class Scope(StrEnum):
    """What kind of thing a blocker belongs to."""

    WORKFLOW = "workflow"
    STEP = "step"
    JOB = "job"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker(AsDict):
    """One thing that keeps a step or job from running, or that ended it without success."""

    code: str
    """A ``BlockerCode``, or a job's state that this release does not know."""

    scope: Scope
    """What it is a fact about."""

    summary: str
    """One sentence for the operator."""

    retry_at: datetime | None = None
    """When it passes by itself; None when unknown."""

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The facts behind the sentence; keys per code in docs/reference/explain.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency(AsDict):
    """One parent of the explained step, as it is now."""

    name: str
    """The parent."""

    state: str
    """Its raw state."""

    policy: str
    """``cancel`` or ``continue``: what its failure does to the explained step."""

    has_result: bool
    """Whether a result is stored (a stored null counts)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCause(AsDict):
    """A step that waits on nothing upstream, and that others wait for or ended because of."""

    workflow_id: WorkflowId
    """Its workflow: the explained one, or one nested in it or around it."""

    step: str
    """Its name."""

    position: Position
    """Its place in the workflow."""

    state: str
    """Its raw state."""

    status: OperatorStatus
    """Its own status."""

    code: str
    """Its first blocker's code; its raw state when nothing is in its way."""

    summary: str
    """One sentence that starts with its name."""

    job_id: JobId | None
    """Its job."""

    retry_at: datetime | None
    """When its first blocker passes by itself; None when that is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCauseGroup(AsDict):
    """Root causes of one kind in a workflow."""

    code: str
    """As every member's."""

    status: OperatorStatus
    """As every member's."""

    count: int
    """Steps of this kind."""

    summary: str
    """The first example's sentence, and how many more there are."""

    examples: tuple[RootCause, ...]
    """The first members by position, at most 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedAction(AsDict):
    """An act that is legal or refused on a step, a workflow or a job."""

    name: str
    """The act, as ``lifeline.preview_repair`` takes it: step_retry, workflow_cancel, job_rescue; or the call of the
    host's own program: complete_step or signal."""

    refusal: str | None = None
    """The code of the error it would raise; None when it is legal now."""

    reason: str | None = None
    """That error's sentence; None when it is legal now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(AsDict):
    """What every explanation says."""

    state: str
    """The raw state; a step's is its job's while it has a live one."""

    status: OperatorStatus
    """The operator's word; a workflow's is the most urgent of its root causes' while it runs."""

    summary: str
    """The diagnosis in one sentence."""

    blockers: tuple[Blocker, ...]
    """What it waits for now comes first; empty when nothing is in its way. Of a workflow: as a whole."""

    legal_actions: tuple[ExplainedAction, ...]
    """Acts that are legal now, of a job on its step; empty for a plain job."""

    illegal_actions: tuple[ExplainedAction, ...]
    """Acts that would be refused now, and why; likewise."""

    incidents: tuple[ExplainedIncident, ...]
    """Open incidents, as they were last projected: its own first, then those of its root causes; at most 20."""

    explained_at: datetime
    """Database clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepExplanation(Explanation):
    """Why a step is as it is."""

    workflow_id: WorkflowId
    """The workflow it belongs to."""

    workflow_name: str
    """The workflow's label."""

    workflow_state: str
    """The workflow's raw state."""

    step: str
    """The step's name."""

    position: Position
    """Its place in the workflow."""

    cause: str | None
    """Why it ended other than by its own job's outcome."""

    kind: str
    """What it runs on: ``job``, ``signal``, ``workflow`` or ``map``."""

    worker: str | None
    """Oban's path of the worker class; None where no job runs."""

    queue: str | None
    """The queue its job runs in; None where no job runs."""

    job_id: JobId | None
    """Its job, once released."""

    child_id: WorkflowId | None
    """The workflow it runs: a nested one, or the items of a map."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    dependencies: tuple[Dependency, ...]
    """Its parents: unfinished ones first (retryable, then the others), then by position; at most 100."""

    more_dependencies: int
    """Parents beyond those listed."""

    root_causes: tuple[RootCause, ...]
    """Ancestors it waits for or ended because of; those that need a person first; at most 20."""

    more_root_causes: int
    """Root causes beyond those listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowExplanation(Explanation):
    """Why a workflow is as it is."""

    workflow_id: WorkflowId
    """Its id."""

    name: str
    """Its label."""

    counts: Mapping[str, int]
    """Raw step state -> steps in it; only states that occur, in alphabetical order."""

    total: int
    """Steps in all."""

    open: int
    """Steps without an outcome."""

    root_causes: tuple[RootCauseGroup, ...]
    """Released steps without an outcome, and failed steps; those that need a person first; at most 20 groups."""

    more_root_causes: int
    """Steps in groups beyond those listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobExplanation(Explanation):
    """Why a job, of a step or plain, is as it is."""

    job_id: JobId
    """Its id."""

    worker: str
    """Oban's path of the worker class."""

    queue: str
    """The queue it runs in."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    error: str | None
    """The class and the text of the last error in one line."""

    executor: str | None
    """The node that ran it last."""

    workflow_id: WorkflowId | None
    """The workflow whose step it is; None for a plain job."""

    step: str | None
    """The step whose job it is; None for a plain job."""
