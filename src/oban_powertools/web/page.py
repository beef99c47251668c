"""What a page function gets and gives: the request with its actor, addresses, forms, parts that may fail, the answer.

A page function is ``async def overview(page: Page) -> Response``; its module lists it in ``ROUTES``. It reads through
``page.calls``, asks ``page.refusal`` what the actor may do, and answers with ``page.render`` or ``page.redirect``.

The rule that must never break: what changes something is a POST that ends in a redirect.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..arguments import as_word, refuse
from ..calls import Calls
from ..errors import NotFoundError, PowertoolsError
from ..operators.authorization import Action, Actor, ActorLike, Target
from ..privacy.logs import find_logger
from .answers import WHY_GONE, GoneError, NothingReadError, Problem, find_problem, unexpected
from .posted import PostedForm
from .rates import Rate
from .rendering import fill
from .shell import Options, Shell
from .static_files import static_files

logger: Final = find_logger("oban_powertools.web")

ROWS: Final = 50
"""Rows of a page of a list."""

THEMES: Final = ("light", "dark")
THEME_COOKIE: Final = "powertools_theme"

LONGEST_QUERY: Final = 500
"""Characters of one value in an address."""

MOST_FIELDS: Final = 1100
"""Fields of one form: the ids of the largest bulk repair, and a few more."""

_FORM_TYPE: Final = "application/x-www-form-urlencoded"

type FindActor = Callable[[HTTPConnection], ActorLike | Awaitable[ActorLike | None] | None]
"""Who sent a request, as the host's middleware left it; None for somebody unknown, who is answered with 401."""


