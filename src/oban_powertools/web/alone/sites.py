"""Several consoles on one server, each under its own name, and a line in the log for each request. Plain ASGI.

The rule that must never break: the log has no query of an address, where people type what they search for.
"""

import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...privacy.logs import find_logger

logger: Final = find_logger("oban_powertools.web")


class Sites:
    """The consoles of several databases: ``/NAME/`` each; ``/`` leads to the first.

    Args:
        consoles: Name -> console.
    """

    def __init__(self, consoles: Mapping[str, ASGIApp]) -> None:
        self._consoles = consoles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        root: str = scope.get("root_path", "").rstrip("/")
        name, _, _ = scope["path"].removeprefix(root).lstrip("/").partition("/")
        if name in self._consoles:
            await self._consoles[name]({**scope, "root_path": f"{root}/{name}"}, receive, send)
            return
        await self._answer(scope, root, name)(scope, receive, send)

    def _answer(self, scope: Scope, root: str, name: str) -> Response:
        if refusal := scope.get("powertools.refusal"):
            assert isinstance(refusal, HTTPException)
            return PlainTextResponse(f"{refusal.detail}\n", refusal.status_code)
        if not name:
            return RedirectResponse(f"{root}/{next(iter(self._consoles))}/", 303)
        if name == "healthz":
            return PlainTextResponse("ok\n")
        return PlainTextResponse(f"There is no such console; there are: {', '.join(self._consoles)}\n", 404)


class RequestLines:
    """Writes a line for each request: method, path, status, milliseconds, request id. Those of static files at DEBUG.

    Args:
        app: Answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, request_id = time.monotonic(), 0, ""

        async def send_noting(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = MutableHeaders(scope=message).get("x-request-id", "")
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            log = logger.debug if "/static/" in scope["path"] else logger.info
            spent = (time.monotonic() - began) * 1000
            peer = (scope.get("client") or ("",))[0]
            log("%s %s %s %s %.0f ms %s", peer, scope["method"], scope["path"], status, spent, request_id)
