"""Read the log: pages of events, in the order of their cursors.

Not for waiting (``feed``). The rule that must never break: a page has no gap. When events after the requested cursor
were removed, the page says so.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..database import Row, Session, record
from ..errors import CursorExpiredError
from ..operators.services import Services
from ..privacy.apply_display import apply_display
from ..privacy.display import DisplayPolicy, Kind
from ..states import WorkflowId
from .notices import IncidentUpdated, notice_of
from .topics import WORKFLOWS, AnyEvent, Topic, TopicKind
from .types import Cursor, StepUpdated, WorkflowFinished


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where the log begins and ends."""

    pruned_to: Cursor
    """The oldest cursor to read after: retention has removed the events up to it."""

    head: Cursor
    """The cursor of the newest event."""

    def check(self, since: Cursor) -> None:
        """Refuse a cursor that is not in the log.

        Raises:
            CursorExpiredError: As named.
        """
        if not self.pruned_to <= since <= self.head:
            raise CursorExpiredError(since, self.pruned_to, self.head)


async def place_events(session: Session, *, with_starts: bool = True) -> Bounds:
    """Give committed events their place in the log.

    Args:
        session: In autocommit; a longer transaction would keep all others from placing.
        with_starts: Also number the starts of jobs, which a fetch leaves unnumbered.

    Locks: as place_events_v1.
    """
    row = await session.one("place_events", {"with_starts": with_starts})
    assert row is not None
    return _bounds(row)


async def read_log(session: Session, since: Cursor, limit: int) -> list[AnyEvent]:
    """The placed events after a cursor, oldest first.

    Raises:
        CursorExpiredError: The cursor is not in the log.
    """
    return _page(await session.all("read_log", {"since": since, "page": limit}), since)


async def read_topic_log(session: Session, topic: Topic, since: Cursor, limit: int) -> list[AnyEvent]:
    """As ``read_log``, of one workflow, or of a topic of notices."""
    args: dict[str, Any] = {"since": since, "page": limit}
    if topic.kind is TopicKind.WORKFLOW:
        args["workflow_id"] = int(topic.subject or 0)
        return _page(await session.all("read_workflow_log", args), since)
    args |= {"topic": topic.kind, "subject_id": topic.subject}
    return _page(await session.all("read_notices", args), since)


class Log:
    """The log of one database."""

    def __init__(self, services: Services) -> None:
        self._connect = services.connect
        self._display: DisplayPolicy = services.display

    @asynccontextmanager
    async def placed(self, *, with_starts: bool = True) -> AsyncGenerator[tuple[Session, Bounds]]:
        """A session to read with, after committed events were placed; ``with_starts`` as in ``place_events``."""
        async with self._connect() as session:
            yield session, await place_events(session, with_starts=with_starts)

    async def page(
        self, session: Session, bounds: Bounds, topic: Topic | None, since: Cursor, limit: int
    ) -> tuple[Sequence[AnyEvent], Cursor]:
        """At most ``limit`` events after a cursor, and the cursor up to which they are complete.

        Args:
            bounds: As read before.
            topic: Only of this topic; None for the whole log.

        Raises:
            CursorExpiredError: The cursor is not in the log.
        """
        if topic is None or topic == WORKFLOWS:
            # A range of cursors, also where events of it are gone.
            events = await read_log(session, since, limit)
            reached = max(min(since + limit, bounds.head), events[-1].cursor if events else since)
            if topic is not None:
                events = [event for event in events if event in topic]
        else:
            events = await read_topic_log(session, topic, since, limit)
            reached = bounds.head if len(events) < limit else since
        reached = Cursor(max(reached, events[-1].cursor if events else since))
        return [self._display_event(event) for event in events], reached

    async def read_on(self, topic: Topic, since: Cursor, limit: int) -> tuple[Sequence[AnyEvent], Cursor]:
        """As ``page``, of placed events; empty only at the head of the log."""
        async with self._connect() as session:
            row = await session.one("log_bounds")
            assert row is not None
            return await self._read_on(session, _bounds(row), topic, since, limit)

    async def read_committed(self, topic: Topic, since: Cursor, limit: int) -> Sequence[AnyEvent]:
        """As ``read_on``, after committed events were placed."""
        async with self.placed() as (session, bounds):
            events, _ = await self._read_on(session, bounds, topic, since, limit)
            return events

    async def _read_on(
        self, session: Session, bounds: Bounds, topic: Topic, since: Cursor, limit: int
    ) -> tuple[Sequence[AnyEvent], Cursor]:
        while True:
            events, since = await self.page(session, bounds, topic, since, limit)
            if events or since >= bounds.head:
                return events, since

    async def ended_meanwhile(
        self, session: Session, seen_until: datetime, since: Cursor, oldest: Cursor
    ) -> Sequence[IncidentUpdated]:
        """The ends of incidents that were open at an instant, and whose events were removed from the log.

        Args:
            since: The cursor that was reached then.
            oldest: The oldest cursor to read after; each event gets one of what was removed, this one only where
                nothing else was.

        Returns:
            In the order in which they ended.
        """
        args = {"since": seen_until, "oldest": oldest, "page": oldest - since}
        rows = await session.all("incidents_ended_meanwhile", args)
        last = oldest if len(rows) == oldest - since else oldest - 1
        return [
            replace(event, title=self._display.render_text(Kind.DETAILS, event.title))
            for event in (record(IncidentUpdated, row, cursor=Cursor(last - place)) for place, row in enumerate(rows))
        ][::-1]

    async def find(self, workflow_id: WorkflowId, number: int) -> StepUpdated:
        """The committed change of a step with this number; waits until it is placed."""
        while True:
            async with self.placed() as (session, _):
                row = await session.one("cursor_of", {"workflow_id": workflow_id, "number": number})
                if row is not None:
                    [event] = await read_log(session, Cursor(row["cursor"] - 1), 1)
                    assert isinstance(event, StepUpdated)
                    return apply_display(self._display, event)

    def _display_event(self, event: AnyEvent) -> AnyEvent:
        # Most events have nothing to hide, and there are thousands a second.
        match event:
            case WorkflowFinished():
                return event
            case StepUpdated():
                return event if event.error is None else apply_display(self._display, event)
            case IncidentUpdated():
                return replace(event, title=self._display.render_text(Kind.DETAILS, event.title))
            case _:
                return apply_display(self._display, event)


def _bounds(row: Row) -> Bounds:
    return record(Bounds, row)


def _page(rows: Sequence[Row], since: Cursor) -> list[AnyEvent]:
    _bounds(rows[0]).check(since)
    return [_event(row) for row in rows if row["cursor"] is not None]


def _event(row: Row) -> AnyEvent:
    if row.get("kind") is not None:
        return notice_of(row)
    return record(WorkflowFinished if row["position"] is None else StepUpdated, row)
