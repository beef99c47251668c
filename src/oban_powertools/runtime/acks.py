"""Make Oban's acks storable, and acknowledge a batch in one fenced statement.

The rule that must never break: an ack is fenced by (id, state, attempted_at), so repeating one after a lost reply is
harmless (fault/F7).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from oban import Job

from ..database import Session, json_border
from ..database.values import naive
from ..errors import Fault, UnstorableValueError
from ..privacy.logs import format_error
from ..privacy.shortening import shortened
from ..workflows.failures import find_failure, kept_error, name_of
from .results import Encoded, unchecked_meta

type Backoff = Callable[[int, int], int]
"""(attempt, max_attempts) -> seconds until the next attempt."""

MAX_SECONDS: Final = 2**31 - 1
"""The longest that a job may be put off: about 68 years."""

_OF_A_RESULT: Final = frozenset({"return", "recorded"})
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


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
class Outcome:
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


def storable(ack: Ack, backoff: Backoff) -> Outcome:
    """The storable form of an ack: its error shortened and escaped; a failure, where nothing else can be stored."""
    try:
        faults = find_faults(ack)
        if not faults:
            return _outcome(ack)
        reason = "; ".join(map(str, faults))
    except Exception as error:  # noqa: BLE001 - whatever a worker has left behind in its job
        reason = f"{type(error).__name__}: {format_error(error)}"
    return failed(ack, reason, backoff)


def failed(ack: Ack, reason: str, backoff: Backoff, *, ascii_only: bool = False) -> Outcome:
    """The failure of an attempt whose outcome cannot be stored.

    Args:
        ascii_only: Write all other characters as visible escapes, for where even the reason could not be stored.
    """
    assert ack.id is not None and ack.attempted_at is not None
    attempt, most = _count(ack.job.attempt), _count(ack.job.max_attempts)
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
    return Outcome(
        job=ack.job,
        id=ack.id,
        attempted_at=ack.attempted_at,
        error=error,
        state="discarded" if attempt >= most else "retryable",
        schedule_in=None if attempt >= most else backoff(attempt, most),
    )


def _outcome(ack: Ack) -> Outcome:
    assert ack.id is not None and ack.attempted_at is not None
    meta = ack.meta or None
    recorded = meta.get("return") if meta else None
    return Outcome(
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
    meta = unchecked_meta(ack.meta)
    return json_border.find_faults(meta, "meta") if meta else []


def is_span(seconds: Any) -> bool:
    """Whether a job can be put off for so long."""
    return type(seconds) in (int, float) and abs(seconds) <= MAX_SECONDS  # false for a NaN


def _count(number: Any) -> int:
    return number if type(number) is int and 0 <= number <= MAX_SECONDS else 1


class BulkAck:
    """Acknowledges in one statement, and keeps what came too late in another."""

    async def store(self, session: Session, outcomes: Sequence[Outcome]) -> list[int]:
        """Acknowledge these; returns the ids that this attempt could still acknowledge.

        Args:
            outcomes: Of one attempt a job.

        Locks: the jobs by id, then as settle.
        """
        rows = sorted(outcomes, key=lambda outcome: outcome.id)
        args = _arrays(rows, ascii_only=session.conn.info.encoding != "utf-8")
        return [row["id"] for row in await session.all("ack_jobs", args)]

    async def keep_late(self, session: Session, outcomes: Sequence[Outcome]) -> int:
        """Keep these as late results, unless the job has this very outcome already; returns how many were kept."""
        ascii_only = session.conn.info.encoding != "utf-8"
        args = {
            "ids": [outcome.id for outcome in outcomes],
            "attempted_ats": [naive(outcome.attempted_at) for outcome in outcomes],
            "attempts": [_count(outcome.job.attempt) for outcome in outcomes],
            "states": [outcome.state for outcome in outcomes],
            "errors": [_json(outcome.error, ascii_only) for outcome in outcomes],
            "results": [_sayable(outcome.result, ascii_only) for outcome in outcomes],
        }
        return len(await session.all("keep_late_results", args))


def _arrays(rows: Sequence[Outcome], *, ascii_only: bool) -> dict[str, Any]:
    results = ",".join([f'"{row.id}":{row.result}' for row in rows if row.result is not None])
    queues: list[Any] = [row.job.queue for row in rows]
    fetching = Counter(queue for queue in queues if type(queue) is str)
    return {
        "ids": [row.id for row in rows],
        "attempted_ats": [naive(row.attempted_at) for row in rows],
        "states": [row.state for row in rows],
        "attempt_changes": [row.attempt_change for row in rows],
        "schedule_ins": [row.schedule_in for row in rows],
        "errors": [_json(row.error, ascii_only) for row in rows],
        "metas": [_json(_meta(row), ascii_only) for row in rows],
        "results": _sayable(f"{{{results}}}" if results else None, ascii_only),
        "fetching": _json(fetching, ascii_only),
    }


def _meta(row: Outcome) -> dict[str, Any] | None:
    """The meta for the job; a step's result goes to the step."""
    if row.meta is None or row.result is None:
        return row.meta
    return {key: value for key, value in row.meta.items() if key not in _OF_A_RESULT} or None


def _json(value: Any, ascii_only: bool) -> str | None:
    return None if value is None else _sayable(json_border.dumps(value), ascii_only)


def _sayable(text: str | None, ascii_only: bool) -> str | None:
    if ascii_only and text is not None and not text.isascii():
        # The session has another encoding: JSON can write everything in ASCII.
        return _NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text)
    return text
