"""Find stored signals that nobody took, and waits that nobody ended, with what looks alike.

Runs in the caller's transaction and locks nothing. Payloads are not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ..database import Session, json_border, record
from ..states import WorkflowId
from ..wire import AsDict

MAX_PAGE: Final = 1000
"""Most signals or waits of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitAlike(AsDict):
    """An open wait that looks like a stored signal."""

    wait_id: int
    """The wait."""

    workflow_id: WorkflowId
    """The workflow that waits."""

    step: str
    """The step that waits."""

    signal: str
    """The name that it waits for."""

    correlation_key: str
    """The key that it waits for."""

    meant: bool
    """Whether the signal has this key, or spells it differently or nearly: then a redirection is suggested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSignal(AsDict):
    """A signal that no wait has taken yet, without its payload."""

    id: int
    """Unique in the database."""

    signal: str
    """Its name."""

    correlation_key: str
    """Which of the signals of that name."""

    workflow_id: WorkflowId | None
    """The workflow that the sender named; None for whichever waits."""

    dedupe_key: str | None
    """The sender's key to recognize repeats."""

    inserted_at: datetime
    """When it was delivered."""

    expires_at: datetime | None
    """Until when it is kept for a wait to come; None without a limit."""

    only_begun: bool
    """Whether only a workflow that began before it may take it."""

    alike: tuple[WaitAlike, ...]
    """At most 5 open waits: of its key, of another spelling, of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenWait(AsDict):
    """A wait that no signal has ended yet."""

    id: int
    """Unique in the database."""

    signal: str
    """The name that it waits for."""

    correlation_key: str
    """The key that it waits for."""

    workflow_id: WorkflowId
    """The workflow that waits."""

    workflow_name: str
    """Its name."""

    step: str
    """The step that waits."""

    registered_at: datetime
    """Since when."""

    deadline_at: datetime | None
    """When it expires; None without an end."""


async def list_signals(
    session: Session, filters: Mapping[str, Any], *, before: int | None, limit: int
) -> list[StoredSignal]:
    """Stored signals that fit all filters, newest first; in two statements."""
    rows = await session.all("list_signals", _args(filters, before, limit))
    alike = await session.all("list_waits_alike", {"signal_ids": [row["id"] for row in rows]}) if rows else []
    waits: dict[int, list[WaitAlike]] = {}
    for row in alike:
        waits.setdefault(row["signal_id"], []).append(record(WaitAlike, row))
    return [record(StoredSignal, row, alike=tuple(waits.get(row["id"], ()))) for row in rows]


async def list_waits(session: Session, filters: Mapping[str, Any], *, before: int | None, limit: int) -> list[OpenWait]:
    """Open waits that fit all filters, newest first."""
    return await session.records(OpenWait, "list_waits", _args(filters, before, limit))


def _args(filters: Mapping[str, Any], before: int | None, limit: int) -> dict[str, Any]:
    return {"filters": json_border.dumps(dict(filters)), "before": before, "page": min(limit, MAX_PAGE)}