type PageFunction = Callable[["Page"], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """One address with one method."""

    path: str
    """As Starlette has it, ``/incidents/{id}``, without the console's own path."""

    answer: PageFunction
    """Makes the page, or does the act and redirects."""

    method: str
    """GET or POST."""

    rate: Rate | None = None
    """What it counts as, where one actor may only do so many a minute."""


def get(path: str, answer: PageFunction) -> PageRoute:
    """A page that shows something, and changes nothing."""
    return PageRoute(path=path, answer=answer, method="GET")


def post(path: str, answer: PageFunction, *, rate: Rate = Rate.CHANGE) -> PageRoute:
    """A form that changes something; nobody gets there where the console is read-only."""
    return PageRoute(path=path, answer=answer, method="POST", rate=rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel[T]:
    """A part of a page that was read by itself: its value, or why there is none."""

    value: T | None
    """What was read; None where it failed."""

    problem: Problem | None = None
    """Why it failed."""

    def __bool__(self) -> bool:
        return self.problem is None


class Page:
    """One request for one page.

    Args:
        request: As it came.
        calls: On the console's database.
        actor: Who sent it.
        shell: What is the same on every page.
        request_id: In the log, in the audit and on error pages.
    """

    def __init__(self, request: Request, calls: Calls, actor: Actor, shell: Shell, request_id: str) -> None:
        self.request = request
        self.calls = calls
        self.actor = actor
        self.shell = shell
        self.options: Options = shell.options
        self.request_id = request_id
        self._began: float | None = None
        self.needs_review: int | None = None
        """Incidents that need a person, for the menu; None where nobody knows."""
        self.by: dict[str, Any] = {"actor": actor, "source": "web"}
        """The arguments with which an act says who did it, and through which door."""

    # ---- what was asked for

    @property
    def path(self) -> str:
        """The address of this page, without the console's own path."""
        return self.request.scope["powertools.path"]

    def param(self, name: str) -> str:
        """A part of the path, such as ``id`` of ``/incidents/{id}``."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A value of the address; None when it is absent or empty.

        Raises:
            HTTPException: 400: it is too long.
        """
        value = self.request.query_params.get(name, "").strip()
        if len(value) > LONGEST_QUERY:
            raise HTTPException(400, f"{name} holds at most {LONGEST_QUERY} characters.")
        return value or None

    def word[W: StrEnum](self, name: str, words: type[W]) -> W | None:
        """A value of the address that is one of some words; None when it is absent.

        Raises:
            InvalidArgumentError: It is another word.
        """
        value = self.query(name)
        return None if value is None else as_word(name, value, words)

    def instant(self, name: str) -> datetime | None:
        """An instant of the address, in UTC unless it says otherwise: ``2026-11-21``; None when it is absent.

        Raises:
            InvalidArgumentError: It is none.
        """
        value = self.query(name)
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        except (ValueError, OverflowError) as error:
            raise refuse(name, value, "a day or an instant, such as 2026-11-21 or 2026-11-21T09:00Z") from error

    async def form(self) -> PostedForm:
        """The fields of the form.

        Raises:
            HTTPException: 415: it is no form; 413: it has too many fields.
        """
        kind = self.request.headers.get("content-type", _FORM_TYPE).partition(";")[0].strip().lower()
        if kind != _FORM_TYPE:
            raise HTTPException(415, f"A form is sent as {_FORM_TYPE}.")
        try:
            body = (await self.request.body()).decode()
            return PostedForm(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError as error:
            raise HTTPException(413, f"A form has at most {MOST_FIELDS} fields, in UTF-8.") from error

    # ---- addresses

    def url(self, path: str, **query: object) -> str:
        """The address of a page of this console.

        Args:
            path: Begins with a slash; quote what comes from data.
            query: Values that are None or empty are left out.
        """
        pairs = [(name.rstrip("_"), value) for name, value in query.items() if value not in (None, "", False)]
        told = [(name, "yes" if value is True else str(value)) for name, value in pairs]
        return f"{self.request.scope['root_path']}{path}" + (f"?{urlencode(told)}" if told else "")

    def here(self, **changes: object) -> str:
        """This address with other values; the first page of it, unless a cursor is given."""
        query: dict[str, object] = {
            name: value for name, value in self.request.query_params.items() if name not in ("cursor", "said")
        }
        return self.url(self.path, **{**query, **changes})

    # ---- what may be done

    async def refusal(self, action: Action, target: Target) -> str | None:
        """Why the actor may not do something, for the reason beside a disabled button; None when they may."""
        if self.options.read_only:
            return READ_ONLY
        return await self.calls.find_refusal(self.actor, action, target)

    # ---- answers

    async def part[T](self, reading: Awaitable[T]) -> Panel[T]:
        """Read something by itself: where it fails or takes too long, the rest of the page is still shown."""
        try:
            async with asyncio.timeout_at(self._read_until()):
                return Panel(value=await reading)
        except Exception as error:
            problem = find_problem(error)
            if problem is None:
                logger.exception("a part of %s failed (request %s)", self.path, self.request_id)
            return Panel(value=None, problem=problem or unexpected(self.request_id))

    def _read_until(self) -> float:
        """When what is read now is given up, on the loop's clock; what a page reads later has less time left."""
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        within, least = self.options.read_within, self.options.read_at_least
        return max(self._began + within.total_seconds(), now + least.total_seconds())

    async def parts(self, *readings: Awaitable[Any]) -> list[Panel[Any]]:
        """Several parts at once, in their order.

        Raises:
            NothingReadError: None of them could be read, because the database does not answer.
        """
        parts = await asyncio.gather(*(self.part(reading) for reading in readings))
        if all(part.problem is not None and part.problem.status == 503 for part in parts):
            raise NothingReadError(parts[0].problem)
        return parts

    def render(
        self,
        template: str,
        *,
        title: str,
        crumbs: Sequence[tuple[str, str]] = (),
        topics: Collection[str] = (),
        status: int = 200,
        **context: Any,
    ) -> HTMLResponse:
        """The page.

        Args:
            template: In ``templates``; extends ``layout.html``.
            title: The one ``h1``; the title of the tab begins with it.
            crumbs: Title and address of each page above this one, without the overview.
            topics: What makes the page look again, such as ``incident:all``; empty for a page that is not live.
            context: For the template.
        """
        given = self.request.query_params.get("said", "")
        everything = {
            "page": self,
            "url": self.url,
            "here": self.here,
            "static": self.static,
            "options": self.options,
            "nav": self.shell.nav,
            "needs_review": self.needs_review,
            "actor": self.actor,
            "title": title,
            "crumbs": crumbs,
            "said": self.shell.sayings.get(given),
            "stream": self.url("/stream", topics=" ".join(topics)) if topics else None,
            "theme": self._theme(),
            "rendered_at": datetime.now(UTC),
            "read_only_reason": READ_ONLY,
            **context,
        }
        return HTMLResponse(fill(template, everything), status)

    def redirect(self, path: str, *, said: str | None = None, **query: object) -> RedirectResponse:
        """Where the browser goes after a POST.

        Args:
            path: As ``url``.
            said: A word of the page module's ``SAYINGS``, whose sentence the next page shows.
        """
        return RedirectResponse(self.url(path, **query, said=said), 303)

    def problem(self, problem: Problem, answered_at: datetime | None = None) -> Response:
        """The page of something that failed.

        Args:
            answered_at: When the database last answered; None when it has not yet.
        """
        return self.render(
            "error.html", title=problem.title, problem=problem, answered_at=answered_at, status=problem.status
        )

    async def problem_of(self, error: PowertoolsError) -> Problem:
        """What a refusal means: for what is not there any more, that it is gone."""
        if isinstance(error, NotFoundError) and await self.calls.recall(error) is not None:
            return GoneError(error).problem
        problem = find_problem(error)
        if problem is None:
            raise error
        return problem

    async def gone(self, error: NotFoundError) -> Response:
        """The page of something that is not there any more, with what the audit still knows of it.

        Raises:
            NotFoundError: It never was.
        """
        known = await self.calls.recall(error)
        if known is None:
            raise error
        above = next(
            (entry for group in self.shell.nav for entry in group if self.path.startswith(f"{entry.path}/")), None
        )
        return self.render(
            "gone.html",
            title=f"{GoneError(error).title} is gone",
            status=410,
            crumbs=[(above.title, self.url(above.path))] if above else (),
            why=WHY_GONE,
            known=known,
            above=above,
        )

    def static(self, name: str) -> str:
        """The address of a file of the console's own, such as ``icons.svg``."""
        return self.url(f"/static/{static_files()[name].served_as}")

    def _theme(self) -> str | None:
        theme = self.request.cookies.get(THEME_COOKIE)
        return theme if theme in THEMES else None


READ_ONLY: Final = "This console is read-only: nothing can be changed here."


async def actor_of(find: FindActor, connection: HTTPConnection) -> ActorLike | None:
    """Who sent a request.

    Raises:
        HTTPException: 403: the host refuses them with a PermissionError.
    """
    try:
        found = find(connection)
        return await found if inspect.isawaitable(found) else found
    except PermissionError as error:
        raise HTTPException(403, str(error) or "You may not see this.") from error
