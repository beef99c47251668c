"""The records of workflows and steps, filled by the read queries only. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..states import (
    CallbackState,
    Effects,
    JobId,
    OperatorStatus,
    Policy,
    Position,
    SignalStatus,
    StepKind,
    StepState,
    WorkflowId,
    WorkflowState,
)
from ..wire import AsDict


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRecord(AsDict):
    """One stored workflow."""

    id: WorkflowId
    """Unique in the database."""

    name: str
    """A label; several workflows may share it."""

    status: OperatorStatus
    """The operator's word, as its explanation says: the most urgent of its steps' while it runs."""

    state: WorkflowState
    """The raw state, as of the transaction that read it."""

    blocker: str | None
    """The code of what is in its way, as in explanations; None when nothing is, or it has ended."""

    held_up_by: str | None
    """The step that gives it its status, or that failed first; ``NAME of workflow ID`` for one of another workflow."""

    context: dict[str, Any]
    """The context that the author attached; every step sees it."""

    tags: tuple[str, ...]
    """For filtering."""

    generation: int
    """1 on insert; a recovery starts the next one."""

    semantics_version: int
    """The rules the rows were written under."""

    definition_version: str | None
    """The author's name for the version of the definition."""

    idempotency_key: str | None
    """Unique among workflows when given."""

    total: int
    """Steps in all."""

    open: int
    """Steps without an outcome; 0 when the workflow has ended."""

    failed: int
    """Steps that failed: their state is ``discarded``."""

    cancelled: int
    """Steps that were cancelled, by whatever."""

    expired: int
    """Steps that expired."""

    failed_steps: tuple[str, ...]
    """Names of those that ended without completing, at most 1,000: those that did so by themselves first, then those
    cancelled because of them; without those that a cancel or an expiry of the workflow ended."""

    failures_handled: bool | None
    """Whether continue edges covered every failure; None while running or without failures."""

    expires_at: datetime | None
    """When it expires if it has not ended."""

    cancel_requested_at: datetime | None
    """When an operator asked for its cancel."""

    expired_at: datetime | None
    """When its time ran out."""

    parent_id: WorkflowId | None
    """The workflow it is nested in; None for an outermost one."""

    parent_position: Position | None
    """The step that runs it there."""

    inserted_at: datetime
    """When it was stored."""

    finished_at: datetime | None
    """When its last step ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord(AsDict):
    """One step as it is now: its job's own state while it has a live job."""

    workflow_id: WorkflowId
    """The workflow it belongs to."""

    position: Position
    """0, 1, 2 ... in the order the steps were added."""

    name: str
    """Unique in the workflow."""

    kind: StepKind
    """What it runs on."""

    worker: str | None
    """Oban's path of the worker class; None where no job runs."""

    queue: str | None
    """The queue its job runs in; None where no job runs."""

    status: OperatorStatus
    """The operator's word, as its explanation says."""

    state: StepState
    """The raw state; see docs/reference/vocabulary.md."""

    blocker: str | None
    """The code of what is in its way, as in explanations; None when nothing is, or it has ended."""

    cause: str | None
    """Why it ended, where its job's own outcome is not the reason."""

    effects: Effects
    """May it run twice?"""

    generation: int
    """Rises with each recovery."""

    pending: int
    """Parents without an outcome."""

    deps: Mapping[str, Policy]
    """Parent name -> policy, in the parents' position order."""

    child_id: WorkflowId | None
    """The workflow it runs: a nested one, or the items of a map."""

    signal: str | None
    """The signal of its last wait."""

    correlation_key: str | None
    """The correlation key of its last wait."""

    deadline_at: datetime | None
    """When its last wait expires."""

    cancel_requested_at: datetime | None
    """When an operator asked for this step's cancel."""

    held_until: datetime | None
    """It does not start before; None when it is not held."""

    hold_reason: str | None
    """Why it is held."""

    depth: int
    """Edges on the longest path from a root."""

    job_id: JobId | None
    """Its job, once released; the row may have been pruned since."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    args: Any
    """The job's args; before release, references show as {"$result": [step, ...path]}."""

    result: Any
    """What the worker returned; None when there is none."""

    has_result: bool
    """Whether a result is stored (a stored null counts)."""

    error: Any
    """The last error: {"attempt", "at", "error"}; None when there was none."""

    released_at: datetime | None
    """When its job was inserted."""

    scheduled_at: datetime | None
    """When its live job is due."""

    started_at: datetime | None
    """When its last attempt began."""

    finished_at: datetime | None
    """When it got its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPage(AsDict):
    """A page of the steps of a workflow."""

    steps: tuple[StepRecord, ...]
    """In the order that was asked for."""

    parents: Mapping[str, StepState]
    """Name -> state of the steps that these depend on."""

    words: Mapping[OperatorStatus, int]
    """The operator's word -> steps of the whole workflow that have it; without those that no step has.

    With ``step`` only of that one."""

    next_after: str | None
    """Pass it as ``after`` for the next page; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRecord(AsDict):
    """One delivered signal."""

    id: int
    """Unique in the database; of a duplicate, the first delivery's."""

    signal: str
    """Its name."""

    correlation_key: str
    """Which of the signals of that name."""

    workflow_id: WorkflowId | None
    """The workflow that the sender named; None for whichever waits."""

    dedupe_key: str | None
    """The sender's key to recognize repeats."""

    payload: Any
    """Its payload; becomes the result of the step that consumes it."""

    status: SignalStatus
    """Its status."""

    wait_id: int | None
    """The wait that consumed it."""

    inserted_at: datetime
    """When it was delivered."""

    consumed_at: datetime | None
    """When it was consumed."""

    expires_at: datetime | None = None
    """Until when it is kept for a future wait; None without a limit."""

    only_begun: bool = False
    """Whether only a workflow that began before it may consume it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackRecord(AsDict):
    """What became of the ``on_finished`` job of one end of a workflow.

    It outlives the job, and goes with its workflow.
    """

    workflow_id: WorkflowId
    """The workflow that ended."""

    generation: int
    """The generation that ended: a workflow that was recovered ends again."""

    job_id: JobId
    """The job that was inserted; Oban may have pruned it since."""

    worker: str
    """Its worker."""

    state: CallbackState
    """The job's state, or the last one it was in; ``job_deleted`` when it was deleted before it ended."""

    attempt: int
    """Attempts made so far."""

    error: Any
    """The error of the last attempt that failed: {"attempt", "at", "error", "text"}; None when none did."""

    inserted_at: datetime
    """When the workflow ended."""

    attempted_at: datetime | None
    """When the last attempt began; None while there was none."""

    ended_at: datetime | None
    """When the job ended; None while it has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(AsDict):
    """What a recovery did."""

    audit_id: int
    """Its record in the audit, with the state before and after."""

    generation: int
    """The workflow's generation after it."""

    steps: tuple[str, ...]
    """The steps that were recovered, in position order."""

    revived: int
    """Further steps that came back because they had been cancelled with them."""
