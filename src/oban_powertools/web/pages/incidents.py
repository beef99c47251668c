"""The list of incidents: one row for each cause, a storm of one class as one row, and what may be done to some of them.

An empty list says who looked, and when.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...errors import PowertoolsError
from ...incident_classes import IncidentClass
from ...lifeline import Incident, IncidentCounts
from ...operators.authorization import Action, Target, TargetType
from ...states import IncidentStatus
from ..page import ROWS, Page, Panel, get, post
from .overview import find_storms, has_looked

MOST_CHOSEN: Final = 50
"""Incidents that can be chosen at once: a page."""


class IncidentTab(StrEnum):
    """One tab of the list."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    MUTED = "muted"
    RESOLVED = "resolved"


class Since(StrEnum):
    """How far back a list goes."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


_STATUS_OF: Final[Mapping[IncidentTab, IncidentStatus]] = {
    IncidentTab.ACTIVE: IncidentStatus.NEEDS_REVIEW,
    IncidentTab.ACKNOWLEDGED: IncidentStatus.ACKNOWLEDGED,
    IncidentTab.MUTED: IncidentStatus.MUTED,
    IncidentTab.RESOLVED: IncidentStatus.RESOLVED,
}
_LASTS: Final[Mapping[Since, timedelta]] = {
    Since.HOUR: timedelta(hours=1),
    Since.DAY: timedelta(days=1),
    Since.WEEK: timedelta(weeks=1),
}


async def list_incidents(page: Page) -> Response:
    """The list."""
    tab, kind, since = (
        page.word("state", IncidentTab) or IncidentTab.ACTIVE,
        page.word("class", IncidentClass),
        page.word("since", Since),
    )
    text, cursor = page.query("q"), page.query("cursor")
    counts, seen = await page.parts(page.calls.lifeline.count_incidents(), page.calls.lifeline.incidents_seen_ago())
    filtered = bool(kind or since or text)
    storms = {} if filtered or tab is not IncidentTab.ACTIVE else find_storms(counts)
    rows = await page.part(
        page.calls.lifeline.list_incidents(
            status=_STATUS_OF[tab],
            incident_class=kind,
            but_not=list(storms),
            text=text,
            opened_from=datetime.now(UTC) - _LASTS[since] if since else None,
            before=cursor,
            limit=ROWS + 1,
        )
    )
    incidents = rows.value or []
    return page.render(
        "incidents.html",
        title="Incidents",
        topics=("incident:all",),
        tab=tab,
        tabs=[(each, each.capitalize(), _count(counts, each)) for each in IncidentTab],
        classes=list(IncidentClass),
        kind=kind,
        since=since,
        text=text,
        filtered=filtered,
        first=cursor is None,
        counts=counts,
        seen=seen,
        is_late=bool(seen) and not has_looked(seen.value),
        storms=storms if cursor is None else {},
        rows=Panel(value=incidents[:ROWS], problem=rows.problem),
        next=incidents[ROWS - 1].id if len(incidents) > ROWS else None,
    )


async def chosen(page: Page) -> Response:
    """What may be done to the chosen incidents, each act with what it would do."""
    ids = _ids(page.request.query_params.getlist("id"))
    incidents, missing = await _read(page, ids)
    targets: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for incident in incidents:
        for repair in incident.repairs:
            if Action(repair.action).row.in_bulk:
                targets[repair.action][repair.target_id] = None
    acknowledgeable = [each for each in incidents if each.status is IncidentStatus.NEEDS_REVIEW]
    return page.render(
        "incidents_chosen.html",
        title=f"{len(incidents)} incidents" if len(incidents) != 1 else "1 incident",
        crumbs=[("Incidents", page.url("/incidents"))],
        incidents=incidents,
        missing=missing,
        repairs={Action(action): list(found) for action, found in targets.items()},
        acknowledgeable=acknowledgeable,
        acknowledge_refusal=await _acknowledge_refusal(page, acknowledgeable),
        bulk_refusal=await page.refusal(Action.PREVIEW_REPAIR, Target(type=TargetType.BULK, id="new")),
    )


async def acknowledge(page: Page) -> Response:
    """Acknowledge the chosen incidents; one that cannot be, because it is over meanwhile, keeps no other from it."""
    ids = _ids((await page.form()).texts("id"))
    done, refused = 0, None
    for incident_id in ids:
        try:
            await page.calls.lifeline.acknowledge_incident(incident_id, **page.by)
            done += 1
        except PowertoolsError as error:
            refused = error
    if refused is not None and not done:
        raise refused
    return page.redirect("/incidents", said="some-acknowledged" if refused else "all-acknowledged")


def _count(counts: Panel[IncidentCounts], tab: IncidentTab) -> str | None:
    if counts.value is None:
        return None
    numbers = {
        IncidentTab.ACTIVE: counts.value.needs_review,
        IncidentTab.ACKNOWLEDGED: counts.value.acknowledged,
        IncidentTab.MUTED: counts.value.muted,
        IncidentTab.RESOLVED: counts.value.resolved,
    }
    return "10,000+" if numbers[tab] >= 10_000 else f"{numbers[tab]:,}"


def _ids(texts: Sequence[str]) -> list[str]:
    """The ids of chosen incidents, each once.

    Raises:
        HTTPException: 400: none is chosen, or more than a page.
    """
    ids = list(dict.fromkeys(text for text in texts if text))
    if not 0 < len(ids) <= MOST_CHOSEN:
        raise HTTPException(400, f"Choose 1 to {MOST_CHOSEN} incidents, with the boxes of the list.")
    return ids


async def _read(page: Page, ids: Sequence[str]) -> tuple[list[Incident], list[str]]:
    """The incidents, and the ids of those that are not there."""
    found: list[Incident] = []
    missing: list[str] = []
    for incident_id in ids:
        part: Panel[Any] = await page.part(page.calls.lifeline.get_incident(incident_id))
        if part.value is None:
            missing.append(incident_id)
        else:
            found.append(part.value)
    return found, missing


async def _acknowledge_refusal(page: Page, incidents: Sequence[Incident]) -> str | None:
    if not incidents:
        return "All of them are acknowledged, muted or over."
    target = Target(type=TargetType.INCIDENT, id=str(incidents[0].id))
    return await page.refusal(Action.INCIDENT_ACKNOWLEDGE, target)


ROUTES: Final = (
    get("/incidents", list_incidents),
    get("/incidents/chosen", chosen),
    post("/incidents/acknowledge", acknowledge),
)

SAYINGS: Final = {
    "all-acknowledged": "They are acknowledged: others see that somebody has them.",
    "some-acknowledged": "Those that were still open are acknowledged; the others were over.",
}
