"""Check a step's return value and encode it once, as JSON, never pickled.

The rule that must never break: a value that cannot be stored fails the attempt with a message that says why; it never
stops a queue (oban/O2, fault/F17).
"""

from typing import Any, cast

from oban import Cancel, Job, Record, Snooze

from ..arguments import as_span, unless_none
from ..database.json_border import check_payload, dumps
from ..errors import Fault, PowertoolsError, UnstorableValueError
from ..telemetry import TRACE_META
from ..workflows.append import appended_steps
from ..workflows.bounds import span_faults, text_faults
from ..workflows.job_identity import check_meta, is_step
from .step import AwaitSignal, appended_of


class StepResult(Record):
    """A step's checked result as an Oban recording, so that it travels with the ack.

    ``encoded`` is what stock Oban writes to ``meta.return`` and settle reads: ``{"json": value}``, with
    ``"append": steps`` when the step added some; or ``{"await": wait}``.

    Args:
        text: The same as JSON.
    """

    def __init__(self, encoded: dict[str, Any], text: str) -> None:
        self.value: Any = encoded.get("json")
        # Typed as text by Oban, which only passes it on to the ack's meta.
        self.encoded: str = cast("str", Encoded(encoded, text))
        self.limit = 0


class Encoded(dict[str, Any]):
    """Marks a step's result among other recordings, for the bulk ack."""

    __slots__ = ("text",)

    text: str
    """The same as JSON, written once, when it was checked."""

    def __init__(self, encoded: dict[str, Any], text: str) -> None:
        super().__init__(encoded)
        self.text = text


def wrap_result(job: Job, result: Any, limit: int) -> Any:
    """The recording that Oban shall store for a worker's return value.

    Args:
        result: A worker's return value, or the exception it raised.
        limit: Bytes of JSON a result may have: ``Settings.payload_limit``, 1 MiB by default (``config.PAYLOAD_LIMIT``).

    Returns:
        The result itself for a plain job; else a StepResult, or an UnstorableValueError or ReservedMetaError (as a
        value: Oban then fails the attempt with it).
    """
    try:
        if isinstance(result, Snooze):
            check_meta(job, getattr(result, "meta", None))
        # One that another process has written is checked.
        if isinstance(result, (Exception, Cancel, Snooze, StepResult)) or not is_step(job):
            return result
        if isinstance(result, AwaitSignal):
            wait = {"await": _wait(result)}
            return StepResult(wait, dumps(wait))
        return _completed(job, result, limit)
    except PowertoolsError as error:
        return error


def _completed(job: Job, result: Any, limit: int) -> StepResult | None:
    recorded = isinstance(result, Record)
    value: Any = result.value if recorded else result
    encoded: dict[str, Any] = {}
    texts: list[str] = []
    if recorded or value is not None:
        texts.append(f'"json":{check_payload("the return value", value, limit, path="result")}')
        encoded["json"] = value
    if (appended := appended_of(job)) is not None:
        trace = {key: job.meta[key] for key in TRACE_META if key in job.meta}
        encoded["append"] = steps = appended_steps(appended, limit, trace)
        texts.append(f'"append":{dumps(steps)}')
    return StepResult(encoded, f"{{{','.join(texts)}}}") if encoded else None


def _wait(wait: AwaitSignal) -> dict[str, Any]:
    texts: dict[str, Any] = {"signal": wait.signal, "correlation_key": wait.correlation_key}
    faults = [fault for name, text in texts.items() for fault in text_faults(text, f"wait.{name}")]
    if not all(isinstance(text, str) and text.strip() for text in texts.values()):
        faults = [Fault(code="signal_required", message="a wait needs a signal and a correlation key, both text")]
    deadline = unless_none(as_span, "deadline", wait.deadline)
    if faults := faults + span_faults(deadline, "deadline", code="invalid_deadline"):
        raise UnstorableValueError("the wait", faults)
    return {**texts, "deadline": deadline.total_seconds() if deadline is not None else None}
