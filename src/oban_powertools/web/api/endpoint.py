"""One row of the API: a method and a path, what it takes, what it answers, which act it is, and what it may refuse.

Routes, the OpenAPI document and the tests are made of these rows. No I/O. The rule that must never break: an unsafe
method names the act that the policy is asked for.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from starlette.requests import Request

from ...acts import Action
from ...calls import Calls
from ...errors import PowertoolsError
from ...operators.authorization import Actor
from ..rates import Rate
from . import values
from .values import ID, Parameter

PAGE: Final = 50
"""Items of a page unless another number is asked for."""

MOST: Final = 200
"""Items of the largest page."""

SLOW: Final = timedelta(seconds=60)
"""How long what reads everything may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose inputs are read and whose actor is known."""

    calls: Calls
    """Every call, on the database of the console."""

    actor: Actor
    """Who asks, with the id of the request."""

    values: Mapping[str, Any]
    """Argument -> value, of path, query and body; what was not given is missing."""

    request: Request
    """The request itself, for what is no input."""

    def __getitem__(self, argument: str) -> Any:
        """A value that a request cannot be without."""
        return self.values[argument]

    def only(self, *arguments: str) -> dict[str, Any]:
        """Those of these arguments that were given."""
        return {name: self.values[name] for name in arguments if name in self.values}

    def acting(self, *arguments: str) -> dict[str, Any]:
        """Those of these arguments that were given, with actor and door."""
        return {**self.only(*arguments), "actor": self.actor, "source": "api"}

    def reasoned(self, *arguments: str) -> dict[str, Any]:
        """As ``acting``, with the reason; without one the call itself refuses, and records that."""
        return {**self.acting(*arguments), "reason": self.values.get("reason", "")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that is more than a record."""

    value: Any
    """A record, or a dict of them."""

    status: int = 200
    """Of HTTP."""

    location: str | None = None
    """Where what was made is found, below the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an endpoint answers when nothing is refused."""

    about: str
    """One sentence."""

    kind: Any = None
    """The type of the record, or of each item of a page; None for any JSON."""

    paged: bool = False
    """Whether it is a page: items, next_cursor, has_more."""

    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further keys of a page, or of a record -> their types."""

    statuses: tuple[int, ...] = (200,)
    """Which of them it has."""

    media: tuple[str, ...] = ("application/json",)
    """Its media types."""

    tagged: bool = False
    """Whether it has an ETag: the same tag, the same answer."""


type CarryOut = Callable[[Call], Awaitable[Any]]
"""Returns a record, a ``Reply``, or a response of Starlette's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row."""

    method: str
    """GET, POST, PATCH or PUT."""

    path: str
    """Below the API; inputs of the path in braces."""

    handler: CarryOut
    """What carries it out; its name and docstring are those of the operation."""

    tag: str
    """The group that it is listed in."""

    answer: Shape
    """What comes back."""

    path_inputs: tuple[Parameter, ...] = ()
    """In their order."""

    query: tuple[Parameter, ...] = ()
    """Parameters after the question mark."""

    body: tuple[Parameter, ...] = ()
    """Fields of the JSON object in the body."""

    act: Action | None = None
    """What the policy is asked for; None of what only reads."""

    also: tuple[Action, ...] = ()
    """Further acts of the same endpoint, one of which a request is."""

    rate: Rate | None = None
    """Which rate limits it."""

    within: timedelta | None = None
    """How long it may read, where it changes nothing; then the answer is 503. None for what the console allows."""

    repeat: str = ""
    """What happens when the same request comes twice; empty of what only reads."""

    errors: tuple[type[PowertoolsError], ...] = ()
    """What a call may refuse, beside what every endpoint may."""

    @property
    def name(self) -> str:
        """The name of the operation."""
        return getattr(self.handler, "__name__", "")

    @property
    def summary(self) -> str:
        """What it does, in one sentence."""
        return self._said[0]

    @property
    def description(self) -> str:
        """What else there is to say of it."""
        return self._said[2]

    @property
    def _said(self) -> tuple[str, str, str]:
        return (inspect.getdoc(self.handler) or "").replace("``", "`").partition("\n\n")

    @property
    def acts(self) -> tuple[Action, ...]:
        """Every act that it can be."""
        return (*([self.act] if self.act else []), *self.also)


LIMIT: Final = Parameter(
    name="limit", value=values.count(most=MOST), about="At most so many items.", default=PAGE, example=20
)
"""How long a page is."""


CURSOR: Final = "The `next_cursor` of the page before; without it the first page."
"""What a cursor is."""

BEFORE: Final = Parameter(name="cursor", value=ID, about=CURSOR, to="before")
"""Where a page of a list goes on whose newest come first."""

AFTER: Final = Parameter(name="cursor", value=values.text(most=200), about=CURSOR, to="after")
"""Where a page goes on of a list that knows its own places."""


def cut_page(items: Sequence[Any], limit: int, place: Callable[[Any], Any], **extra: Any) -> dict[str, Any]:
    """A page of at most ``limit`` items, of which one more was asked for than it holds."""
    shown, more = items[:limit], len(items) > limit
    return page(shown, place(shown[-1]) if more else None, **extra)


def page(items: Sequence[Any], next_cursor: Any, **extra: Any) -> dict[str, Any]:
    """A page whose call says itself where the next one begins."""
    return {
        "items": items,
        "next_cursor": None if next_cursor is None else str(next_cursor),
        "has_more": next_cursor is not None,
        **extra,
    }
