"""A step's return value on its way to the database: checked, encoded once, never pickled.

The rule that must never break: what cannot be stored fails the attempt with a message that says
why; it never stops a queue (O2, F17).
"""

from typing import Any, Final, cast

from oban import Cancel, Job, Record, Snooze

from . import json_border
from .errors import UnstorableValueError


class StepResult(Record):
    """A checked result as an Oban recording, so that it travels with the ack.

    ``encoded`` is ``{"json": value}``: what stock Oban writes to ``meta.return`` and settle reads.
    """

    def __init__(self, value: Any, text: str) -> None:
        self.value = value
        self.limit = len(text)
        # Typed as text by Oban, which only passes it on to the ack's meta.
        self.encoded = cast("str", Encoded(value, text))


class Encoded(dict[str, Any]):
    """``{"json": value}`` that still knows its JSON text, so that it is encoded only once."""

    def __init__(self, value: Any, text: str) -> None:
        super().__init__(json=value)
        self.text: Final = text


def is_step(job: Job) -> bool:
    """Whether a job runs a workflow step."""
    return type(job.meta.get("workflow_id")) is int and type(job.meta.get("position")) is int


def wrap_result(job: Job, result: Any, limit: int) -> Any:
    """What Oban is to record for what a worker returned.

    Args:
        result: A worker's return value, or the exception it raised.
        limit: Bytes of JSON a result may have.

    Returns:
        The result itself where it is none of ours; else a StepResult, or an UnstorableValueError
        (as a value: Oban then fails the attempt with it).
    """
    if result is None or isinstance(result, (Exception, Cancel, Snooze)) or not is_step(job):
        return result
    value = result.value if isinstance(result, Record) else result
    faults = json_border.find_faults(value, "result")
    if faults:
        return UnstorableValueError("the return value", faults)
    text = json_border.dumps(value)
    if (size := len(text.encode())) > limit:
        return UnstorableValueError("the return value", json_border.too_large("result", size, limit))
    return StepResult(value, text)
