"""Read incidents. The rule that must never break: reading changes nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...database import Connection, Queries, fetch_all, fetch_one
from ...display import DisplayPolicy, Kind
from ...errors import IncidentNotFoundError
from .records import Incident, IncidentClass, IncidentId, IncidentState, IncidentSubstatus, TimelineEntry

MOST: Final = 1000
"""Incidents of one page, and entries of one kind in a timeline."""


async def list_incidents(
    conn: Connection,
    queries: Queries,
    display: DisplayPolicy,
    *,
    states: Sequence[str],
    incident_class: str | None = None,
    before: int | None = None,
    limit: int = MOST,
) -> list[Incident]:
    """One page, the last opened first."""
    args = {"states": list(states), "class": incident_class, "before": before, "page": min(limit, MOST)}
    return [read(row, display) for row in await fetch_all(conn, queries["list_incidents"], args)]


async def get_row(conn: Connection, queries: Queries, which: int | str) -> dict[str, Any]:
    """The row of an incident, by id or fingerprint.

    Raises:
        IncidentNotFoundError: There is none.
    """
    args = {"id": which, "fingerprint": None} if isinstance(which, int) else {"id": None, "fingerprint": which}
    row = await fetch_one(conn, queries["get_incident"], args)
    if row is None:
        raise IncidentNotFoundError(str(which))
    return row


async def get_incident(conn: Connection, queries: Queries, display: DisplayPolicy, which: int | str) -> Incident:
    """An incident with its timeline.

    Raises:
        IncidentNotFoundError: There is none.
    """
    row = await get_row(conn, queries, which)
    entries = await fetch_all(conn, queries["incident_timeline"], {"id": row["id"], "page": MOST})
    timeline = tuple(
        TimelineEntry(**{**entry, "detail": display.render(Kind.DETAILS, entry["detail"])}) for entry in entries
    )
    return read(row, display, timeline)


def read(row: Mapping[str, Any], display: DisplayPolicy, timeline: tuple[TimelineEntry, ...] = ()) -> Incident:
    """The incident of a row."""
    made: dict[str, Any] = {
        "id": IncidentId(row["id"]),
        "incident_class": IncidentClass(row["class"]),
        "state": IncidentState(row["state"]),
        "substatus": IncidentSubstatus(row["substatus"]),
        "title": display.render(Kind.DETAILS, row["title"]),
        "evidence": display.render(Kind.DETAILS, row["evidence"]),
        "timeline": timeline,
    }
    return Incident(**{key: row[key] for key in row if key not in ("class", "holds_until")} | made)
