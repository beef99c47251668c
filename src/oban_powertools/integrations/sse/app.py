"""The ASGI app: who may open which stream, and the answer to a refused request."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Hashable
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit

import anyio
import psycopg
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from ...arguments import as_list
from ...database.sqlstates import Trouble, find_trouble
from ...errors import CursorExpiredError, InvalidSettingError, WorkflowNotFoundError
from ...events.events import Events
from ...events.topics import TopicKind
from ...events.types import Cursor
from ...powertools import Powertools
from ...privacy.logs import find_logger
from .limits import OpenStreams, StreamLimits, Turns
from .request import StreamRequest, check_origin, read_request
from .stream import Stream, reset_message

type AuthorizeEvents = Callable[[HTTPConnection, str], bool | Awaitable[bool]]
"""Whether the client may see a topic, such as ``workflow:all`` or ``workflow:{id}``: anything but True refuses."""

_WORKFLOWS_ONLY: Final = (TopicKind.WORKFLOW,)

_GRACE: Final = 0.5
"""Seconds that a stream has for its proper end when the server stops."""

logger: Final = find_logger("oban_powertools.sse")


def events_app(
    powertools: Powertools,
    *,
    authorize: AuthorizeEvents,
    topics: Collection[TopicKind | str] = _WORKFLOWS_ONLY,
    allowed_origins: Collection[str] = (),
    client: Callable[[HTTPConnection], Hashable] | None = None,
    limits: StreamLimits | None = None,
) -> "EventsApp":
    """An ASGI app that streams events, to be mounted anywhere in a web application.

        app = FastAPI(lifespan=...)
        app.mount("/events", events_app(powertools, authorize=may_see))

    ``GET /events/?topic=workflow:all`` or ``?topic=workflow:41``, and of the other kinds that ``topics`` names
    ``incident:all``, ``incident:12``, ``executor:all``, ``executor:ID``, ``audit:all``; ``Last-Event-ID``, else
    ``?after=``, is the cursor of the last event that the client has, and without one the stream begins now.

    Args:
        powertools: It has to be running while the app answers.
        authorize: Called with the connection (headers, cookies, session, user as the host's middleware left them) and
            the topic before a stream begins, and again while it lasts. Sync or async; a sync one must not block. It may
            raise Starlette's ``HTTPException``, for a 401; anything else that it raises is a 500.
        topics: The kinds of topics that are served at all: ``workflow``, ``incident``, ``executor``, ``audit``. Name
            those for operators when ``authorize`` knows them.
        allowed_origins: Other origins whose pages may read the stream, as in ``https://app.example``.
        client: Returns the key by which the limits count a client; None is not limited. Default: the address.
        limits: How many streams, and how long.

    Raises:
        InvalidSettingError: ``authorize`` cannot be called, or an origin or a kind of topic is not one.
    """
    if not callable(authorize):
        raise InvalidSettingError("authorize", repr(authorize), "a function that says who may see what")
    origins = as_list("allowed_origins", allowed_origins, "origins")
    for origin in origins:
        parts = urlsplit(origin if isinstance(origin, str) else "")
        if not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}".lower():
            raise InvalidSettingError("allowed_origins", repr(origin), "scheme and host, as in https://app.example")
    kinds = as_list("topics", topics, "kinds of topics")
    if not kinds or not all(kind in TopicKind for kind in kinds):
        raise InvalidSettingError("topics", repr(kinds), f"some of: {', '.join(TopicKind)}")
    served = frozenset(TopicKind(kind) for kind in kinds)
    return EventsApp(
        powertools.events, authorize, served, frozenset(origins), client or _address, limits or StreamLimits()
    )


class EventsApp:
    """What ``events_app`` makes: an ASGI app.

    Args:
        events: Of calls that are open while the app answers.
        authorize, topics, allowed_origins, client, limits: As ``events_app``.
        refuse: Answers a request that is not served; None says why in plain text.
    """

    def __init__(
        self,
        events: Events,
        authorize: AuthorizeEvents,
        topics: frozenset[TopicKind],
        allowed_origins: frozenset[str],
        client: Callable[[HTTPConnection], Hashable],
        limits: StreamLimits,
        refuse: Callable[[Request, HTTPException], Response] | None = None,
    ) -> None:
        self._events = events
        self._authorize = authorize
        self._topics = topics
        self._allowed_origins = allowed_origins
        self._client = client
        self._limits = limits
        self._open = OpenStreams(limits)
        self._turns = Turns(limits)
        self._http: ASGIApp = ExceptionMiddleware(self._answer, handlers={HTTPException: _refusing(refuse or _refuse)})

    @property
    def open_streams(self) -> int:
        """How many streams this process has open."""
        return self._open.count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        request = read_request(connection, self._topics)
        headers = check_origin(connection, self._allowed_origins)
        if not await self._is_allowed(connection, str(request.topic)):
            raise HTTPException(403, "not authorized for this topic")
        with self._open.one_more(self._client(connection)):
            async with AsyncExitStack() as stack:
                stopping = anyio.Event()
                messages = await self._subscribe(request, connection, stopping, stack)
                response = EventSourceResponse(
                    messages,
                    headers=headers,
                    sep="\n",
                    ping=self._limits.heartbeat_every.total_seconds(),
                    ping_message_factory=lambda: ServerSentEvent(comment="heartbeat", sep="\n"),
                    send_timeout=self._limits.send_within.total_seconds(),
                    shutdown_event=stopping,
                    shutdown_grace_period=_GRACE,
                )
                try:
                    await response(scope, receive, send)
                except SendTimeoutError:
                    logger.info("a client of %s takes nothing any more: its stream is closed", request.topic)

    async def _subscribe(
        self, request: StreamRequest, connection: HTTPConnection, stopping: anyio.Event, stack: AsyncExitStack
    ) -> AsyncGenerator[ServerSentEvent]:
        """The messages to send; the stack ends the subscription."""
        try:
            events = await stack.enter_async_context(self._events.subscribe(request.topic, since=request.since))
        except CursorExpiredError as error:
            return _only(reset_message(Cursor(error.head)))
        except WorkflowNotFoundError as error:
            raise HTTPException(404, str(error)) from error
        except (psycopg.Error, OSError) as error:
            if find_trouble(error) is Trouble.REFUSED:
                raise
            raise HTTPException(503, "the database does not answer", {"Retry-After": "5"}) from error
        client = self._client(connection)
        one = object() if client is None else client
        events.pace(lambda: self._turns.take(one))
        stream = Stream(events, self._limits, lambda: self._is_still_allowed(connection, str(request.topic)), stopping)
        stack.push_async_callback(stream.close)
        return stream.messages()

    async def _is_allowed(self, connection: HTTPConnection, topic: str) -> bool:
        answer = self._authorize(connection, topic)
        # Only True allows: a forgotten await, or a user object, is truthy, too.
        return (await answer if inspect.isawaitable(answer) else answer) is True

    async def _is_still_allowed(self, connection: HTTPConnection, topic: str) -> bool:
        try:
            return await self._is_allowed(connection, topic)
        except HTTPException:
            return False
        except Exception:
            logger.exception("authorize failed for an open stream of %s: it is closed", topic)
            return False


async def _only(message: ServerSentEvent) -> AsyncGenerator[ServerSentEvent]:
    yield message


def _address(connection: HTTPConnection) -> str | None:
    return connection.client.host if connection.client else None


def _refusing(refuse: Callable[[Request, HTTPException], Response]) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refuse(request, error)

    return answer


def _refuse(_: Request, error: HTTPException) -> Response:
    headers = {"Cache-Control": "no-store", **(error.headers or {})}
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)
