"""Read the log: pages of events in the order of their cursors.

Not for waiting, which is the feed's. The rule that must never break: a page has no gap; when what
was asked for is gone, it says so instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from ..database import Connection, Queries, fetch_all, fetch_one
from ..errors import CursorExpiredError
from ..states import JobId, StepState, WorkflowId, WorkflowState
from .types import Cursor, Event, StepChange, StepUpdated, WorkflowFinished


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far the log reaches."""

    head: Cursor
    """The cursor of the newest event."""

    pruned_to: Cursor
    """The oldest cursor that can be read from: retention has removed what is up to it."""

    def check(self, since: Cursor) -> None:
        """Refuse a cursor that retention has overtaken.

        Raises:
            CursorExpiredError: As named.
        """
        if since < self.pruned_to:
            raise CursorExpiredError(since, self.pruned_to)


async def place_events(conn: Connection, queries: Queries) -> Bounds:
    """Give what has committed its place in the log.

    Args:
        conn: In autocommit; in a longer transaction it would keep everybody else from placing.

    Locks: as place_events_v1.
    """
    row = await fetch_one(conn, queries["place_events"])
    assert row is not None
    return Bounds(Cursor(row["head"]), Cursor(row["pruned_to"]))


async def read_log(conn: Connection, queries: Queries, since: Cursor, limit: int) -> list[Event]:
    """The events after a cursor, oldest first, of those that have their place.

    Raises:
        CursorExpiredError: Retention has overtaken the cursor.
    """
    return _page(await fetch_all(conn, queries["read_log"], {"since": since, "page": limit}), since)


async def read_workflow_log(
    conn: Connection, queries: Queries, workflow_id: WorkflowId, since: Cursor, limit: int
) -> list[Event]:
    """As ``read_log``, of one workflow."""
    args = {"workflow_id": workflow_id, "since": since, "page": limit}
    return _page(await fetch_all(conn, queries["read_workflow_log"], args), since)


def _page(rows: Sequence[dict[str, Any]], since: Cursor) -> list[Event]:
    pruned_to = Cursor(rows[0]["pruned_to"])
    if since < pruned_to:
        raise CursorExpiredError(since, pruned_to)
    return [_event(row) for row in rows if row["cursor"] is not None]


def _event(row: dict[str, Any]) -> Event:
    if row["position"] is None:
        return WorkflowFinished(
            workflow_id=WorkflowId(row["workflow_id"]),
            workflow_label=row["workflow_label"] or "",
            outcome=WorkflowState(row["state"]),
            failed_steps=tuple(row["failed_steps"]),
            generation=row["generation"],
            timestamp=row["at"].astimezone(UTC),
            number=row["number"],
            cursor=Cursor(row["cursor"]),
        )
    return StepUpdated(
        workflow_id=WorkflowId(row["workflow_id"]),
        workflow_label=row["workflow_label"] or "",
        step_name=row["step_name"] or "",
        worker=row["worker"],
        change=StepChange(row["change"]),
        state=StepState(row["state"]),
        job_id=None if row["job_id"] is None else JobId(row["job_id"]),
        attempt=row["attempt"] or 0,
        has_result=row["has_result"],
        error=row["error"],
        timestamp=row["at"].astimezone(UTC),
        number=row["number"],
        cursor=Cursor(row["cursor"]),
    )
