"""Walks a console as a browser would: follows every link, and collects every form with its fields."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
from starlette.routing import compile_path

from oban_powertools.web import pages

A_KIND = 4
"""Addresses of one route that are followed."""


@dataclass
class Form:
    """A form as it stands on a page."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    can_be_sent: bool = False
    """Whether it has a button that is not disabled."""

    @property
    def body(self) -> str:
        return urlencode(self.fields)


@dataclass
class Walk:
    """What was found."""

    answers: dict[str, httpx.Response] = field(default_factory=dict[str, httpx.Response])
    """Address -> answer, of every link."""

    forms: dict[tuple[str, str], Form] = field(default_factory=dict[tuple[str, str], Form])
    """Route and action of every form that posts."""

    @property
    def routes(self) -> set[str]:
        """The routes that were reached by a GET."""
        return {route_of("GET", address) for address in self.answers}


class _Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._inside: Form | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        elif tag == "form":
            self._inside = Form(known.get("action", ""), known.get("method", "get").lower())
            self.forms.append(self._inside)
        elif tag in ("input", "textarea", "select", "button") and self._inside is not None and known.get("name"):
            posts = self._inside.method == "post"
            self._inside.fields.append((known["name"], _filled(tag, known) if posts else known.get("value", "")))
            self._inside.can_be_sent |= _sends(tag, known)
        elif _sends(tag, known) and self._inside is not None:
            self._inside.can_be_sent = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = None


def _sends(tag: str, known: Mapping[str, str]) -> bool:
    kind = known.get("type", "submit" if tag == "button" else "text")
    return tag in ("button", "input") and kind == "submit" and "disabled" not in known


def _filled(tag: str, known: Mapping[str, str]) -> str:
    if known.get("value"):
        return known["value"]
    return "because of a test" if tag == "textarea" or known.get("type", "text") == "text" else "1"


def read(answer: httpx.Response) -> tuple[list[str], list[Form]]:
    """Links and forms of a page."""
    if "html" not in answer.headers.get("content-type", ""):
        return [], []
    reader = _Reader(answer.text)
    return reader.links, reader.forms


_PATTERNS = [(route, compile_path(route.path)[0]) for route in pages.routes()]


def route_of(method: str, address: str) -> str:
    """The route that answers an address, as pages register it; the address itself where none does."""
    path = urlsplit(address).path.rstrip("/") or "/"
    return next(
        (route.path for route, pattern in _PATTERNS if route.method == method and pattern.fullmatch(path)), path
    )


async def crawl(client: httpx.AsyncClient, *starts: str, below: str = "") -> Walk:
    """Follow every link from these addresses on, a few of each route; nothing is posted.

    Args:
        below: Where the console is mounted.
    """
    walk, counts = Walk(), Counter[str]()
    waiting = deque(starts or ("/",))
    while waiting:
        address = waiting.popleft()
        route = route_of("GET", address.removeprefix(below))
        if address in walk.answers or counts[route] >= A_KIND:
            continue
        counts[route] += 1
        answer = walk.answers[address] = await client.get(address)
        links, forms = read(answer)
        for link in links:
            target = urlsplit(urljoin(str(answer.url), link))
            if target.netloc == urlsplit(str(client.base_url)).netloc:
                waiting.append(target._replace(scheme="", netloc="", fragment="").geturl())
        for form in forms:
            action = form.action or address
            if form.method == "post":
                walk.forms.setdefault((route_of("POST", action.removeprefix(below)), action), form)
            else:
                waiting.append(f"{action}?{form.body}" if form.fields else action)
    return walk
