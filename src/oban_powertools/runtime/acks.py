"""Make Oban's acks storable: an outcome that cannot be stored becomes a failure with the reason.

The rule that must never break: whatever a worker has left behind, its attempt has an outcome that can be stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from oban import Job

from ..database import json_border
from ..errors import Fault, UnstorableValueError
from ..privacy.logs import format_error
from ..privacy.shortening import shortened
from ..workflows.failures import find_failure, kept_error, name_of
from .results import Encoded

type Backoff = Callable[[int, int], int]
"""(attempt, max_attempts) -> seconds until the next attempt."""

MAX_SECONDS: Final = 2**31 - 1
"""The longest that a job may be put off: about 68 years."""


class Ack(Protocol):
    """What Oban's executor reports about a job that it ran."""

    @property
    def job(self) -> Job:
        """The executed job."""
        ...

    @property
    def id(self) -> int | None:
        """The job's id."""
        ...

    @property
    def attempted_at(self) -> datetime | None:
        """When the attempt began: the fence."""
        ...

    @property
    def state(self) -> str:
        """What the job becomes."""
        ...

    @property
    def attempt_change(self) -> int | None:
        """-1 for a snooze."""
        ...

    @property
    def error(self) -> dict[str, Any] | None:
        """The error to add: attempt, at, error."""
        ...

    @property
    def meta(self) -> dict[str, Any] | None:
        """What to merge into the job's meta."""
        ...

    @property
    def schedule_in(self) -> int | None:
        """Seconds until the next attempt."""
        ...


@dataclass(slots=True, kw_only=True)
class JobOutcome:
    """An ack of ours that, as far as can be checked here, can be stored.

    Treat it as immutable. It is not frozen, because that doubles the cost of making one, and there is one for each
    attempt.
    """

    job: Job
    """The executed job."""

    id: int
    """Its id."""

    attempted_at: datetime
    """When the attempt began: the fence."""

    state: str
    """What the job becomes."""

    attempt_change: int | None = None
    """-1 for a snooze."""

    error: dict[str, Any] | None = None
    """The error to add: attempt, at, error, and where they are known class and text."""

    meta: dict[str, Any] | None = None
    """What to merge into the job's meta."""

    schedule_in: int | None = None
    """Seconds until the next attempt."""

    result: str | None = None
    """What the step's worker returned, as JSON, on its way to settle."""

    @property
    def size(self) -> int:
        """Bytes of the worker's result; for a plain job the characters of its recording."""
        recorded = self.meta.get("return") if self.meta else None
        return len(recorded) if isinstance(recorded, str) else json_border.size_of(self.result or "")


def storable(ack: Ack, backoff: Backoff) -> JobOutcome:
    """The storable form of an ack: its error shortened and escaped; a failure, where nothing else can be stored."""
    try:
        faults = find_faults(ack)
        if not faults:
            return _outcome(ack)
        reason = "; ".join(map(str, faults))
    except Exception as error:  # noqa: BLE001 - whatever a worker has left behind in its job
        reason = f"{type(error).__name__}: {format_error(error)}"
    return failed(ack, reason, backoff)


def failed(ack: Ack, reason: str, backoff: Backoff, *, ascii_only: bool = False) -> JobOutcome:
    """The failure of an attempt whose outcome cannot be stored.

    Args:
        ascii_only: Write all other characters as visible escapes, for where even the reason could not be stored.
    """
    assert ack.id is not None and ack.attempted_at is not None
    attempt, most = as_attempt(ack.job.attempt), as_attempt(ack.job.max_attempts)
    text = f"the outcome {ack.state!r} cannot be stored: {reason}"
    if ack.error:
        text = f"{text}\n{ack.error.get('error')}"
    text = json_border.storable_text(shortened(text))
    if ascii_only:
        text = text.encode("ascii", "backslashreplace").decode()
    error = {
        "attempt": attempt,
        "at": datetime.now(UTC).isoformat(),
        "error": text,
        "class": name_of(UnstorableValueError),
        "text": text,
    }
    return JobOutcome(
        job=ack.job,
        id=ack.id,
        attempted_at=ack.attempted_at,
        error=error,
        state="discarded" if attempt >= most else "retryable",
        schedule_in=None if attempt >= most else backoff(attempt, most),
    )


def _outcome(ack: Ack) -> JobOutcome:
    assert ack.id is not None and ack.attempted_at is not None
    meta = ack.meta or None
    recorded = meta.get("return") if meta else None
    return JobOutcome(
        job=ack.job,
        id=ack.id,
        attempted_at=ack.attempted_at.astimezone(UTC),
        state=ack.state,
        attempt_change=ack.attempt_change,
        error=kept_error(ack.error, find_failure(ack.job)) if ack.error else None,
        meta=meta,
        result=recorded.text if isinstance(recorded, Encoded) else None,
        schedule_in=None if ack.schedule_in is None else round(ack.schedule_in),
    )


def find_faults(ack: Ack) -> list[Fault]:
    """Why this outcome cannot be stored; empty when it can, as far as can be checked here."""
    seconds: Any = ack.schedule_in
    if seconds is not None and not is_span(seconds):
        message = f"it is to run again in {seconds!r}, expected a number of seconds up to {MAX_SECONDS}"
        return [Fault(code="non_serializable", message=message)]
    meta = _unchecked_meta(ack.meta)
    return json_border.find_faults(meta, "meta") if meta else []


def _unchecked_meta(meta: dict[str, Any] | None) -> dict[str, Any]:
    """The part of an ack's meta that was not checked yet; a step's result was, when its worker returned it."""
    # Most acks have nothing else.
    if not meta or (len(meta) == 2 and meta.get("recorded") is True and isinstance(meta.get("return"), Encoded)):
        return {}
    return {key: value for key, value in meta.items() if not isinstance(value, Encoded)}


def is_span(seconds: Any) -> bool:
    """Whether a job can be put off for so long."""
    return type(seconds) in (int, float) and abs(seconds) <= MAX_SECONDS  # false for a NaN


def as_attempt(number: Any) -> int:
    """The number of an attempt as its worker left it; 1 for what is none."""
    return number if type(number) is int and 0 <= number <= MAX_SECONDS else 1
