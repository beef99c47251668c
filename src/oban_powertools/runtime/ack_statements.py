"""Acknowledge outcomes in one fenced statement, or keep them as late results in another.

The rule that must never break: an ack is fenced by (id, state, attempted_at), so repeating one after a lost reply is
harmless (fault/F7).
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from ..database import Session, json_border
from ..database.values import naive
from .acks import JobOutcome, as_attempt

_OF_A_RESULT: Final = frozenset({"return", "recorded"})
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


async def store_outcomes(session: Session, outcomes: Sequence[JobOutcome]) -> list[int]:
    """Acknowledge these; returns the ids that this attempt could still acknowledge.

    Args:
        outcomes: Of one attempt a job.

    Locks: the jobs by id, then as settle.
    """
    rows = sorted(outcomes, key=lambda outcome: outcome.id)
    args = _arrays(rows, ascii_only=session.conn.info.encoding != "utf-8")
    return [row["id"] for row in await session.all("ack_jobs", args)]


async def keep_late(session: Session, outcomes: Sequence[JobOutcome]) -> int:
    """Keep these as late results, unless the job has this very outcome already; returns how many were kept."""
    ascii_only = session.conn.info.encoding != "utf-8"
    args = {
        "ids": [outcome.id for outcome in outcomes],
        "attempted_ats": [naive(outcome.attempted_at) for outcome in outcomes],
        "attempts": [as_attempt(outcome.job.attempt) for outcome in outcomes],
        "states": [outcome.state for outcome in outcomes],
        "errors": [_json(outcome.error, ascii_only) for outcome in outcomes],
        "results": [_sayable(outcome.result, ascii_only) for outcome in outcomes],
    }
    return len(await session.all("keep_late_results", args))


def _arrays(rows: Sequence[JobOutcome], *, ascii_only: bool) -> dict[str, Any]:
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


def _meta(row: JobOutcome) -> dict[str, Any] | None:
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
