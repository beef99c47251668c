"""One subscription: its place in the log, and a bounded buffer of live events.

Its three numbers obey subscription/S1 to S3 (docs/design/rules.md).
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Self, cast

import psycopg

from ..database.sqlstates import Trouble, find_trouble
from ..privacy.logs import find_logger
from .topics import AnyEvent, Topic
from .types import Cursor

logger: Final = find_logger(__name__)

BUFFER: Final = 1000
"""Events that wait for one subscriber; further ones are read from the log later."""

PAGE: Final = 500
"""Events a subscriber reads at a time when it reads the log by itself."""

_RETRY_AFTER: Final = 1.0
"""Seconds between two tries to read while the database is away."""

type ReadOn = Callable[[Topic, Cursor, int], Awaitable[tuple[Sequence[AnyEvent], Cursor]]]


class Subscription[E: AnyEvent]:
    """The events of one topic, oldest first, without an end: ``async for event in subscription``.

    Made by ``Events.subscribe`` and its like. One task at a time may iterate.

    A subscriber that is slower than the events still gets each of them: they are read from the log.

    Args:
        read_on: Reads a page of the log, and the cursor up to which it is complete.
        feed_cursor: The cursor up to which the feed has offered events.
        topic: Which events.
        since: The cursor to start after.
        missed: The topic's events from there to the feed's cursor; None where they have to be read from the log.
    """

    def __init__(
        self,
        read_on: ReadOn,
        feed_cursor: Callable[[], Cursor],
        topic: Topic,
        since: Cursor,
        missed: Sequence[AnyEvent] | None,
    ) -> None:
        self.topic: Topic = topic
        self._read_on = read_on
        self._feed_cursor = feed_cursor
        self._cursor = since
        self._page: deque[E] = deque()
        self._page_to = since
        self._buffer: deque[E] = deque()
        self._live_from: float = feed_cursor() if missed is None else since
        self._accepting = True
        self._offered = asyncio.Event()
        self._closed = asyncio.Event()
        self._turn: Callable[[], Awaitable[None]] | None = None
        if missed:
            self.offer(missed)

    @property
    def cursor(self) -> Cursor:
        """Every event of the topic up to this cursor was delivered: pass it as ``since`` to go on after it."""
        return self._cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """The next event; waits for it, however long the database is away.

        Raises:
            CursorExpiredError: Retention has removed events that were not given yet.
            StopAsyncIteration: The subscription has ended.
        """
        while not self._closed.is_set():
            event = self._find_next()
            if event is not None:
                self._cursor = event.cursor
                return event
            if self._cursor < self._live_from:
                await self._catch_up()
            else:
                self._cursor = max(self._cursor, self._feed_cursor())
                self._offered.clear()
                await self._offered.wait()
        raise StopAsyncIteration

    def offer(self, events: Sequence[AnyEvent]) -> None:
        """Take live events, in order; those that do not fit are read from the log later."""
        if not self._accepting:
            return
        room = BUFFER - len(self._buffer)
        self._accepting = len(events) <= room
        self._buffer.extend(cast("Sequence[E]", events if self._accepting else events[:room]))
        self._offered.set()

    def lose(self) -> None:
        """The feed has missed events: read them from the log."""
        self._accepting = False
        self._offered.set()

    def pace(self, turn: Callable[[], Awaitable[None]]) -> None:
        """Wait for a turn before each page that is read from the log; live events need none."""
        self._turn = turn

    def unsubscribe(self) -> None:
        """End the iteration, wherever it waits, as leaving the context does. Repeating it changes nothing."""
        self.close()

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()
        self._offered.set()

    def _find_next(self) -> E | None:
        if self._page:
            return self._page.popleft()
        self._cursor = max(self._cursor, self._page_to)
        while self._buffer and self._cursor >= self._live_from:
            event = self._buffer.popleft()
            if event.cursor > self._cursor:
                return event
        if not self._buffer and not self._accepting:
            self._live_from = math.inf
        return None

    async def _catch_up(self) -> None:
        if self._turn is not None:
            await self._turn()
        try:
            events, self._page_to = await self._read_on(self.topic, self._cursor, PAGE)
        except (psycopg.Error, OSError) as error:
            if find_trouble(error) is Trouble.REFUSED:
                raise
            logger.warning("reading the event log failed, trying again: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), _RETRY_AFTER)
            return
        self._page.extend(cast("Sequence[E]", events))
        if self._live_from == math.inf and self._page_to > self._feed_cursor() - PAGE:
            self._buffer.clear()
            self._live_from = self._feed_cursor()
            self._accepting = True
