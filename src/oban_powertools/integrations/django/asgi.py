"""Mounts the console beside Django in one ASGI application, under Django's login and permissions.

    application = with_console(get_asgi_application())

Needs the extra ``web``, and a server that speaks ASGI (uvicorn, hypercorn, daphne): the console streams, and Django's
WSGI handler cannot call it. A project that stays on WSGI serves ``console_application()`` beside it under the same host
name, and lets its proxy send the console's path there: the session's cookie is the same.

The rule that must never break: whoever has no session of Django's, or not the permission, sees nothing.
"""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.db import close_old_connections
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.shortcuts import resolve_url
from psycopg_pool import AsyncConnectionPool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ...calls import Calls, open_calls
from ...operators.authorization import Actor
from ...web import Console, create_console
from .actors import DjangoUser, actor_for, may_look
from .configuration import configuration, find_dsn

type FindUser = Callable[[HTTPConnection], DjangoUser]
"""Who sent a request, for projects that know it otherwise than by Django's session; called in a thread."""

_LOCAL: Final = (".localhost", "127.0.0.1", "[::1]")
"""Hosts that Django serves in debug mode without ``ALLOWED_HOSTS``."""


def with_console(django: Any, *, find_user: FindUser | None = None) -> ASGIApp:
    """Django, with the console under ``OBAN_POWERTOOLS["CONSOLE"]["PATH"]``.

    Args:
        django: What ``get_asgi_application()`` returned.
        find_user: Who sent a request, in a thread; None for the user of Django's session.

    Raises:
        ImproperlyConfigured: The setting cannot work.
    """
    console, path = console_application(find_user=find_user), configuration().console.path

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # Django refuses it
            await _live(console, receive, send)
        elif scope["type"] == "http" and f"{_below(scope)}/".startswith(f"{path}/"):
            await console({**scope, "root_path": scope.get("root_path", "") + path}, receive, send)
        else:
            await django(scope, receive, send)

    return application


def console_application(*, find_user: FindUser | None = None) -> "DjangoConsole":
    """The console alone, for a server of its own beside a project on WSGI; ``find_user`` as ``with_console``."""
    return DjangoConsole(find_user or _session_user)


class DjangoConsole:
    """What ``console_application`` makes: an ASGI app.

    Args:
        find_user: Who sent a request, called in a thread.
    """

    def __init__(self, find_user: FindUser) -> None:
        self._find_user = find_user
        said = configuration().console
        self._console: Console = create_console(
            _open,
            actor=self._find_actor,
            name=said.name,
            environment=said.environment,
            read_only=said.read_only,
            login_url=f"{resolve_url(settings.LOGIN_URL)}?next={said.path}/",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, of a host that Django would answer."""
        host = split_domain_port(Headers(scope=scope).get("host", ""))[0]
        allowed = settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else ())
        if not validate_host(host, allowed):
            await _refuse(send)
            return
        await self._console(scope, receive, send)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._console.aclose()

    async def _find_actor(self, connection: HTTPConnection) -> Actor | None:
        return await sync_to_async(self._actor)(connection)

    def _actor(self, connection: HTTPConnection) -> Actor | None:
        # Nothing of Django's request cycle runs here, so its connections are cared for as it would.
        close_old_connections()
        try:
            user = self._find_user(connection)
            if not user.is_authenticated:
                return None
            if not may_look(user):
                raise PermissionError("you need the permission powertools.view_console")
            return actor_for(user)
        finally:
            close_old_connections()


def _session_user(connection: HTTPConnection) -> Any:
    request = HttpRequest()
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(connection.cookies.get(settings.SESSION_COOKIE_NAME))
    return get_user(request)


def _open() -> AbstractAsyncContextManager[Calls]:
    said = configuration()
    return open_calls(
        AsyncConnectionPool(find_dsn(), open=False),
        authorize=said.authorize,
        display=said.display,
        schema=said.names.schema,
        prefix=said.names.prefix,
        settings=said.settings,
    )


def _below(scope: Scope) -> str:
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    return path.removeprefix(root) if path.startswith(f"{root}/") else path


async def _live(console: DjangoConsole, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await console.aclose()
    await send({"type": "lifespan.shutdown.complete"})


async def _refuse(send: Send) -> None:
    body = json.dumps({"detail": "this host is not in ALLOWED_HOSTS"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": HTTPStatus.BAD_REQUEST, "headers": headers})
    await send({"type": "http.response.body", "body": body})
