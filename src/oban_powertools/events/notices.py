"""Notices: the types of events for people on call, about incidents, executors, repairs and runs of the retention.

Types only, no I/O; ``functions/notices.sql`` writes them. The rule that must never break: every field of a notice is
here, in the names of docs/reference/events.md, and ``to_dict`` leaves none out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from ..database import Row, record
from ..operators.audit import Outcome
from ..states import ExecutorState, ExecutorStatus, IncidentId, IncidentState, IncidentStatus, WorkflowId
from .types import LogEntry


class IncidentChange(StrEnum):
    """What happened to an incident."""

    OPENED = "opened"
    CHANGED = "changed"
    """It grew to twice the size, or shrank."""

    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"


class ExecutorChange(StrEnum):
    """What was found of an executor."""

    LATE = "late"
    MISSING = "missing"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentUpdated(LogEntry):
    """An incident changed."""

    type: ClassVar[str] = "incident_updated"

    incident_id: IncidentId
    """Its id; it never changes."""

    fingerprint: str
    """Its class, then what tells it from others of the class; it never changes."""

    incident_class: str
    """What kind of cause it has."""

    change: IncidentChange
    """What happened."""

    status: IncidentStatus
    """The operator's word after it."""

    state: IncidentState
    """Its state after it."""

    subject_type: str
    """What it is about."""

    subject_id: str
    """Which one."""

    title: str
    """One sentence, through the display policy."""

    count: int
    """How many jobs, steps, waits or workflows it has hit."""

    waiting_workflows: int
    """Workflows that are concerned, at most 1,000."""

    waiting_steps: int
    """Steps of these workflows without an outcome."""

    opened_at: datetime
    """When it was detected, or came back."""

    muted: bool
    """Whether it was muted: nobody needs to be told."""

    actor: str | None
    """Who acknowledged it; None for Powertools itself."""

    because: str | None
    """Of a resolved one: why it is over; of a changed one that its mute has ended, else None."""

    @property
    def unmuted(self) -> bool:
        """Whether its mute has ended while it was active."""
        return self.change is IncidentChange.CHANGED and self.because is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorUpdated(LogEntry):
    """An executor is late or missing, or has recovered."""

    type: ClassVar[str] = "executor_updated"

    executor_id: str
    """Which one."""

    node: str
    """Where it runs."""

    queue: str
    """What it works on."""

    change: ExecutorChange
    """What was found."""

    status: ExecutorStatus
    """The operator's word after it."""

    state: ExecutorState
    """Its health after it."""

    process_alive: bool
    """Whether its process was sending heartbeats."""

    loop_responsive: bool
    """Whether its event loop was answering."""

    executing: int
    """How many jobs it had in hand."""

    beat_at: datetime
    """Its last heartbeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairEnded(LogEntry):
    """An operator's act on a job, step, late result, callback, workflow or executor was carried out or refused."""

    type: ClassVar[str] = "repair_ended"

    audit_id: int
    """Its record in the audit."""

    action: str
    """Which act."""

    outcome: Outcome
    """What came of it."""

    target_type: str
    """What it is about."""

    target_id: str
    """Which one."""

    workflow_id: WorkflowId | None
    """The workflow of the target."""

    step: str | None
    """The step of the target."""

    actor: str | None
    """Who asked for it; None when nobody was named, which is refused."""

    actor_type: str
    """``user``, ``service`` or ``agent``."""

    reason: str | None
    """Why, through the display policy."""

    surface: str
    """The door: ``api``, ``cli`` or ``web``."""

    incident_id: IncidentId | None
    """The incident that it was for."""

    code: str | None
    """Of one that was not executed: the code of the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRan(LogEntry):
    """A run of the retention has ended."""

    type: ClassVar[str] = "retention_ran"

    run_id: int
    """Its number."""

    outcome: str
    """``done`` or ``failed``."""

    actor: str | None
    """Who asked for it; None: the sweep."""

    reason: str
    """Why, through the display policy."""

    error: str | None
    """Of a failed run: what the database said, through the display policy."""

    archived: Mapping[str, int]
    """Class -> rows written to the archive."""

    pruned: Mapping[str, int]
    """Class -> rows removed, in all its tables."""

    started_at: datetime
    """When it began."""


type Notice = IncidentUpdated | ExecutorUpdated | RepairEnded | RetentionRan

NOTICES: Final = (IncidentUpdated, ExecutorUpdated, RepairEnded, RetentionRan)
"""What a ``Notice`` can be."""

KINDS: Final = (
    *(f"incident.{change}" for change in IncidentChange),
    *(f"executor.{change}" for change in ExecutorChange),
    *(f"repair.{outcome}" for outcome in Outcome),
    "retention.ran",
)
"""What a notice is called: its topic's thing, and what happened to it."""


def kind_of(notice: Notice) -> str:
    """Which of ``KINDS`` a notice is."""
    match notice:
        case IncidentUpdated():
            return f"incident.{notice.change}"
        case ExecutorUpdated():
            return f"executor.{notice.change}"
        case RepairEnded():
            return f"repair.{notice.outcome}"
        case RetentionRan():
            return "retention.ran"


def describe_notice(notice: Notice) -> tuple[str, str]:
    """What a notice is about, and what there is to say of it."""
    match notice:
        case IncidentUpdated():
            by = f" by {notice.actor}" if notice.actor else ""
            return f"incident {notice.incident_id}{by}", f"{notice.title}{' (muted)' if notice.muted else ''}"
        case ExecutorUpdated():
            return f"{notice.queue} on {notice.node}", f"{notice.executor_id}, {notice.executing} in hand"
        case RepairEnded():
            code = f" ({notice.code})" if notice.code else ""
            reason = f": {notice.reason}" if notice.reason else ""
            return (
                f"{notice.action} {notice.target_type} {notice.target_id}",
                f"{notice.actor or 'nobody'}{reason}{code}",
            )
        case RetentionRan():
            rows = sum(notice.pruned.values())
            return f"run {notice.run_id}", f"{notice.outcome}, {rows} rows removed{_after(notice.error)}"


def _state_after(change: ExecutorChange, process_alive: bool) -> ExecutorState:
    if change is ExecutorChange.RECOVERED:
        # What sends heartbeats again lives; what stopped in good order sends none.
        return ExecutorState.HEALTHY if process_alive else ExecutorState.STOPPED
    return ExecutorState(change)


def _after(error: str | None) -> str:
    return f": {error}" if error else ""


_OF_A_TOPIC: Final[Mapping[str, tuple[type[Notice], str]]] = {
    "incident": (IncidentUpdated, "incident_id"),
    "executor": (ExecutorUpdated, "executor_id"),
    "repair": (RepairEnded, "audit_id"),
    "retention": (RetentionRan, "run_id"),
}
"""The thing of a topic -> its notices, and the field that says which one."""


def notice_of(row: Row) -> Notice:
    """The notice of a row of ``read_notices`` or ``read_log``."""
    topic, _, change = row["kind"].partition(".")
    kind, subject = _OF_A_TOPIC[topic]
    said: dict[str, Any] = {"change": change, "outcome": change, subject: row["subject_id"]}
    if kind is ExecutorUpdated:
        said["state"] = _state_after(ExecutorChange(change), row["data"]["process_alive"])
    return record(kind, {**row, **said, **row["data"]})
