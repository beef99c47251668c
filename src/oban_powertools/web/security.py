"""The one layer around every answer of the console, so that no host can forget it: plain ASGI.

It refuses requests that another site may have sent, bodies that are too large or of another form, and unknown hosts,
and gives every answer its headers. Not for who may do what: ``Calls`` asks the host's policy.

The rules that must never break: a request that changes something comes from a page of the same origin, or from no
browser at all; nothing inline runs; no page is framed or kept in a cache.
"""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LARGEST_BODY: Final = 64 * 1024
"""Bytes."""

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Nothing inline and nothing from elsewhere; without a nonce, so that a host's own policy can be added to it."""

HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # "no-referrer" would send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_FORMS: Final = ("application/x-www-form-urlencoded", "application/json")
"""Forms of a body. Never multipart, which needs a parser of its own."""


class SecurityLayer:
    """Checks each request before the console sees it.

    Args:
        app: Gets what is not refused; answers a refusal, which the scope's ``powertools.refusal`` holds.
        hosts: Names by which the console may be called, without port; empty for any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # of a lifespan we need nothing

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            check(scope, self._hosts)
        except HTTPException as refusal:
            scope = {**scope, "powertools.refusal": refusal}
        await self._app(scope, bounded(receive), send_with_headers)


def check(scope: Scope, hosts: frozenset[str] = frozenset()) -> None:
    """Refuse what the console must not answer.

    Raises:
        HTTPException: 421, 403, 413 or 415, with what was expected.
    """
    headers = Headers(scope=scope)
    if hosts and _name_of(headers.get("host", "")) not in hosts:
        raise HTTPException(421, "This console is not called by this name; its host lists the names.")
    if scope["method"] in _SAFE:
        return
    if not is_same_origin(headers):
        raise HTTPException(403, "This request came from another site, or does not say from where. Nothing was done.")
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > LARGEST_BODY:
        raise HTTPException(413, f"A request holds at most {LARGEST_BODY // 1024} KiB.")
    form = headers.get("content-type", _FORMS[0]).partition(";")[0].strip().lower()
    if form not in _FORMS:
        raise HTTPException(415, f"A request is {' or '.join(_FORMS)}.")


def is_same_origin(headers: Headers) -> bool:
    """Whether a request that changes something may be answered.

    Browsers send Sec-Fetch-Site to trustworthy origins, and Origin always with a POST. What sends neither is no
    browser: it has to say who it is in a way that no page can make a browser say.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    if "cookie" in headers:
        return False
    is_json = headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
    # Not Basic, which browsers add by themselves, whichever page asks.
    return is_json or headers.get("authorization", "").lower().startswith("bearer ")


def bounded(receive: Receive) -> Receive:
    """The same body, refused where it grows too large: a length need not be announced."""
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY:
            raise HTTPException(413, f"A request holds at most {LARGEST_BODY // 1024} KiB.")
        return message

    return receive_bounded


def _name_of(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "").lower()
