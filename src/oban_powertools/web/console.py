"""Make the console: routes, actor, errors, and the calls that it opens when it is first asked.

Needs no lifespan of the host's. The rule that must never break: whoever is unknown sees nothing but static files.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..calls import Calls
from ..errors import InvalidSettingError, NotFoundError
from ..operators.authorization import Actor, AllowAll, Authorize, find_actor
from ..privacy.display import DisplayPolicy
from . import pages
from .answers import Problem, find_problem, unexpected
from .api import Api
from .opening import OpenCalls, OpenedCalls
from .page import READ_ONLY, FindActor, Page, PageRoute, actor_of, logger
from .rates import Buckets, Rate, Rates
from .security import SecurityLayer
from .shell import READ_WITHIN, Options, Shell
from .static_files import answer_file
from .streams import Streams

AT_ONCE: Final = 3
"""Pages that are open and ask for themselves again are answered so many at a time, the others wait in line.

After a burst of changes all would else share the few connections, be slow together and be given up, and so would what
somebody has just clicked, which does not wait here."""

LIVE: Final = "x-powertools-live"
"""The header with which a page asks for itself again (``console.js``)."""

_NOBODY: Final = Actor(id="")


def create_console(
    calls: Calls | OpenCalls,
    *,
    actor: FindActor,
    authorize: Authorize | None = None,
    display: DisplayPolicy | None = None,
    name: str = "Powertools",
    environment: str | None = None,
    read_only: bool = False,
    base_path: str | None = None,
    allowed_hosts: Collection[str] = (),
    login_url: str | None = None,
    oban_web: str | None = None,
    others: Mapping[str, str] | None = None,
    rates: Rates | None = None,
    read_within: timedelta | float = READ_WITHIN,
) -> "Console":
    """The console, an ASGI app to be mounted anywhere in a web application.

        app.mount("/ops/jobs", create_console(powertools, actor=lambda connection: connection.session.get("user")))

    Args:
        calls: A ``Powertools``, other ``Calls``, or a function that opens some at the first request.
        actor: Who sent a request, from the connection as the host's middleware left it: a name, a mapping with an
            ``id``, or an ``Actor``. None is answered with 401, a ``PermissionError`` with 403. Sync or async.
        authorize: Decides what operators may do here; None takes the policy of the calls.
        display: Decides what is shown here; None takes the policy of the calls.
        name: Of this installation, in the top bar.
        environment: In a word, such as ``Production``, beside the name.
        read_only: Whether nothing may be changed here, whoever asks.
        base_path: The path it is mounted under, only for hosts that do not set ``root_path``.
        allowed_hosts: Names by which browsers may call it; empty where the host's server checks them.
        login_url: Where the page of somebody unknown leads.
        oban_web: The address of Oban Web, to which a job's page links, for inspection only.
        others: Name -> address of other consoles, to switch to.
        rates: How often one actor may preview and execute.
        read_within: How long a part of a page may read, and the API for one answer, before it is given up; a whole
            page has twice as long.

    Raises:
        InvalidSettingError: An argument is not what it should be.
    """
    if not callable(actor):
        raise InvalidSettingError("actor", repr(actor)[:80], "a function (connection) -> who sent it, or None")
    if not isinstance(calls, Calls) and not callable(calls):
        raise InvalidSettingError("calls", repr(calls)[:80], "a Powertools, Calls, or a function that opens Calls")
    if base_path is not None and (not base_path.startswith("/") or base_path.endswith("/")):
        raise InvalidSettingError("base_path", repr(base_path), "a path such as /ops/jobs, without a slash at its end")
    shell = Shell(
        options=Options(
            name=name,
            environment=environment,
            read_only=read_only,
            everybody_may=isinstance(authorize, AllowAll),
            base_path=base_path,
            login_url=login_url,
            oban_web=oban_web and oban_web.rstrip("/"),
            read_within=cast("timedelta", read_within),  # options take seconds, too
            others=dict(others or {}),
        ),
        nav=pages.nav(),
        sayings=pages.sayings(),
    )
    opening = OpenedCalls(calls, authorize, display)
    desk = Desk(opening, actor, shell, rates or Rates())
    return Console(SecurityLayer(desk, allowed_hosts), opening.close)


class Console:
    """What ``create_console`` makes: an ASGI app.

    Args:
        app: Answers every request.
        close: Closes what it opened.
    """

    def __init__(self, app: ASGIApp, close: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    async def aclose(self) -> None:
        """Close what the console opened; a host calls it when it shuts down, if it likes."""
        await self._close()


class Desk:
    """Answers what the security layer lets pass: finds the page, asks who it is for, and says what went wrong."""

    def __init__(
        self,
        calls: OpenedCalls,
        actor: FindActor,
        shell: Shell,
        rates: Rates,
    ) -> None:
        self._calls = calls
        self._find_actor = actor
        self._shell = shell
        self._buckets = Buckets(rates, time.monotonic)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._api = Api(calls.get, self._actor, self._check, read_within=shell.options.read_within)
        self._routes = [self._route(route) for route in (*pages.routes(), Streams(actor).route())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope = self._below(scope)
        request = Request(scope, receive)
        request_id = _request_id(request)
        response = await self._respond(request)
        response.headers["X-Request-Id"] = request_id
        await response(scope, receive, send)

    def _below(self, scope: Scope) -> Scope:
        """The scope with the console's own path as ``root_path`` and the rest in ``powertools.path``."""
        if self._shell.options.base_path is not None:
            scope = {**scope, "root_path": self._shell.options.base_path}
        root: str = scope.get("root_path", "").rstrip("/")
        # Servers and mounts say the whole path; some hosts only what is left of it.
        path = scope["path"].removeprefix(root) if f"{scope['path']}/".startswith(f"{root}/") else scope["path"]
        # Some hosts add a slash to a mount's path, some take it away.
        return {**scope, "root_path": root, "powertools.path": path.rstrip("/") or "/"}

    async def _respond(self, request: Request) -> Response:
        path: str = request.scope["powertools.path"]
        for_programs = f"{path}/".startswith("/api/")
        try:
            if refusal := request.scope.get("powertools.refusal"):
                raise refusal
            if path.startswith("/static/"):
                return answer_file(path.removeprefix("/static/"))
            if path == "/healthz":
                return PlainTextResponse("ok\n")
            if path == "/readyz":
                return await self._ready()
            if for_programs:
                return await self._api.respond(request, path)
            return await self._page(request, path)
        except Exception as error:  # noqa: BLE001 - logged there
            return self._api.fail(request, error) if for_programs else await self._fail(request, error)

    async def _ready(self) -> Response:
        """Whether the database answers; whoever supervises this process is not asked who they are."""
        try:
            calls = await self._calls.get()
            await calls.lifeline.incidents_seen_ago()
        except Exception as error:  # noqa: BLE001 - said by its code
            problem = find_problem(error) or unexpected("")
            return PlainTextResponse(f"not ready: {problem.code}\n", 503, {"Retry-After": "5"})
        return PlainTextResponse("ready\n")

    async def _page(self, request: Request, path: str) -> Response:
        # First of all: whoever is unknown does not learn which addresses there are.
        actor = await self._actor(request)
        route, params = self._find(request.method, path)
        request.scope["path_params"] = params
        if route.rate is not None:
            self._check(actor, route.rate)
        options = self._shell.options
        # In line before the clock starts: what waits for its turn has not been slow.
        async with (
            self._turns if LIVE in request.headers else contextlib.nullcontext(),
            asyncio.timeout(options.page_within.total_seconds() if route.method == "GET" else None),
        ):
            page = Page(request, await self._calls.get(), actor, self._shell, _request_id(request))
            page.needs_review = await self._calls.needs_review(within=options.read_at_least)
            response = await self._answer(route, page)
        self._calls.answered_at = datetime.now(UTC)
        return response

    async def _answer(self, route: PageRoute, page: Page) -> Response:
        try:
            return await route.answer(page)
        except NotFoundError as error:
            return await page.gone(error)

    def _check(self, actor: Actor, rate: Rate) -> None:
        """Refuse an act where nothing may be changed, or the actor has done enough for a minute.

        Raises:
            HTTPException: 403 or 429.
        """
        if self._shell.options.read_only:
            raise HTTPException(403, READ_ONLY)
        if wait := self._buckets.take(actor.id, rate):
            sentence = f"That is enough for a minute: wait {wait} seconds. Nothing was done."
            raise HTTPException(429, sentence, {"Retry-After": str(wait)})

    def _find(self, method: str, path: str) -> tuple[PageRoute, dict[str, str]]:
        """The route of an address, and what its path names.

        Raises:
            HTTPException: 404, or 405 where the address has other methods.
        """
        wanted = "GET" if method == "HEAD" else method
        others = False
        for known, starlette_route in self._routes:
            match, child = starlette_route.matches({"type": "http", "method": wanted, "path": path, "root_path": ""})
            if match is Match.FULL:
                return known, child["path_params"]
            others = others or match is Match.PARTIAL
        raise HTTPException(405 if others else 404)

    def _route(self, route: PageRoute) -> tuple[PageRoute, BaseRoute]:
        return route, Route(route.path, _never_called, methods=[route.method])

    async def _actor(self, request: HTTPConnection) -> Actor:
        actor = find_actor(await actor_of(self._find_actor, request))
        if actor is None:
            raise HTTPException(401)
        return actor if actor.request_id else replace(actor, request_id=_request_id(request))

    async def _fail(self, request: Request, error: Exception) -> Response:
        """The page of an error; nobody who is unknown learns anything from it."""
        problem = find_problem(error)
        if problem is None:
            logger.error(
                "%s %s failed (request %s)",
                request.method,
                request.scope["powertools.path"],
                _request_id(request),
                exc_info=error,
            )
            problem = unexpected(_request_id(request))
        if problem.status == 401 and self._shell.options.login_url and request.method == "GET":
            return RedirectResponse(self._shell.options.login_url, 303)
        response = self._problem_page(request, problem, await self._whoever(request, problem))
        if problem.retry_after:
            response.headers["Retry-After"] = str(problem.retry_after)
        if isinstance(error, HTTPException):
            response.headers.update(error.headers or {})
        return response

    async def _whoever(self, request: Request, problem: Problem) -> Actor:
        """Who the page of an error is for."""
        if problem.status in (401, 421):
            return _NOBODY
        try:
            return await self._actor(request)
        except Exception:  # noqa: BLE001 - what the host's function raises has been reported, or is 401
            return _NOBODY

    def _problem_page(self, request: Request, problem: Problem, actor: Actor) -> Response:
        shell = self._shell if actor.id else replace(self._shell, nav=())
        page = Page(request, _NoCalls(), actor, shell, _request_id(request))
        return page.problem(problem, self._calls.answered_at)


class _NoCalls(Calls):
    """For the page of an error, which reads nothing."""

    def __init__(self) -> None:
        pass


def _request_id(request: HTTPConnection) -> str:
    known: str | None = request.scope.get("powertools.request_id")
    if known is None:
        known = request.scope["powertools.request_id"] = secrets.token_hex(8)
    return known


async def _never_called(_: Request) -> Response:
    raise NotImplementedError
