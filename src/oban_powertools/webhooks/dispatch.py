"""Write deliveries for new events of each endpoint, and make sure that a job sends them.

Part of the sweep of every node. The rule that must never break: a cursor moves in the transaction that writes the
deliveries of the events before it (webhooks/W1).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.types.json import Jsonb

from ..database import Session
from ..errors import CursorExpiredError
from ..events.reads import Bounds, Log
from ..events.topics import AnyEvent
from ..events.types import Cursor, StepUpdated, WorkflowFinished
from ..privacy.logs import find_logger
from .messages import WORKFLOW_TYPES, event_message, missed_message, type_of
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
) -> tuple[_Batch, dict[int, tuple[Cursor, int]]]:
    """The deliveries to write, and endpoint -> its new cursor and how many events it missed."""
    batch = _Batch()
    moved: dict[int, tuple[Cursor, int]] = {}
    by_cursor: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for endpoint in behind:
        by_cursor[endpoint["cursor"]].append(endpoint)
    for since, endpoints in by_cursor.items():
        try:
            events, reached = await log.page(session, bounds, None, Cursor(since), PAGE)
        except CursorExpiredError as error:
            for endpoint in endpoints:
                moved[endpoint["id"]] = _jump(batch, endpoint["id"], error, source)
            continue
        await _match(session, batch, events, endpoints, source)
        moved |= {endpoint["id"]: (reached, 0) for endpoint in endpoints}
    return batch, moved


def _jump(batch: _Batch, endpoint_id: int, error: CursorExpiredError, source: str) -> tuple[Cursor, int]:
    """Continue at the oldest existing event, and write a message about the events that the receiver misses."""
    missed = error.oldest - error.since
    logger.error(
        "webhook %s missed up to %s events: they were removed from the log before they could be sent",
        endpoint_id,
        missed,
    )
    oldest = Cursor(error.oldest)
    batch.add(endpoint_id, oldest, missed_message(source, after=Cursor(error.since), up_to=oldest))
    return oldest, missed


async def _match(
    session: Session,
    batch: _Batch,
    events: Sequence[AnyEvent],
    endpoints: Sequence[dict[str, Any]],
    source: str,
) -> None:
    names: dict[int, str] = {}
    if any(endpoint["workflow_name"] is not None for endpoint in endpoints):
        ids = list({event.workflow_id for event in events if isinstance(event, StepUpdated | WorkflowFinished)})
        names = {row["id"]: row["name"] for row in await session.all("name_workflows", {"ids": ids})}
    for endpoint in endpoints:
        types, name = frozenset(endpoint["types"] or WORKFLOW_TYPES), endpoint["workflow_name"]
        for event in events:
            if type_of(event) in types and (name is None or _name_of(event, names) == name):
                batch.add(endpoint["id"], event.cursor, event_message(event, source))


def _name_of(event: AnyEvent, names: Mapping[int, str]) -> str | None:
    """The name of an event's workflow; None of what is no workflow's."""
    return names.get(event.workflow_id) if isinstance(event, StepUpdated | WorkflowFinished) else None


async def _store(session: Session, batch: _Batch, moved: dict[int, tuple[Cursor, int]]) -> None:
    if batch.cursors:
        args = {"endpoint_ids": batch.endpoint_ids, "cursors": batch.cursors, "messages": batch.messages}
        await session.run("insert_webhook_deliveries", args)
    if moved:
        cursors, missed = zip(*moved.values(), strict=True)
        args = {"ids": list(moved), "cursors": list(cursors), "missed": list(missed)}
        await session.run("move_webhooks", args)


async def _insert_jobs(session: Session, queue: str) -> None:
    for endpoint in await session.all("idle_webhooks", {"lost_after": LOST_AFTER}):
        args = {"id": endpoint["id"], "queue": queue, "worker": WORKER}
        await session.one("insert_webhook_job", args)
