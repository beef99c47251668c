"""Tell what is gone from what never was: its number has been given, or the audit knows of an act on it.

The one rule for every kind. No row is kept for it: a sequence gives each number once. A number of a transaction that
was rolled back counts as given, and so does one whose transaction is still open.
"""

from collections.abc import Sequence
from typing import Final

from ...database import Session
from ...errors import NotFoundError
from .records import AuditRecord, Outcome

MOST: Final = 50
"""Records that are recalled."""

_LARGEST: Final = 2**63 - 1


async def recall(session: Session, error: NotFoundError) -> Sequence[AuditRecord] | None:
    """What the audit knows of something that is not there, the newest first; None when it never was."""
    if error.subject is None:
        return None
    kind, target_id = error.subject
    number, of = _numbers(kind, target_id)
    args = {
        "kind": kind,
        "id": target_id,
        "workflow_id": number if kind == "workflow" else None,
        "incident_id": number if kind == "incident" else None,
        "page": MOST,
    }
    async with session.bounded():
        records = await session.records(AuditRecord, "recall", args)
        given = await session.one("was_given", {"kind": kind, "number": number, "id": target_id, "of": of})
    was_done = any(record.outcome is Outcome.EXECUTED for record in records) and kind != "step"
    return records if was_done or (given is not None and given["gone"]) else None


def _numbers(kind: str, target_id: str) -> tuple[int | None, int | None]:
    """Its number, and that of what it belongs to: a step has the number of its workflow, a delivery one of its own."""
    first, _, rest = target_id.partition("/")
    if kind == "webhook_delivery":
        return _number(rest), _number(first)
    return _number(first), None


def _number(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if 0 < number <= _LARGEST else None
