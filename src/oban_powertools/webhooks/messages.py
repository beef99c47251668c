"""Build the body of every message: an event as CloudEvents 1.0, in structured JSON.

The rule that must never break: args and results stay in the database.
"""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from ..arguments import as_list
from ..errors import InvalidArgumentError, InvalidSettingError
from ..events.types import Cursor, Event, StepChange, StepUpdated, WorkflowFinished

FINISHED: Final = "workflow.finished"
MISSED: Final = "events.missed"
PING: Final = "ping"

EVENT_TYPES: Final = (FINISHED, *(f"workflow.step.{change}" for change in StepChange))
"""The event types of an endpoint; in a message they begin with ``oban_powertools.``."""


def check_types(types: object) -> list[str]:
    """Check types; returns each once, in their own order, or an empty list when all are named.

    Raises:
        InvalidSettingError: One is not known, there is none, or they are not a list.
    """
    try:
        names = as_list("types", types, "event types")
    except InvalidArgumentError as error:
        raise InvalidSettingError(error.argument, error.found, f"a list of: {', '.join(EVENT_TYPES)}") from None
    if not names:
        raise InvalidSettingError("types", "an empty list", f"None for all, or some of: {', '.join(EVENT_TYPES)}")
    if not all(name in EVENT_TYPES for name in names):
        raise InvalidSettingError("types", repr(names), f"a list of: {', '.join(EVENT_TYPES)}")
    chosen = [name for name in EVENT_TYPES if name in names]
    return [] if len(chosen) == len(EVENT_TYPES) else chosen


def type_of(event: Event) -> str:
    """The type of an event, one of ``EVENT_TYPES``."""
    match event:
        case StepUpdated():
            return f"workflow.step.{event.change}"
        case WorkflowFinished():
            return FINISHED


def event_message(event: Event, source: str) -> dict[str, Any]:
    """The message that tells of an event."""
    subject = f"workflow/{event.workflow_id}"
    if isinstance(event, StepUpdated):
        subject += f"/step/{event.step_name}"
    return _message(type_of(event), source, subject, event.timestamp, event.to_dict())


def missed_message(source: str, *, after: Cursor, up_to: Cursor) -> dict[str, Any]:
    """The message that events after a cursor were removed before they could be sent."""
    data = {"type": "events_missed", "after_cursor": after, "up_to_cursor": up_to}
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
        "time": at.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }
