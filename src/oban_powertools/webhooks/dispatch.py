"""Write deliveries for new events of each endpoint, and make sure that a job sends them.

Part of the sweep of every node. The rule that must never break: a cursor moves in the transaction that writes the
deliveries of the events before it (webhooks/W1).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Jsonb

from ..database import Session, record
from ..errors import CursorExpiredError
from ..events.notices import IncidentUpdated
from ..events.reads import Bounds, Log
from ..events.topics import AnyEvent
from ..events.types import Cursor, StepUpdated, WorkflowFinished
from ..privacy.logs import find_logger
from ..wire import to_json
from . import rendering
from .alerts import Storm, alerts_of
from .cloudevents import WORKFLOW_TYPES, event_message, missed_message, type_of
from .formats import FORMATS, Format
from .rendering import AlertSource, alert_message
from .schedule import LOST_AFTER

logger: Final = find_logger(__name__)

PAGE: Final = 1000
"""Events read at a time."""

PAGES: Final = 10
"""Pages of one sweep at most, so that the sweep's other parts get their turn."""

ROOM: Final = 10_000
"""Pending deliveries of one endpoint. Beyond it events wait in the log, until retention removes them."""

WORKER: Final = "oban_powertools.webhooks.worker.DeliverWebhooks"


@dataclass(slots=True)
class _Batch:
    """The rows that one transaction writes."""

    endpoint_ids: list[int] = field(default_factory=list[int])
    cursors: list[int] = field(default_factory=list[int])
    messages: list[Jsonb] = field(default_factory=list[Jsonb])

    def add(self, endpoint_id: int, cursor: int, message: dict[str, Any]) -> None:
        self.endpoint_ids.append(endpoint_id)
        self.cursors.append(cursor)
        self.messages.append(Jsonb(message))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moved:
    """How far an endpoint has come."""

    cursor: Cursor
    """The newest event that was looked at."""

    missed: int = 0
    """How many events were gone."""

    storms: Mapping[str, Storm] | None = None
    """Its storms from now on; None leaves them."""

    seen_until: datetime | None = None
    """When the newest of these events happened; None for now, at the head of the log."""


async def dispatch(log: Log, *, queue: str, source: str) -> int | None:
    """Write deliveries up to the newest event for every enabled endpoint, as far as one sweep goes.

    Args:
        queue: Where the jobs go.
        source: The CloudEvents attribute.

    Returns:
        How many deliveries were written; None when another node does it.

    Locks: the part's row, the endpoints by id; each page is a transaction.
    """
    written = 0
    for _ in range(PAGES):
        async with log.placed() as (session, bounds), session.transaction():
            turn = await session.one("lock_webhooks")
            if turn is None or not turn["mine"]:
                return written or None
            behind = await session.all("behind_webhooks", {"head": bounds.head, "room": ROOM})
            batch, moved = await _collect(session, log, bounds, behind, source)
            await _store(session, batch, moved)
            await _insert_jobs(session, queue)
        written += len(batch.cursors)
        if not behind:
            break
    return written


async def _collect(
    session: Session, log: Log, bounds: Bounds, behind: Sequence[dict[str, Any]], source: str
) -> tuple[_Batch, dict[int, _Moved]]:
    """The deliveries to write, and endpoint -> how far it has come."""
    batch = _Batch()
    moved: dict[int, _Moved] = {}
    alike: dict[tuple[int, bool], list[dict[str, Any]]] = defaultdict(list)
    for endpoint in behind:
        alike[endpoint["cursor"], endpoint["format"] == Format.CLOUDEVENTS].append(endpoint)
    for (since, plain), endpoints in alike.items():
        try:
            page = PAGE if plain else await _whole_batches(session, bounds, since)
            events, reached = await log.page(session, bounds, None, Cursor(since), page)
        except CursorExpiredError as error:
            for endpoint in endpoints:
                moved[endpoint["id"]] = await _jump(session, log, batch, endpoint, error, source)
            continue
        names = await _name_workflows(session, events, endpoints)
        for endpoint in endpoints:
            mine = [event for event in events if endpoint["workflow_name"] in (None, _name_of(event, names))]
            seen_until = events[-1].timestamp if events and reached < bounds.head else None
            moved[endpoint["id"]] = replace(_tell(batch, endpoint, mine, reached, source), seen_until=seen_until)
    return batch, moved


async def _whole_batches(session: Session, bounds: Bounds, since: int) -> int:
    """How many events a page has that ends with a batch: what one look finds is told of at once."""
    row = await session.one("end_of_batch", {"at": min(since + PAGE, bounds.head)})
    assert row is not None
    return max(1, row["cursor"] - since)


async def _jump(
    session: Session, log: Log, batch: _Batch, endpoint: dict[str, Any], error: CursorExpiredError, source: str
) -> _Moved:
    """Continue at the oldest existing event: tell how many were missed, and what is over that was told as open."""
    missed = error.oldest - error.since
    logger.error(
        "webhook %s missed up to %s events: they were removed from the log before they could be sent",
        endpoint["id"],
        missed,
    )
    oldest, form = Cursor(error.oldest), Format(endpoint["format"])
    if form is Format.CLOUDEVENTS:
        message = missed_message(source, after=Cursor(error.since), up_to=oldest)
        storms = None
    else:
        ended = await log.ended_meanwhile(session, endpoint["seen_until"], Cursor(error.since), oldest)
        storms = _tell(batch, endpoint, ended, oldest, source).storms
        message = rendering.missed_message(form, missed=missed) if len(ended) < missed else None
    if message is not None:
        batch.add(endpoint["id"], oldest, message)
    return _Moved(cursor=oldest, missed=missed, storms=storms, seen_until=endpoint["seen_until"])


def _tell(batch: _Batch, endpoint: dict[str, Any], events: Sequence[AnyEvent], reached: Cursor, source: str) -> _Moved:
    """Write the deliveries of one endpoint for a page of the log."""
    form = Format(endpoint["format"])
    types = frozenset(endpoint["types"] or WORKFLOW_TYPES)
    if form is Format.CLOUDEVENTS:
        for event in events:
            if type_of(event) in types:
                batch.add(endpoint["id"], event.cursor, event_message(event, source))
        return _Moved(cursor=reached)
    storms = {name: record(Storm, row) for name, row in endpoint["storms"].items()}
    # Incidents of any change: a storm counts those that are open, also where their end is not asked for.
    wanted = [event for event in events if isinstance(event, IncidentUpdated) or type_of(event) in types]
    bundled = not FORMATS[form].is_alert
    alerts, after = alerts_of(wanted, storms, bundled=bundled)
    sender = AlertSource(name=source, console_url=endpoint["console_url"])
    for alert in alerts:
        message = alert_message(form, alert, sender) if alert.is_asked_for(types, bundled=bundled) else None
        if message is not None:
            batch.add(endpoint["id"], alert.cursor, message)
    return _Moved(cursor=reached, storms=after)


async def _name_workflows(
    session: Session, events: Sequence[AnyEvent], endpoints: Sequence[dict[str, Any]]
) -> dict[int, str]:
    """Workflow -> its name, where an endpoint asks for names."""
    if all(endpoint["workflow_name"] is None for endpoint in endpoints):
        return {}
    ids = list({event.workflow_id for event in events if isinstance(event, StepUpdated | WorkflowFinished)})
    return {row["id"]: row["name"] for row in await session.all("name_workflows", {"ids": ids})}


def _name_of(event: AnyEvent, names: Mapping[int, str]) -> str | None:
    """The name of an event's workflow; None of what is no workflow's."""
    return names.get(event.workflow_id) if isinstance(event, StepUpdated | WorkflowFinished) else None


async def _store(session: Session, batch: _Batch, moved: Mapping[int, _Moved]) -> None:
    if batch.cursors:
        args = {"endpoint_ids": batch.endpoint_ids, "cursors": batch.cursors, "messages": batch.messages}
        await session.run("insert_webhook_deliveries", args)
    if moved:
        args = {
            "ids": list(moved),
            "cursors": [one.cursor for one in moved.values()],
            "missed": [one.missed for one in moved.values()],
            "seen_untils": [one.seen_until for one in moved.values()],
            "storms": [None if one.storms is None else Jsonb(to_json(one.storms)) for one in moved.values()],
        }
        await session.run("move_webhooks", args)


async def _insert_jobs(session: Session, queue: str) -> None:
    for endpoint in await session.all("idle_webhooks", {"lost_after": LOST_AFTER}):
        args = {"id": endpoint["id"], "queue": queue, "worker": WORKER}
        await session.one("insert_webhook_job", args)
