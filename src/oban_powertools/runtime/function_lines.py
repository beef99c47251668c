"""What this process and one that runs plain functions write to each other: lines of JSON, a job there, an outcome back.

An outcome is written as Oban and settle take it, so that a process gives what a thread gives: the result of a step with
the steps that it appended, an ending of Oban's, or an exception by its class, text and traceback. Nothing is pickled.
The rule that must never break: no more leaves that process than its attempt's outcome could hold.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import orjson
from oban import Cancel, Job, Record, Snooze

from ..database import json_border
from ..errors import PowertoolsError
from ..workflows.failures import describe_failure
from ..workflows.job_identity import remember_identities
from .raised import as_exception, traceback_of
from .results import StepResult, wrap_result

STOP: Final = b'{"stop": true}\n'
"""Asks the function that runs to stop: its ``job.cancelled()`` is True from then on."""

READY: Final = b'{"ready": true}\n'
"""Said once by a process that may be given jobs."""

_INSTANTS: Final = ("inserted_at", "attempted_at", "cancelled_at", "completed_at", "discarded_at", "scheduled_at")
_FIELDS: Final = (
    *("id", "worker", "state", "queue", "attempt", "max_attempts", "priority"),
    *("args", "meta", "errors", "tags", "attempted_by", *_INSTANTS),
)


@dataclass(frozen=True, slots=True)
class FunctionOutcome:
    """How a function ended in another process."""

    value: Any
    """What it returned, as its attempt takes it; None when it raised."""

    error: Exception | None = None
    """What it raised, with that class's name and that text."""

    traceback: str | None = None
    """Of what it raised."""


def write_job(job: Job) -> bytes:
    """The line of a job: all that its row has."""
    # Any JSON can stand in a row, so numbers that orjson refuses, too.
    return json.dumps({name: getattr(job, name) for name in _FIELDS}, default=datetime.isoformat).encode() + b"\n"


def read_job(fields: dict[str, Any]) -> Job:
    """The job of a line."""
    instants: dict[str, Any] = {name: datetime.fromisoformat(fields[name]) for name in _INSTANTS if fields[name]}
    job = Job(**{**fields, **instants}, _validate=False)
    remember_identities([job])
    return job


def write_outcome(job: Job, value: Any, limit: int) -> bytes:
    """The line of what a function returned.

    Args:
        limit: Bytes of JSON that a result may have.
    """
    result = wrap_result(job, value, limit)
    if isinstance(result, Exception):
        return write_error(result, raised=False)
    try:
        return f"{json_border.dumps(_fields_of(result))}\n".encode()
    except PowertoolsError as error:
        return write_error(error, raised=False)


def _fields_of(result: Any) -> dict[str, Any]:
    # A worker may have put anything in them.
    match result:
        case Cancel(reason=reason):
            return {"cancel": reason}
        case Snooze():
            return {"snooze": result.seconds, "meta": cast("Any", result).meta}
        case StepResult():
            return {"result": cast("Any", result).encoded}
        case Record(encoded=encoded):
            return {"recorded": encoded}
        case _:
            return {}


def write_error(error: BaseException, *, raised: bool = True) -> bytes:
    """The line of what a function raised, or returned as its failure."""
    written = {
        "error": {"class": type(as_exception(error)).__qualname__} | describe_failure(error),
        "name": type(as_exception(error)).__name__,
        "traceback": traceback_of(error) if raised else None,
    }
    return json.dumps(written).encode() + b"\n"


def read_outcome(line: bytes) -> FunctionOutcome:
    """The outcome of a line."""
    match orjson.loads(line):
        case {"error": {"class": str(kind), "text": str(text)}, "name": str(name), "traceback": traceback}:
            error = _exception(kind, name, text)
            return FunctionOutcome(None, error, traceback) if traceback else FunctionOutcome(error)
        case {"cancel": reason}:
            return FunctionOutcome(Cancel(reason))
        case {"snooze": seconds, "meta": meta}:
            return FunctionOutcome(Snooze(seconds, meta))
        case {"result": encoded}:
            return FunctionOutcome(StepResult(encoded, json_border.dumps(encoded)))
        case {"recorded": encoded}:
            recording = Record(None)
            recording.encoded = encoded
            return FunctionOutcome(recording)
        case _:
            return FunctionOutcome(None)


def _exception(kind: str, name: str, text: str) -> Exception:
    # The name is the whole one, so it counts as that of a builtin.
    return type(name, (Exception,), {"__module__": "builtins", "__qualname__": kind})(text)
