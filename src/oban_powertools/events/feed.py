"""The feed: reads the log once per process and offers each event to every subscription.

It runs while there is a subscription. The rules that must never break: it offers every event after its cursor, in
order; and no subscriber can hold it up.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from itertools import takewhile
from typing import Any, Final

from ..errors import AnotherLoopError, CursorExpiredError
from ..every import Every
from ..privacy.logs import find_logger
from .listener import SPACING, Listener
from .reads import Bounds, Log
from .subscription import Subscription
from .topics import WORKFLOWS, AnyEvent, Topic, topic_of
from .types import Cursor

logger: Final = find_logger(__name__)

_PAGE: Final = 2000
"""Events read at a time."""

_CHUNK: Final = 250
"""Events offered before the subscribers' tasks get their turn."""

_RECENT: Final = 5000
"""Recent events kept in memory for subscriptions that start a moment back, as all do after a lost connection."""

_READERS: Final = 2
"""Subscriptions that may read the log themselves at the same time."""

_STARTS_EVERY: Final = timedelta(milliseconds=50)
"""Between two rounds that number the starts of jobs. Most jobs end sooner, and their end numbers the start."""

_PLACED_AT_ONCE: Final = 10_000
"""place_events_v1 places this many batches, of one event or more; there may be more to place."""


