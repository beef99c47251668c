"""``watch``: incidents, executors and queues on one screen, painted again and again until Ctrl+C.

One connection, which is made anew when it is lost. The rule that must never break: however it ends, the terminal is as
it was before.
"""

import asyncio
import signal
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import click
import psycopg

from ..calls import Calls
from ..database.sqlstates import Trouble, find_trouble
from ..errors import DatabaseUnavailableError
from ..lifeline import ExecutorHealth, Incident
from ..plural import counted
from ..states import ExecutorState
from ..times import instant
from ..upkeep.queues import Queue
from .executor_commands import EXECUTORS, nobody_lives
from .exits import Exit
from .forms import Form
from .groups import examples
from .incident_commands import INCIDENTS
from .incident_text import say_unwatched
from .next_commands import worst_first
from .output import has_terminal, paint, print_json, repaint, say, second_screen, terminal_size
from .queue_commands import QUEUES
from .tables import Table
from .target import Database, answering
from .text import shorten, wrap
from .values import parse_duration

_LEAST: Final = timedelta(seconds=1)
_SMALLEST: Final = 3
"""Lines of a section: its title, the header and one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What there was to see at one instant."""

    at: datetime
    unwatched: str
    """That nobody looks for incidents; empty when somebody does."""

    incidents: Sequence[Incident]
    executors: Sequence[ExecutorHealth]
    queues: Sequence[Queue]


def _parse_interval(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    span = parse_duration(ctx, param, value)
    if span < _LEAST:
        raise click.BadParameter("at least 1s", ctx, param)
    return span


@click.command(epilog=examples("powertools watch", "powertools watch --every 10s"))
@click.option(
    "--every",
    callback=_parse_interval,
    default="2s",
    show_default=True,
    metavar="DURATION",
    help="How often it looks: 2s, 1m.",
)
@answering
async def watch(target: Database, *, every: timedelta, form: Form) -> int:
    """Watch open incidents, executors and queues on one screen, until Ctrl+C.

    Without a terminal, and in JSON, it looks once and ends.
    """
    async with _Source(target) as source:
        first = await source.look()
        if form.is_json:
            print_json({"incidents": first.incidents, "executors": first.executors, "queues": first.queues}, form)
        elif not has_terminal():
            for line in _sections(first, terminal_size()[0], None)[1:]:
                say(line)
        else:
            await _repaint(source, first, every)
    return Exit.DONE


class _Source:
    """One connection, and what is seen through it."""

    def __init__(self, target: Database) -> None:
        self._target = target
        self._open = AsyncExitStack()
        self._calls: Calls | None = None

    async def __aenter__(self) -> "_Source":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def look(self) -> _Look:
        """What there is now.

        Raises:
            DatabaseUnavailableError: No connection.
            psycopg.Error: It was lost meanwhile; the next look makes another one.
        """
        try:
            if self._calls is None:
                self._calls = await self._open.enter_async_context(self._target.calls())
            calls = self._calls
            counts = await calls.lifeline.count_executors()
            seen_ago = await calls.lifeline.incidents_seen_ago()
            return _Look(
                at=datetime.now(UTC),
                unwatched=say_unwatched(seen_ago, nobody_lives=nobody_lives(counts)),
                incidents=worst_first(await calls.lifeline.list_incidents(limit=100)),
                executors=worst_first(_that_matter(await calls.lifeline.list_executor_health())),
                queues=worst_first(await calls.queues.list()),
            )
        except BaseException:
            self._calls = None
            await self._open.aclose()
            raise


def _that_matter(executors: Sequence[ExecutorHealth]) -> list[ExecutorHealth]:
    """Those that have not stopped, and are not replaced."""
    return [each for each in executors if each.state is not ExecutorState.STOPPED and not each.replaced]


async def _repaint(source: _Source, look: _Look, every: timedelta) -> None:
    lost_since: datetime | None = None
    with second_screen(), _signals() as (resized, ended):
        while not ended.is_set():
            repaint(_screen(look, lost_since, every))
            resized.clear()
            try:
                await asyncio.wait_for(resized.wait(), every.total_seconds())
            except TimeoutError:
                try:
                    look, lost_since = await source.look(), None
                except (DatabaseUnavailableError, psycopg.Error) as error:
                    if not _is_away(error):
                        raise
                    lost_since = lost_since or datetime.now(UTC)


@contextmanager
def _signals() -> Generator[tuple[asyncio.Event, asyncio.Event]]:
    """Set when the terminal has another size; and when SIGTERM asks to end, which restores it as Ctrl+C does."""
    loop, resized, ended = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def end() -> None:
        ended.set()
        resized.set()

    loop.add_signal_handler(signal.SIGWINCH, resized.set)
    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield resized, ended
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        loop.remove_signal_handler(signal.SIGTERM)


def _is_away(error: DatabaseUnavailableError | psycopg.Error) -> bool:
    return isinstance(error, DatabaseUnavailableError) or find_trouble(error) is not Trouble.REFUSED


def _screen(look: _Look, lost_since: datetime | None, every: timedelta) -> list[str]:
    columns, lines = terminal_size()
    title = f"powertools watch   every {every.total_seconds():g} s   {instant(look.at)}   Ctrl+C ends"
    head = [shorten(title, columns)]
    if lost_since:
        head.append(shorten(f"connection lost since {instant(lost_since)}; this is the last that was seen", columns))
    room = max(lines - len(head), 1)
    return (head + _sections(look, columns, room))[:lines]


def _sections(look: _Look, columns: int, room: int | None) -> list[str]:
    """The three tables; in so many lines, or whole."""
    parts = (
        _section("incident", look.incidents, INCIDENTS, columns, look.unwatched),
        _section("executor", look.executors, EXECUTORS, columns),
        _section("queue", look.queues, QUEUES, columns),
    )
    rooms = _share([_lines(part) for part in parts], room)
    return [line for part, own in zip(parts, rooms, strict=True) for line in _cut(part, own)]


@dataclass(frozen=True, slots=True)
class _Section:
    title: Sequence[str]
    header: str
    rows: Sequence[Sequence[str]]


def _section[T](noun: str, records: Sequence[T], table: Table[T], columns: int, remark: str = "") -> _Section:
    header, rows = "", list[list[str]]()
    for number, line in enumerate(table.lay_out(records, columns)):
        if number == 0:
            header = paint(line)
        elif line.sentence:
            rows[-1].append(paint(line))
        else:
            rows.append([paint(line)])
    title = "; ".join(filter(None, (counted(len(records), noun), remark)))
    return _Section(title=wrap(title, columns), header=header, rows=rows)


def _lines(section: _Section) -> int:
    return 1 + len(section.title) + (1 + sum(map(len, section.rows)) if section.rows else 0)


def _share(needed: Sequence[int], room: int | None) -> list[int]:
    """How many lines each gets: what it needs, less from the largest ones while there is not enough."""
    shares = list(needed)
    while room is not None and sum(shares) > room and max(shares) > _SMALLEST:
        shares[shares.index(max(shares))] -= 1
    return shares


def _cut(section: _Section, room: int) -> list[str]:
    """A blank line, the title, and as many whole rows as there is room for."""
    shown, used = list[str](), 2 + len(section.title)
    hidden = 0
    for row in section.rows:
        if used + len(row) <= room and not hidden:
            shown += row
            used += len(row)
        else:
            hidden += 1
    title = [*section.title[:-1], f"{section.title[-1]}, {hidden} not shown"] if hidden else section.title
    head = ["", *title] + ([section.header] if shown else [])
    return [*head, *shown][: max(room, 2)]
