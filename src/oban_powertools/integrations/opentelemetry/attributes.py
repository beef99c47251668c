"""The closed list of span attributes, and how they are made from telemetry's fields."""

from collections.abc import Mapping
from typing import Any, Final

from oban import Job

_OURS: Final = "oban_powertools."

ATTRIBUTES: Final = frozenset(
    {
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.destination.name",
        "error.type",
        *(_OURS + field for field in ("workflows", "steps", "inserted", "attempt", "state")),
    }
)
"""Every attribute a span of ours may have: OpenTelemetry's for messaging, and our own."""


def of_insert(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of an insert, from the fields of its telemetry."""
    operation = {"messaging.system": "oban", "messaging.operation.name": "insert", "messaging.operation.type": "send"}
    return operation | {_OURS + field: fields[field] for field in ("workflows", "steps", "inserted") if field in fields}


def of_job(job: Job) -> dict[str, Any]:
    """Attributes of one attempt of a job, as it starts."""
    return {
        "messaging.system": "oban",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        _OURS + "attempt": job.attempt,
    }


def of_end(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of an end: a job's state, an error's class."""
    values = {_OURS + "state": fields.get("state"), "error.type": fields.get("error_type")}
    return {name: value for name, value in values.items() if value is not None}
