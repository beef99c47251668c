"""Answer requests to the API: find the row, the actor and the inputs, carry it out, write the answer or the problem.

The rules that must never break: whoever is unknown learns nothing; a request that changes something is
``application/json``; the text of an unexpected error is logged, never sent.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from datetime import timedelta
from typing import Any, Final, cast

import orjson
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Message, Receive, Scope, Send

from ...arguments import refuse
from ...calls import Calls
from ...database.json_border import read_json
from ...errors import InvalidArgumentError, NotFoundError
from ...events import Topic, TopicKind
from ...integrations.sse.app import EventsApp
from ...integrations.sse.limits import StreamLimits
from ...operators.authorization import Actor
from ...privacy.logs import find_logger
from ...wire import to_json
from ..answers import GoneError, find_problem, unexpected
from ..rates import Rate
from .endpoint import SLOW, Call, Endpoint, Reply
from .endpoints import DOCUMENT, ENDPOINTS, ROOT
from .events import stream_events
from .openapi import document
from .problems import answer_problem
from .values import read_inputs

logger: Final = find_logger("oban_powertools.web")

_JSON: Final = "application/json"
_FOUND_BY: Final = "powertools.actor_id"


class Api:
    """The API of one console.

    Args:
        calls: Opens the calls, or returns the open ones.
        actor: Says who sent a request; raises where nobody did.
        check: Refuses an act where the console is read-only, or the actor has done enough for a minute.
        read_within: How long an answer may be read for that changes nothing.
        limits: Of streams.
    """

    def __init__(
        self,
        calls: Callable[[], Awaitable[Calls]],
        actor: Callable[[HTTPConnection], Awaitable[Actor]],
        check: Callable[[Actor, Rate], None],
        *,
        read_within: timedelta,
        limits: StreamLimits | None = None,
    ) -> None:
        self._calls = calls
        self._find_actor = actor
        self._check = check
        self._read_within = read_within
        self._limits = limits or StreamLimits()
        self._paths = [(compile_path(_starlette_path(path))[0], methods) for path, methods in _by_path().items()]
        self._slow = ""
        self._streams: tuple[Calls, EventsApp] | None = None

    async def respond(self, request: Request, path: str) -> Response:
        """Answer one request; what it raises, ``fail`` answers.

        Args:
            path: Without the console's own path; begins with ``/api/``.
        """
        actor = await self._find_actor(request)
        answer = await self._answer(request, path, actor)
        if request.method == "HEAD":
            answer.body = b""
        return answer

    def fail(self, request: HTTPConnection, error: Exception) -> Response:
        """The answer to a request that was refused, or failed."""
        request_id = request.scope.get("powertools.request_id", "")
        problem = find_problem(error)
        if problem is None:
            where = f"{request.scope['method']} {request.scope.get('powertools.path')}"
            logger.error("%s failed (request %s)", where, request_id, exc_info=error)
            problem = unexpected(request_id)
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return answer_problem(problem, request_id, error, headers)

    async def _answer(self, request: Request, path: str, actor: Actor) -> Response:
        if path == DOCUMENT:
            if request.method not in ("GET", "HEAD"):
                raise HTTPException(405, headers={"Allow": "GET, HEAD"})
            here = [{"url": request.scope.get("root_path") or "/"}]
            return _write(request, {**document(), "servers": here}, tagged=True)
        endpoint, named = self._find(request.method, path)
        if endpoint.rate is not None:
            self._check(actor, endpoint.rate)
        values = await _read(endpoint, request, named)
        calls = await self._calls()
        if endpoint.handler is stream_events:
            Topic.parse(values["topic"])
            return self._stream(request, calls, actor)
        call = Call(calls=calls, actor=actor, values=values, request=request)
        with self._alone(endpoint):
            return await self._carry_out(endpoint, call)

    async def _carry_out(self, endpoint: Endpoint, call: Call) -> Response:
        within = (endpoint.within or self._read_within).total_seconds()
        try:
            async with asyncio.timeout(within if endpoint.act is None else None):
                answer = await endpoint.handler(call)
        except InvalidArgumentError as error:
            raise _in_words_of(endpoint, error) from error
        except NotFoundError as error:
            if await call.calls.recall(error) is not None:
                raise GoneError(error) from error
            raise
        return answer if isinstance(answer, Response) else _finish(endpoint, call, answer)

    @contextmanager
    def _alone(self, endpoint: Endpoint) -> Generator[None]:
        """Let one of those that read everything run at a time: several would take all connections.

        Raises:
            HTTPException: 429.
        """
        if endpoint.within is not SLOW:
            yield
            return
        if self._slow:
            raise HTTPException(429, f"{self._slow} reads everything just now: wait for it.", {"Retry-After": "5"})
        self._slow = endpoint.name
        try:
            yield
        finally:
            self._slow = ""

    def _find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """The row of an address, and what its path names.

        Raises:
            HTTPException: 404, or 405 with the methods that there are.
        """
        wanted = "GET" if method == "HEAD" else method
        allowed: list[str] = []
        for pattern, methods in self._paths:
            match = pattern.fullmatch(path.removeprefix(ROOT)) if path.startswith(f"{ROOT}/") else None
            if match is None:
                continue
            if wanted in methods:
                return methods[wanted], match.groupdict()
            allowed += methods
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted({*allowed, *_heads(allowed)}))})
        raise HTTPException(404, f"The API has nothing at this address: {DOCUMENT} lists what it has.")

    def _stream(self, request: Request, calls: Calls, actor: Actor) -> Response:
        """Events as they happen; the stream asks again who the client is, while it lasts."""
        if self._streams is None or self._streams[0] is not calls:
            self._streams = (calls, self._open_stream(calls))
        request.scope[_FOUND_BY] = actor.id
        return _Streamed(self._streams[1])

    def _open_stream(self, calls: Calls) -> EventsApp:
        async def may_see(connection: HTTPConnection, _: str) -> bool:
            await self._find_actor(connection)
            return True

        return EventsApp(
            calls.events,
            may_see,
            frozenset(TopicKind),
            frozenset(),
            lambda connection: connection.scope[_FOUND_BY],
            self._limits,
            self.fail,
        )


class _Streamed(Response):
    """An answer that an app of its own gives."""

    def __init__(self, app: EventsApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = self.headers.get("X-Request-Id", "")
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _by_path() -> dict[str, dict[str, Endpoint]]:
    paths: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return paths


def _starlette_path(path: str) -> str:
    """The path as Starlette compiles it: a name that may contain slashes takes them."""
    for endpoint in _by_path()[path].values():
        for one in endpoint.path_inputs:
            if one.value.whole_path:
                path = path.replace(f"{{{one.name}}}", f"{{{one.name}:path}}")
    return path


def _heads(methods: list[str]) -> tuple[str, ...]:
    return ("HEAD",) if "GET" in methods else ()


async def _read(endpoint: Endpoint, request: Request, named: Mapping[str, str]) -> dict[str, Any]:
    """Argument -> value, of path, query and body.

    Raises:
        InvalidArgumentError: An input is not what it should be.
        HTTPException: 400, 413 or 415: the body cannot be read.
    """
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in query:
            raise InvalidArgumentError(name, "there twice", "at most one")
        query[name] = value
    values = read_inputs(endpoint.path_inputs, named, texts=True)
    values |= read_inputs(endpoint.query, query, texts=True)
    if endpoint.method != "GET":
        values |= read_inputs(endpoint.body, await _read_body(request), texts=False)
    return values


async def _read_body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _JSON:
        raise HTTPException(415, f"A request that changes something is {_JSON}.")
    text = await request.body()
    try:
        body: Any = read_json(text) if text.strip() else {}
    except ValueError as error:
        raise HTTPException(400, f"The body cannot be read as JSON: {error}") from error
    if not isinstance(body, dict):
        raise refuse("body", body, "a JSON object")
    return cast("dict[str, Any]", body)


def _in_words_of(endpoint: Endpoint, error: InvalidArgumentError) -> InvalidArgumentError:
    """The error with the name that clients know the argument by."""
    inputs = (*endpoint.path_inputs, *endpoint.query, *endpoint.body)
    names = {one.argument: one.name for one in inputs}
    return InvalidArgumentError(names.get(error.argument, error.argument), error.found, error.expected)


def _finish(endpoint: Endpoint, call: Call, answer: Any) -> Response:
    request = call.request
    reply = answer if isinstance(answer, Reply) else Reply(value=answer)
    response = _write(
        request, to_json(_displayed(call.calls, reply.value)), status=reply.status, tagged=endpoint.answer.tagged
    )
    if reply.location is not None:
        response.headers["Location"] = f"{request.scope.get('root_path', '')}{ROOT}{reply.location}"
    return response


def _displayed(calls: Calls, value: Any) -> Any:
    """Records as the display policy shows them, in whatever holds them."""
    if isinstance(value, dict):
        return {name: _displayed(calls, item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_displayed(calls, item) for item in cast("list[Any]", value)]
    return calls.as_displayed(value) if is_dataclass(value) else value


def _write(request: Request, value: Any, *, status: int = 200, tagged: bool = False) -> Response:
    body = orjson.dumps(value)
    headers = {"Cache-Control": "no-store"}
    if tagged:
        tag = headers["ETag"] = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
        if tag in known or "*" in known:
            return Response(status_code=304, headers=headers)
    return Response(body, status, headers, _JSON)
