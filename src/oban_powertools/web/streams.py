"""The stream of a live page: it says that something has changed, never what; the page then asks for itself again.

So nothing that a policy hides can leave here. One stream a page; where there are too many, pages ask every few seconds
instead.

The rule that must never break: a stream ends when its actor may no longer see the console, within a minute.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from ..events import Subscription, Topic
from ..integrations.sse import StreamLimits
from ..integrations.sse.limits import OpenStreams
from ..operators.authorization import find_actor
from .answers import find_problem
from .page import FindActor, Page, PageRoute, actor_of, get, logger

MOST_TOPICS: Final = 4
"""Topics of one page."""

_LIMITS: Final = StreamLimits(streams_per_client=4)

_BEAT_EVERY: Final = 10.0
"""Seconds between two signs of life; the page says that it is stale when more than two are missing."""

_CALM: Final = 1.0
"""Seconds between two messages, at least: a page does not ask at every event of a busy database."""

TOGETHER: Final = 20
"""Pages of one process that are told something in a second: each then asks for itself again."""

_AGAIN_AFTER: Final = 1000
"""Milliseconds after which a browser comes back."""

_EARLIER: Final = 0.2
"""By how much of its life a stream may end earlier, by chance: browsers do not all come back at once."""


class Streams:
    """The streams of one console in one process.

    Args:
        find: Who sent a request; asked again while a stream lasts.
        limits: How many, and how long.
    """

    def __init__(self, find: FindActor, limits: StreamLimits = _LIMITS) -> None:
        self.find = find
        self.limits = limits
        self.open: OpenStreams = OpenStreams(limits)

    def route(self) -> PageRoute:
        """Where pages find them."""
        return get("/stream", self._answer)

    def calm(self) -> float:
        """Seconds from what happens until a page is told: where many are open they would else all ask at once."""
        apart = max(_CALM, self.open.count / TOGETHER)
        return random.uniform(_CALM, 2 * apart - _CALM)  # noqa: S311 - no secret

    async def _answer(self, page: Page) -> Response:
        return _Streaming(self, page, _topics(page))


class _Streaming(Response):
    """One stream, counted for as long as it lasts."""

    def __init__(self, streams: Streams, page: Page, topics: Sequence[Topic]) -> None:
        super().__init__()
        self._streams = streams
        self._limits = streams.limits
        self._page = page
        self._topics = topics
        self._changed = asyncio.Event()
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._streams.open.one_more(self._page.actor.id):
                await self._stream(scope, receive, send)
        except HTTPException as refusal:
            answer = PlainTextResponse(f"{refusal.detail}\n", refusal.status_code, refusal.headers)
            await answer(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            stopping = anyio.Event()
            await self._follow(stopping, stack)
            response = EventSourceResponse(
                self._messages(),
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
                sep="\n",
                ping=self._limits.heartbeat_every.total_seconds(),
                send_timeout=self._limits.send_within.total_seconds(),
                shutdown_event=stopping,
                shutdown_grace_period=0.5,
            )
            try:
                await response(scope, receive, send)
            except SendTimeoutError:
                logger.info("a page of %s takes nothing any more: its stream is closed", self._page.actor.id)

    async def _follow(self, stopping: anyio.Event, stack: AsyncExitStack) -> None:
        """Notice what happens, and that the server stops, until the stack is closed."""
        following: list[asyncio.Task[None]] = []

        async def stop() -> None:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)

        subscriptions = [await self._subscribe(topic, stack) for topic in self._topics]
        # Before the subscriptions are closed, nobody waits for them any more.
        stack.push_async_callback(stop)
        following += [asyncio.create_task(self._notice(subscription)) for subscription in subscriptions]
        following.append(asyncio.create_task(self._end_with(stopping)))

    async def _subscribe(self, topic: Topic, stack: AsyncExitStack) -> Subscription[Any]:
        try:
            return await stack.enter_async_context(self._page.calls.events.subscribe(topic))
        except Exception as error:
            problem = find_problem(error)
            if problem is None:
                raise
            raise HTTPException(problem.status, problem.detail, {"Retry-After": "5"}) from error

    async def _notice(self, events: Subscription[Any]) -> None:
        try:
            async for _ in events:
                self._changed.set()
        finally:
            self._ended = True
            self._changed.set()

    async def _end_with(self, stopping: anyio.Event) -> None:
        await stopping.wait()
        self._ended = True
        self._changed.set()

    async def _messages(self) -> AsyncGenerator[ServerSentEvent]:
        clock = asyncio.get_running_loop().time
        earlier = 1 - _EARLIER * random.random()  # noqa: S311 - no secret
        ends_at = clock() + self._limits.lasts_for.total_seconds() * earlier
        check_at = clock() + self._limits.authorize_every.total_seconds()
        yield ServerSentEvent(event="beat", data="begun", retry=_AGAIN_AFTER)
        while clock() < ends_at and not self._ended:
            changed = await self._wait(min(_BEAT_EVERY, ends_at - clock()))
            if clock() >= check_at:
                if not await self._is_still_here():
                    return
                check_at = clock() + self._limits.authorize_every.total_seconds()
            yield ServerSentEvent(event="changed" if changed else "beat", data="now")

    async def _wait(self, seconds: float) -> bool:
        """Whether something happened; what comes in a row is one message."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._changed.wait()
                if not self._ended:
                    await asyncio.sleep(self._streams.calm())
        except TimeoutError:
            pass
        changed = self._changed.is_set()
        self._changed.clear()
        return changed

    async def _is_still_here(self) -> bool:
        """Whether the host still says that the same actor sent the request."""
        try:
            actor = find_actor(await actor_of(self._streams.find, self._page.request))
        except HTTPException:
            return False
        except Exception:  # noqa: BLE001 - whatever the host raises
            logger.exception("actor failed for an open stream: it is closed")
            return False
        return actor is not None and actor.id == self._page.actor.id


def _topics(page: Page) -> list[Topic]:
    """What the page names.

    Raises:
        HTTPException: 400: none, or too many.
        InvalidArgumentError: One is no topic.
    """
    names = (page.query("topics") or "").split()
    if not 0 < len(names) <= MOST_TOPICS:
        raise HTTPException(400, f"A stream has 1 to {MOST_TOPICS} topics.")
    return [Topic.parse(name) for name in names]
