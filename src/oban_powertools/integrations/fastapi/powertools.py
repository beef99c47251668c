"""One object that a FastAPI application makes beside its app: lifespan, dependencies, mounts.

What it opens, it opens in the lifespan: making one does nothing.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ...calls import Calls
from ...config import Settings
from ...database.oban import pool_of, prefix_of
from ...errors import InvalidSettingError, PowertoolsClosedError
from ...events.topics import TopicKind
from ...operators.authorization import Actor, Authorize, find_actor
from ...powertools import Powertools
from ...privacy.display import DisplayPolicy
from ...sync import SyncCalls, open_sync_calls
from ...web import Console, FindActor, create_console
from ...web.page import actor_of
from ..sse import EventsApp, events_app
from .errors import handle_errors

_OPEN_FIRST: Final = (
    "pass it to the application, FastAPI(lifespan=powertools.lifespan), or enter it in your own lifespan"
)

_WORKFLOWS_ONLY: Final = (TopicKind.WORKFLOW,)


class FastAPIPowertools:
    """Powertools of one FastAPI application.

        powertools = FastAPIPowertools(queues={"default": 10}, authorize=permissions_policy(), actor=who)
        app = FastAPI(lifespan=powertools.lifespan)
        powertools.handle_errors(app)
        app.mount("/ops", powertools.console())
        app.mount("/events", powertools.events())

    As a dependency it gives the running ``Powertools``: ``Annotated[Powertools, Depends(powertools)]``.

    Args:
        dsn: As ``Powertools.open``: else ``OBAN_DSN``, else oban.toml, else the embedded server.
        actor: Who sent a request, by the application's login: a function of the connection that returns a name, a
            mapping with an ``id`` or an ``Actor``; None for somebody unknown, who gets 401. Sync or async.
        queues: Queue -> limit, of the workers that run in this process; without queues it only inserts.
        authorize: Decides what operators may do; None refuses every change by an operator.
        display: Decides what is shown of values that may hold secrets.
        schema, settings, data_directory, oban_options: As ``Powertools.open``.

    Raises:
        InvalidSettingError: ``actor`` cannot be called.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        actor: FindActor | None = None,
        queues: Mapping[str, int] | None = None,
        authorize: Authorize | None = None,
        display: DisplayPolicy | None = None,
        schema: str = "powertools",
        settings: Settings | None = None,
        data_directory: Path | None = None,
        **oban_options: Any,
    ) -> None:
        if actor is not None and not callable(actor):
            raise InvalidSettingError("actor", repr(actor)[:80], "a function (connection) -> who sent it, or None")
        self._find_actor = actor or _nobody
        self._open = lambda: Powertools.open(
            dsn,
            queues=queues,
            authorize=authorize,
            display=display,
            schema=schema,
            settings=settings,
            data_directory=data_directory,
            **oban_options,
        )
        self._open_blocking: Callable[[str, str], SyncCalls] = lambda target, prefix: open_sync_calls(
            target, authorize=authorize, display=display, schema=schema, prefix=prefix, settings=settings
        )
        self._running: Powertools | None = None
        self._blocking: SyncCalls | None = None
        self._consoles: list[Console] = []

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncGenerator[None]:  # noqa: ARG002 - as FastAPI calls it
        """Open Powertools, and close it when the application stops: ``FastAPI(lifespan=powertools.lifespan)``.

        In a lifespan of your own: ``async with powertools.lifespan(app): yield``.

        Raises:
            DatabaseUnavailableError, SchemaError: As ``Powertools.open``.
        """
        async with self._open() as running:
            self._running = running
            try:
                yield
            finally:
                self._running = None
                for console in self._consoles:
                    await console.aclose()
                blocking, self._blocking = self._blocking, None
                if blocking is not None:
                    await run_sync(blocking.close)

    @property
    def running(self) -> Powertools:
        """The running Powertools.

        Raises:
            PowertoolsClosedError: The lifespan has not begun, or has ended.
        """
        if self._running is None:
            error = PowertoolsClosedError()
            error.add_note(_OPEN_FIRST)
            raise error
        return self._running

    async def __call__(self) -> Powertools:
        """The running Powertools, as a dependency of ``async def`` functions: ``Depends(powertools)``."""
        return self.running

    def blocking(self) -> SyncCalls:
        """The calls without an event loop, as a dependency of ``def`` functions: ``Depends(powertools.blocking)``.

        ``authorize`` has to be a plain function for those of operators.
        """
        running = self.running
        if self._blocking is None:
            self._blocking = self._open_blocking(str(pool_of(running.oban).conninfo), prefix_of(running.oban))
        return self._blocking

    async def actor(self, connection: HTTPConnection) -> Actor:
        """Who sent the request, as a dependency: ``Annotated[Actor, Depends(powertools.actor)]``.

        Raises:
            HTTPException: 401 for somebody unknown, 403 where the application's function raises ``PermissionError``.
        """
        actor = find_actor(await actor_of(self._find_actor, connection))
        if actor is None or not actor.id:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        return actor

    def handle_errors(self, app: FastAPI) -> None:
        """Answer our errors as problems, as the function ``handle_errors`` does."""
        handle_errors(app)

    def console(self, *, actor: FindActor | None = None, **options: Any) -> Console:
        """The console with its API, to be mounted: ``app.mount("/ops", powertools.console())``.

        Args:
            actor: Who sent a request; None for the application's login.
            options: As ``create_console``.
        """
        console = create_console(self._opened, actor=actor or self._find_actor, **options)
        self._consoles.append(console)
        return console

    def events(
        self,
        *,
        authorize: Callable[[HTTPConnection, str], Any] | None = None,
        topics: Collection[TopicKind | str] = _WORKFLOWS_ONLY,
        **options: Any,
    ) -> ASGIApp:
        """The stream of events, to be mounted: ``app.mount("/events", powertools.events())``.

        Args:
            authorize: Whether a client may see a topic, as ``events_app``; None lets everybody whom the application's
                login knows see it.
            topics, options: As ``events_app``.
        """
        return _Events(self, authorize or self._is_known, topics, options)

    async def _is_known(self, connection: HTTPConnection, _: str) -> bool:
        await self.actor(connection)
        return True

    def _opened(self) -> AbstractAsyncContextManager[Calls]:
        return nullcontext(self.running)


class _Events:
    """An ASGI app whose events are those of the running Powertools, made anew for each lifespan."""

    def __init__(
        self,
        powertools: FastAPIPowertools,
        authorize: Callable[[HTTPConnection, str], Any],
        topics: Collection[TopicKind | str],
        options: dict[str, Any],
    ) -> None:
        self._powertools = powertools
        self._make: Callable[[Powertools], EventsApp] = lambda running: events_app(
            running, authorize=authorize, topics=topics, **options
        )
        self._made: tuple[Powertools, EventsApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        running = self._powertools.running
        if self._made is None or self._made[0] is not running:
            self._made = running, self._make(running)
        await self._made[1](scope, receive, send)


def _nobody(_: HTTPConnection) -> None:
    return None
