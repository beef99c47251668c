"""Print answers: JSON for programs, tables and facts for people. Data goes to stdout, everything else to stderr.

JSON carries ``schema_version``, ids as text and instants in UTC.
"""

import logging
import shutil
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, Final

import click
import orjson

from .. import wire
from . import text
from .forms import Form
from .program import as_called
from .tables import Table, TableLine

SCHEMA_VERSION: Final = 1
"""The version of the JSON; it rises when a key is removed or changes its meaning, not when one is added."""

_NARROWEST: Final = 24
_SECOND_SCREEN: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
_FIRST_SCREEN: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K"
_REST: Final = "\x1b[K\x1b[J"
_COLORS: Final = {
    "Needs Review": "red",
    "Missing": "red",
    "missing": "red",
    "Blocked": "yellow",
    "Late": "yellow",
    "late": "yellow",
    "dead": "red",
    "completed": "green",
    "discarded": "red",
    "failed": "red",
    "expired": "red",
    "cancelled": "yellow",
    "retryable": "yellow",
    "retrying": "yellow",
    "cancel_requested": "yellow",
    "executing": "cyan",
    "started": "cyan",
    "running": "cyan",
}


class Styled(str):
    """A text of ours that contains terminal codes; parts from elsewhere were made visible before."""

    __slots__ = ()


def say(*parts: str, err: bool = False) -> None:
    """Write one line; control characters are made visible unless the text is ``Styled``."""
    line = "".join(part if isinstance(part, Styled) else text.one_line(part) for part in parts)
    click.echo(as_called(line), err=err)


def say_lines(block: str, *, err: bool = False) -> None:
    """Write a text of several lines, control characters made visible."""
    for line in block.split("\n"):
        say(line, err=err)


def ask(question: str) -> bool:
    """Ask the person at the terminal."""
    return click.confirm(text.one_line(question), err=True)


class OneLineFormatter(logging.Formatter):
    """Writes a record for a terminal: its message on one line, its traceback below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        """As logging, made visible."""
        return text.one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """As logging, made visible."""
        return "\n".join(map(text.visible, super().format(record).split("\n")))


def print_json(answer: Mapping[str, Any], form: Form = Form.JSON, *, err: bool = False) -> None:
    """One JSON document with ``schema_version`` first; records, ids and enums in it are written as ``wire`` does.

    Args:
        form: ``JSONL`` puts it on one line.
    """
    document = {"schema_version": SCHEMA_VERSION, **wire.to_json(answer)}
    say_json(orjson.dumps(document, option=None if form is Form.JSONL else orjson.OPT_INDENT_2).decode(), err=err)


def say_json(document: str, *, err: bool = False) -> None:
    """Write a JSON document: exact for its reader, and without control characters for a terminal."""
    click.echo(text.visible_json(document), err=err)


def print_list[T](
    form: Form,
    name: str,
    records: Sequence[T],
    table: Table[T],
    *,
    empty: str,
    limit: int | None = None,
    place: Callable[[Any], object] = attrgetter("id"),
    written: Callable[[T], Any] = lambda record: record,
    then: Sequence[str] = (),
    **more: Any,
) -> None:
    """Print a list in the form that was asked for.

    Args:
        name: Its key in JSON.
        empty: The remark for people when it has no record.
        limit: Of a list in pages, how many records a page has; one that is full has a next page.
        place: What ``--before`` takes of the last record of a page for the next one.
        written: What stands for a record in JSON; the record itself by default.
        then: Commands that people may want next, as ``print_next`` takes them.
        more: Further keys in JSON; ``next_before`` and ``next_after`` are what ``--before`` and ``--after`` take for
            the next page, None on the last one, where the list itself says so.
    """
    if limit is not None:
        more["next_before"] = place(records[-1]) if len(records) == limit else None
    if form is Form.JSON:
        print_json({name: [written(record) for record in records], **more})
        return
    if form is Form.JSONL:
        for record in records:
            print_json(wire.to_json(written(record)), form)
    elif records:
        print_table(table, records)
        print_next(*then)
    else:
        note(empty)
    for option in ("before", "after"):
        if (following := more.get(f"next_{option}")) is not None:
            note(f"more: --{option} {following}")


def print_table[T](table: Table[T], records: Sequence[T]) -> None:
    """Print a table that fits into the terminal."""
    for line in table.lay_out(records, terminal_width()):
        say(paint(line))


def paint(line: TableLine) -> Styled:
    """A line of a table as it is written."""
    if line.sentence:
        return Styled(text.one_line(line.sentence))
    return Styled("  ".join(map(colored, line.cells)).rstrip())


def has_terminal() -> bool:
    """Whether a person sees what is written to stdout at once."""
    return sys.stdout.isatty()


@contextmanager
def second_screen() -> Generator[None]:
    """Show the terminal's second screen without a cursor; what was there before comes back, however this ends."""
    sys.stdout.write(_SECOND_SCREEN)
    try:
        yield
    finally:
        sys.stdout.write(_FIRST_SCREEN)
        sys.stdout.flush()


def repaint(lines: Sequence[str]) -> None:
    """Write a whole screen over the last one, in one piece and without clearing it first, so that nothing flickers."""
    context = click.get_current_context(silent=True)
    plain = context is not None and context.color is False
    shown = [click.unstyle(line) if plain else line for line in map(_safe, lines)]
    sys.stdout.write(_HOME + "".join(f"{line}{_END_OF_LINE}\n" for line in shown[:-1]) + shown[-1] + _REST)
    sys.stdout.flush()


def _safe(line: str) -> str:
    return line if isinstance(line, Styled) else text.one_line(line)


def print_next(*commands: str) -> None:
    """Print what to do next, the most obvious first; nothing when there is none."""
    if not commands:
        return
    say()
    for number, command in enumerate(commands):
        say(Styled(click.style("  or: " if number else "next: ", dim=True)), command)


def terminal_width() -> int:
    """Columns of the terminal that reads stdout; COLUMNS counts before it, and without both it is 80."""
    return shutil.get_terminal_size().columns


def terminal_size() -> tuple[int, int]:
    """Columns, as ``terminal_width``, and lines; 24 without a terminal."""
    return shutil.get_terminal_size()


def print_facts(facts: Mapping[str, str]) -> None:
    """One fact a line, names aligned; facts without a value are left out."""
    filled = {name: value for name, value in facts.items() if value}
    column = max(map(len, filled), default=0) + 2
    for name, value in filled.items():
        first, *more = text.wrap(text.one_line(value), max(terminal_width() - column, _NARROWEST))
        say(f"{name:<{column}}", colored(first))
        for line in more:
            say(" " * column, line)


def print_block(title: str, block: str) -> None:
    """A text below its title; nothing when it is empty."""
    if block:
        say()
        say(Styled(click.style(text.one_line(title), bold=True)))
        for line in block.splitlines():
            say(f"  {line}")


def colored(cell: str) -> Styled:
    """The cell in its colour when it is a state; colours vanish where stdout is no terminal."""
    cell = text.one_line(cell)
    word = cell.strip()
    color = _COLORS.get(word)
    return Styled(cell.replace(word, click.style(word, fg=color)) if color else cell)


def note(message: str) -> None:
    """A remark for the person at the terminal, on stderr."""
    say(message, err=True)
