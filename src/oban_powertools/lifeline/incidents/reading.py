"""Read incidents. Reading changes nothing."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, cast

from ...arguments import as_id, as_key
from ...database import Row, Session, record
from ...errors import IncidentNotFoundError
from ...incident_classes import IncidentRow, find_row
from ...privacy.display import DisplayPolicy, Kind
from ...states import IncidentState
from ...times import instant
from .diagnosing import diagnose
from .records import Incident, IncidentCounts, TimelineEntry
from .suggesting import OF_A_LIST, OF_ONE, suggest

MOST_COUNTED: Final = 10_000
"""Where a number of incidents ends."""

MOST: Final = 1000
"""Incidents of one page, and entries of one kind in a timeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenIncidents:
    """Which incidents are asked for; None of a field asks for all."""

    states: Sequence[str]
    """In one of these states."""

    status: str | None = None
    """With this word."""

    incident_class: str | None = None
    """Of this class."""

    but_not: Sequence[str] = ()
    """Of none of these classes."""

    text: str | None = None
    """With this in the fingerprint, the subject or the assignee."""

    opened_from: datetime | None = None
    """Opened from this instant on."""


async def list_incidents(
    session: Session,
    display: DisplayPolicy,
    chosen: ChosenIncidents,
    *,
    before: int | None = None,
    limit: int = MOST,
) -> list[Incident]:
    """One page, the last opened first, each with the repairs that are legal now."""
    args = {
        "states": list(chosen.states),
        "status": chosen.status,
        "class": chosen.incident_class,
        "but_not": list(chosen.but_not),
        "text": chosen.text,
        "opened_from": chosen.opened_from,
        "before": before,
        "page": min(limit, MOST),
    }
    incidents = [read(row, display) for row in await session.all("list_incidents", args)]
    return await suggest(session, incidents, OF_A_LIST)


async def count_incidents(session: Session) -> IncidentCounts:
    """How many there are."""
    row = await session.one("incident_counts", {"most": MOST_COUNTED})
    assert row is not None
    return record(IncidentCounts, row)


async def get_row(session: Session, which: int | str) -> dict[str, Any]:
    """The row of an incident, by id, also as text, or fingerprint.

    Raises:
        InvalidArgumentError: It is neither.
        IncidentNotFoundError: There is none.
    """
    numbered = not isinstance(which, str) or (which.isascii() and which.isdigit())
    args = {
        "id": as_id("incident", which) if numbered else None,
        "fingerprint": None if numbered else as_key("incident", which),
    }
    row = await session.one("get_incident", args)
    if row is None:
        raise IncidentNotFoundError(str(which))
    return row


async def get_incident(session: Session, display: DisplayPolicy, which: int | str) -> Incident:
    """An incident with its timeline, and with the repairs that are legal now.

    Raises:
        IncidentNotFoundError: There is none.
    """
    row = await get_row(session, which)
    entries = await session.all("incident_timeline", {"id": row["id"], "page": MOST})
    timeline = tuple(
        record(TimelineEntry, entry, detail=display.render(Kind.DETAILS, entry["detail"])) for entry in entries
    )
    [incident] = await suggest(session, [read(row, display, timeline)], OF_ONE)
    return replace(incident, diagnosis=diagnose(incident, timeline))


def read(row: Row, display: DisplayPolicy, timeline: tuple[TimelineEntry, ...] = ()) -> Incident:
    """The incident of a row."""
    evidence = display.render(Kind.DETAILS, row["evidence"])
    title = display.render(Kind.DETAILS, row["title"])
    return record(Incident, row, title=title, evidence=evidence, timeline=timeline, **_help(row, evidence))


def _help(row: Row, evidence: object) -> dict[str, Any]:
    """What to look at first, and the commands that help where no repair does."""
    incident_class = find_row(row["class"])
    if incident_class is None:
        return {}
    values: dict[str, str] = {}
    if row["state"] != IncidentState.RESOLVED and isinstance(evidence, Mapping):
        told = cast("Mapping[str, object]", evidence)
        values = {name: shlex.quote(str(value)) for name, value in told.items() if type(value) in (str, int)}
        if isinstance(queues := told.get("queues"), list | tuple):
            # Of a process that worked on several: each gets its own limit in the command that follows.
            values["producer_scope"] = ":10,".join(
                shlex.quote(str(queue)) for queue in cast("Sequence[object]", queues)
            )
    commands = (_fill(command, values) for command in incident_class.helps)
    return {
        "advice": "" if _nothing_left(row) else incident_class.advice,
        "commands": tuple(filter(None, commands)),
        "kept_open": _say_kept_open(row, incident_class),
    }


def _nothing_left(row: Row) -> bool:
    """Whether it stays open though nothing that it counted is as it was."""
    return row["state"] != IncidentState.RESOLVED and row["holds_until"] is not None and not row["count"]


def _say_kept_open(row: Row, incident_class: IncidentRow) -> str:
    """What keeps it open: that what ends it has not been seen, and its time, where it has one."""
    if row["state"] == IncidentState.RESOLVED:
        return ""
    sentence = f"open until {incident_class.over_because}"
    if row["holds_until"] is None:
        return sentence
    sentence = f"{sentence}: {instant(row['holds_until'])} at the earliest"
    return f"nothing of it is left to repair; {sentence}, if nothing more comes" if _nothing_left(row) else sentence


def _fill(command: str, values: Mapping[str, str]) -> str | None:
    """The command with these words, quoted for a shell; None when one is missing."""
    try:
        return command.format_map(values)
    except KeyError:
        return None
