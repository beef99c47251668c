"""The types of events: a step has changed, a workflow has ended.

Names only, no I/O. Every field of an event is here, named as in docs/reference/events.md, and ``to_dict`` contains
each.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, NewType

from ..states import JobId, OperatorStatus, StepState, WorkflowId, WorkflowState
from ..wire import AsDict, to_json

Cursor = NewType("Cursor", int)
"""A place in the log: 1, 2, 3 ... in the order of the commits; 0 is before the first event."""


class StepChange(StrEnum):
    """What happened to a step."""

    RELEASED = "released"
    STARTED = "started"
    COMPLETED = "completed"
    RETRYING = "retrying"
    SNOOZED = "snoozed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    EXPIRED = "expired"
    AWAITING = "awaiting"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry(AsDict):
    """What every event and notice has."""

    type: ClassVar[str]
    """What it is called in JSON."""

    timestamp: datetime
    """When it happened; aware UTC, database clock."""

    cursor: Cursor
    """Its place in the log: pass it as ``since`` to go on after it."""

    def to_dict(self) -> dict[str, Any]:
        """As every record's, with its ``type`` in front."""
        return {"type": self.type, **to_json(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEntry(LogEntry):
    """What every event of a workflow has."""

    workflow_id: WorkflowId
    """The workflow it is of."""

    workflow_label: str
    """The context's ``label``, else the workflow's name; as it was when the event was read."""

    number: int
    """1, 2, 3 ... without gaps in its workflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUpdated(WorkflowEntry):
    """A step changed."""

    type: ClassVar[str] = "step_updated"

    step_name: str
    """Unique in its workflow."""

    worker: str | None
    """Oban's path of the worker class; None where no job runs."""

    change: StepChange
    """What happened."""

    status: OperatorStatus
    """The operator's word after it, by what the event knows: neither its queue nor other steps."""

    state: StepState
    """The step's state after it."""

    blocker: str | None
    """The code of what is in its way after it, as in explanations; None when nothing is, or it has ended."""

    job_id: JobId | None
    """The job it ran on; None where no job runs."""

    attempt: int
    """Which attempt of the job, counted from 1; 0 before the first."""

    has_result: bool
    """Whether it completed with a result; a stored null counts."""

    error: str | None
    """The class and the text of its last error in one line, at most 500 characters; None when there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFinished(WorkflowEntry):
    """A workflow ended; the last event of its generation."""

    type: ClassVar[str] = "workflow_finished"

    status: OperatorStatus
    """The operator's word: Finished."""

    outcome: WorkflowState
    """completed, failed, cancelled or expired."""

    failed_steps: tuple[str, ...]
    """Names, at most 1,000: of the steps that failed by themselves first, then of those cancelled because of them."""

    generation: int
    """Which run of the workflow ended: 1, and one more with each recovery."""


type Event = StepUpdated | WorkflowFinished