class Feed:
    """Reads the log once per process and offers each event to every subscription.

    Args:
        make_listener: Makes a listener that calls its argument when there may be new events; None to only poll.
        poll_every: How often to look without a notification.
        poll_alone_every: The same, while notifications do not arrive.
    """

    def __init__(
        self,
        log: Log,
        make_listener: Callable[[Callable[[], None]], Listener] | None,
        *,
        poll_every: timedelta,
        poll_alone_every: timedelta,
    ) -> None:
        self._log = log
        self._listener = make_listener(self._look) if make_listener else None
        self._poll_every = poll_every.total_seconds()
        self._poll_alone_every = poll_alone_every.total_seconds()
        self._members: set[object] = set()
        self._subscriptions: dict[Topic, set[Subscription[Any]]] = {}
        self._lookers: list[asyncio.Future[Bounds]] = []
        self._wake = asyncio.Event()
        self._reading = asyncio.Semaphore(_READERS)
        self._running = False
        self._runs: set[asyncio.Task[None]] = set()
        self._cursor: Cursor | None = None
        self._recent: deque[AnyEvent] = deque(maxlen=_RECENT)
        self._recent_from: Cursor | None = None
        self._starts = Every(_STARTS_EVERY)
        self._failing = False

    @asynccontextmanager
    async def subscribed(self, topic: Topic, since: Cursor | None) -> AsyncGenerator[Subscription[Any]]:
        """A subscription from a cursor on, or from now on.

        Raises:
            CursorExpiredError: The cursor is not in the log.
            AnotherLoopError: The feed runs in another event loop.
        """
        if any(run.get_loop() is not asyncio.get_running_loop() for run in self._runs):
            raise AnotherLoopError
        member = object()
        self._members.add(member)
        try:
            bounds = await self._look_now()
            if since is not None:
                bounds.check(since)
            with self._subscription(topic, since) as subscription:
                yield subscription
        finally:
            self._members.discard(member)
            self._wake.set()

    async def stop(self) -> None:
        """End every subscription, then the feed."""
        for subscription in self._everybody():
            subscription.close()
        for looker in self._lookers:
            looker.cancel()
        self._lookers.clear()
        self._members.clear()
        self._wake.set()
        if self._runs:
            await asyncio.wait(self._runs)

    @contextmanager
    def _subscription(self, topic: Topic, since: Cursor | None) -> Generator[Subscription[Any]]:
        begin = self._offered_to() if since is None else since
        subscription: Subscription[Any] = Subscription(
            self._read_on, self._offered_to, topic, begin, self._recent_since(topic, begin)
        )
        alike = self._subscriptions.setdefault(topic, set())
        alike.add(subscription)
        try:
            yield subscription
        finally:
            subscription.close()
            alike.discard(subscription)
            if not alike:
                self._subscriptions.pop(topic, None)

    def _recent_since(self, topic: Topic, since: Cursor) -> list[AnyEvent] | None:
        """The topic's events between this cursor and the feed's; None when they are not in memory."""
        first = self._recent[0].cursor - 1 if len(self._recent) == _RECENT else self._recent_from
        if first is None or since < first:
            return None
        later = takewhile(lambda event: event.cursor > since, reversed(self._recent))
        return [event for event in later if event in topic][::-1]

    def _everybody(self) -> list[Subscription[Any]]:
        return [subscription for alike in self._subscriptions.values() for subscription in alike]

    def _offered_to(self) -> Cursor:
        assert self._cursor is not None
        return self._cursor

    async def _read_on(self, topic: Topic, since: Cursor, limit: int) -> tuple[Sequence[AnyEvent], Cursor]:
        async with self._reading:
            return await self._log.read_on(topic, since, limit)

    def _look(self) -> None:
        self._wake.set()

    async def _look_now(self) -> Bounds:
        """Wait for a look at the log that begins after this call."""
        looker = asyncio.get_running_loop().create_future()
        self._lookers.append(looker)
        if not self._running:
            self._running = True
            self._wake, self._reading, self._cursor = asyncio.Event(), asyncio.Semaphore(_READERS), None
            self._forget(None)
            run = asyncio.create_task(self._run(), name="powertools-events")
            self._runs.add(run)
            run.add_done_callback(self._runs.discard)
        self._wake.set()
        return await looker

    async def _run(self) -> None:
        listening = asyncio.create_task(self._listener.run(), name="powertools-listener") if self._listener else None
        try:
            await self._loop()
        finally:
            # Before the first await: a subscription that comes from now on starts the next run.
            self._running = False
            if listening is not None:
                listening.cancel()
                await asyncio.wait([listening])

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        while self._members:
            self._wake.clear()
            began_at = loop.time()
            with_starts = self._starts.take()
            await self._look_once(with_starts=with_starts)
            pause = self._pause() if with_starts else self._starts.due_in
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)
            await asyncio.sleep(max(0.0, began_at + SPACING - loop.time()))

    def _pause(self) -> float:
        if self._failing or (self._listener and self._listener.working):
            return self._poll_every
        return self._poll_alone_every

    async def _look_once(self, *, with_starts: bool) -> None:
        lookers, self._lookers = self._lookers, []
        try:
            bounds = await self._advance(with_starts=with_starts)
        except Exception as error:
            if not self._failing and not isinstance(error, AnotherLoopError):
                logger.warning("reading the event log failed, trying again: %s", error, exc_info=True)
            self._failing = True
            for looker in lookers:
                if not looker.done():
                    looker.set_exception(error)
            return
        self._failing = False
        for looker in lookers:
            if not looker.done():
                looker.set_result(bounds)

    async def _advance(self, *, with_starts: bool) -> Bounds:
        while True:
            async with self._log.placed(with_starts=with_starts) as (session, bounds):
                since = bounds.head if self._cursor is None else self._cursor
                try:
                    bounds.check(since)
                    if self._cursor is None:
                        self._forget(since)
                    self._cursor = since
                    while self._cursor < bounds.head:
                        page, to = await self._log.page(session, bounds, None, self._cursor, _PAGE)
                        await self._hand_out(page)
                        self._cursor = to
                except CursorExpiredError:
                    self._cursor = bounds.head
                    self._forget(bounds.head)
                    for subscription in self._everybody():
                        subscription.lose()
            if bounds.head - since < _PLACED_AT_ONCE:
                return bounds

    def _forget(self, up_to: Cursor | None) -> None:
        self._recent.clear()
        self._recent_from = up_to

    async def _hand_out(self, page: Sequence[AnyEvent]) -> None:
        for start in range(0, len(page), _CHUNK):
            chunk = page[start : start + _CHUNK]
            self._recent.extend(chunk)
            if len(self._subscriptions) > (WORKFLOWS in self._subscriptions):
                self._offer_by_topic(chunk)
            elif alike := self._subscriptions.get(WORKFLOWS):
                _offer([event for event in chunk if event in WORKFLOWS], alike)
            self._cursor = chunk[-1].cursor
            await asyncio.sleep(0)

    def _offer_by_topic(self, chunk: Sequence[AnyEvent]) -> None:
        by_topic: dict[Topic, list[AnyEvent]] = defaultdict(list)
        for event in chunk:
            narrow = topic_of(event)
            for topic in {narrow, Topic(kind=narrow.kind)}:
                if topic in self._subscriptions:
                    by_topic[topic].append(event)
        for topic, events in by_topic.items():
            _offer(events, self._subscriptions[topic])


def _offer(events: Sequence[AnyEvent], alike: Iterable[Subscription[Any]]) -> None:
    for subscription in alike:
        subscription.offer(events)
