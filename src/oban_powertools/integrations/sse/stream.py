"""Write one open stream: its events, and its end.

The rule that must never break: a message's id is the cursor of the last event that it covers, so a client that
reconnects with it misses nothing.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import anyio
import orjson
from sse_starlette import ServerSentEvent

from ...errors import CursorExpiredError
from ...events.subscription import Subscription
from ...events.topics import AnyEvent
from ...events.types import Cursor
from .limits import StreamLimits

_RETRY: Final = 1000
"""Milliseconds that a browser waits before it comes back."""
_EARLIER: Final = 0.2
"""Share of a stream's time by which it is shortened at random, so that not all clients come back at once."""


class Stream:
    """The messages for one client.

    Args:
        events: The client's subscription, still unread.
        allowed: Asks whether the client may still see them.
        stopping: Set when the server stops.
    """

    def __init__(
        self,
        events: Subscription[AnyEvent],
        limits: StreamLimits,
        allowed: Callable[[], Awaitable[bool]],
        stopping: anyio.Event,
    ) -> None:
        self._events = events
        self._limits = limits
        self._allowed = allowed
        self._stopping = asyncio.create_task(stopping.wait())
        self._next: asyncio.Future[AnyEvent | None] | None = None

    async def messages(self) -> AsyncGenerator[ServerSentEvent]:
        """All messages, until the stream has lasted long enough, is no longer allowed, or the server stops."""
        # A message without data: a client that is cut off before the first event knows the cursor to continue from.
        yield ServerSentEvent(id=str(self._events.cursor), retry=_RETRY)
        try:
            async for event in self._until_the_end():
                yield event_message(event)
        except CursorExpiredError as error:  # the client is so slow that retention has overtaken it
            yield reset_message(Cursor(error.head))

    async def _until_the_end(self) -> AsyncGenerator[AnyEvent]:
        clock = asyncio.get_running_loop().time
        earlier = 1 - _EARLIER * random.random()  # noqa: S311 - no secret
        ends_at = clock() + self._limits.lasts_for.total_seconds() * earlier
        check_at = clock() + self._limits.authorize_every.total_seconds()
        while clock() < ends_at and not self._stopping.done():
            arrived = await self._wait_for_event(min(ends_at, check_at) - clock())
            if clock() >= check_at:
                if not await self._allowed():
                    return
                check_at = clock() + self._limits.authorize_every.total_seconds()
            if arrived is not None:
                self._next = None
                event = arrived.result()
                if event is None:
                    return
                yield event

    async def close(self) -> None:
        """Stop waiting for events; then the subscription can be closed."""
        waits = {self._stopping} if self._next is None else {self._stopping, self._next}
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)

    async def _wait_for_event(self, seconds: float) -> asyncio.Future[AnyEvent | None] | None:
        """The next event, done, or None when it takes longer; it is then waited for again, never cancelled."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._events, None))
        both = {self._next, self._stopping}
        await asyncio.wait(both, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        return self._next if self._next.done() else None


def event_message(event: AnyEvent) -> ServerSentEvent:
    """One event; JSON has no line break, so nothing in it can begin another message."""
    fields = event.to_dict()
    return ServerSentEvent(id=str(event.cursor), event=fields["type"], data=orjson.dumps(fields).decode())


def reset_message(head: Cursor) -> ServerSentEvent:
    """The client's cursor is not in the log: it has to reload its page, and continues from here."""
    data = orjson.dumps({"type": "reset", "cursor": str(head)}).decode()
    return ServerSentEvent(id=str(head), event="reset", data=data, retry=_RETRY)
