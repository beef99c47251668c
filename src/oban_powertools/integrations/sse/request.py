"""Parse a request: its topic, the cursor to start from, and the web page that sent it."""

import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from ...errors import InvalidArgumentError
from ...events.topics import Topic, TopicKind
from ...events.types import Cursor

_CURSOR: Final = re.compile(r"[0-9]{1,19}")
_BIGINT: Final = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """A readable request."""

    topic: Topic
    """What they want to follow."""

    since: Cursor | None
    """The last event the client has; None for one that begins now."""


def read_request(connection: HTTPConnection, kinds: Set[TopicKind]) -> StreamRequest:
    """Read topic and cursor; the browser's ``Last-Event-ID`` wins over the page's ``after``.

    Args:
        kinds: Those that are served.

    Raises:
        HTTPException: 405 or 400, with what was expected.
    """
    if connection.scope["method"] != "GET":
        raise HTTPException(405, "only GET", {"Allow": "GET"})
    try:
        topic = Topic.parse(connection.query_params.get("topic", ""))
    except InvalidArgumentError:
        topic = None
    if topic is None or topic.kind not in kinds:
        served = (f"?topic={kind}:all" + ("" if kind is TopicKind.AUDIT else f" or ?topic={kind}:ID") for kind in kinds)
        raise HTTPException(400, f"expected {', '.join(sorted(served, reverse=True))}")
    cursor = connection.headers.get("last-event-id") or connection.query_params.get("after") or None
    if cursor is not None and not (_CURSOR.fullmatch(cursor) and int(cursor) < _BIGINT):
        raise HTTPException(400, "expected a cursor, a whole number, in Last-Event-ID or ?after=")
    return StreamRequest(topic=topic, since=None if cursor is None else Cursor(int(cursor)))


def check_origin(connection: HTTPConnection, allowed: Set[str]) -> dict[str, str]:
    """Refuse pages of other sites, because a browser sends our user's cookies with their requests, too.

    Args:
        allowed: Origins besides our own, as in ``https://app.example``.

    Returns:
        The headers that let the page of an allowed origin read the answer; empty for our own.

    Raises:
        HTTPException: 403.
    """
    headers = connection.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin in allowed:
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        }
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        ours = origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    if not ours:
        raise HTTPException(403, "this origin is not allowed")
    return {}
