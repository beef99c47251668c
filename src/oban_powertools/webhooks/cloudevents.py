"""Build the body of every message: an event as CloudEvents 1.0, in structured JSON.

The rule that must never break: args and results stay in the database.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from ..arguments import as_list
from ..errors import InvalidArgumentError, InvalidSettingError
from ..events.notices import KINDS, ExecutorUpdated, IncidentUpdated, RepairEnded, RetentionRan, kind_of
from ..events.topics import AnyEvent
from ..events.types import Cursor, StepChange, StepUpdated, WorkflowFinished
from ..spelling import did_you_mean
from ..wire import rfc3339

FINISHED: Final = "workflow.finished"
MISSED: Final = "events.missed"
PING: Final = "ping"

WORKFLOW_TYPES: Final = (FINISHED, *(f"workflow.step.{change}" for change in StepChange))
"""The event types of an endpoint that names none."""

EVENT_TYPES: Final = (*WORKFLOW_TYPES, *KINDS)
"""The event types of an endpoint; in a message they begin with ``oban_powertools.``."""


def check_types(types: object) -> list[str]:
    """Check types; returns each once, in their own order, or an empty list when they are those of workflows.

    Raises:
        InvalidSettingError: One is not known, there is none, or they are not a list.
    """
    try:
        names = as_list("types", types, "event types")
    except InvalidArgumentError as error:
        raise InvalidSettingError(error.argument, error.found, f"a list of: {', '.join(EVENT_TYPES)}") from None
    if not names:
        raise InvalidSettingError(
            "types", "an empty list", f"None for those of workflows, or some of: {', '.join(EVENT_TYPES)}"
        )
    if unknown := [name for name in names if name not in EVENT_TYPES]:
        meant = did_you_mean(unknown[0], EVENT_TYPES)
        raise InvalidSettingError("types", repr(names), f"a list of: {', '.join(EVENT_TYPES)}{meant}")
    chosen = [name for name in EVENT_TYPES if name in names]
    return [] if chosen == [*WORKFLOW_TYPES] else chosen


def type_of(event: AnyEvent) -> str:
    """The type of an event, one of ``EVENT_TYPES``."""
    match event:
        case StepUpdated():
            return f"workflow.step.{event.change}"
        case WorkflowFinished():
            return FINISHED
        case _:
            return kind_of(event)


def subject_of(event: AnyEvent) -> str:
    """What an event is about, as a CloudEvent names it."""
    match event:
        case StepUpdated():
            return f"workflow/{event.workflow_id}/step/{event.step_name}"
        case WorkflowFinished():
            return f"workflow/{event.workflow_id}"
        case IncidentUpdated():
            return f"incident/{event.incident_id}"
        case ExecutorUpdated():
            return f"executor/{event.executor_id}"
        case RepairEnded():
            return f"{event.target_type}/{event.target_id}"
        case RetentionRan():
            return f"retention/{event.run_id}"


def event_message(event: AnyEvent, source: str) -> dict[str, Any]:
    """The message that tells of an event."""
    return _message(type_of(event), source, subject_of(event), event.timestamp, event.to_dict())


def missed_message(source: str, *, after: Cursor, up_to: Cursor) -> dict[str, Any]:
    """The message that events after a cursor were removed before they could be sent."""
    data = {"type": "events_missed", "after_cursor": str(after), "up_to_cursor": str(up_to)}
    return _message(MISSED, source, "events", datetime.now(UTC), data)


def ping_message(source: str) -> dict[str, Any]:
    """The message of a ping."""
    return _message(PING, source, "ping", datetime.now(UTC), {"type": "ping"})


def _message(kind: str, source: str, subject: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"msg_{uuid4().hex}",
        "source": source,
        "type": f"oban_powertools.{kind}",
        "subject": subject,
        "time": rfc3339(at),
        "datacontenttype": "application/json",
        "data": data,
    }
