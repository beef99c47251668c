"""Print answers: JSON for programs, aligned tables for people. Data goes to stdout, everything else to stderr.

JSON carries ``schema_version``, ids as text and instants in UTC.
"""

import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
import orjson

from .. import wire
from . import text

SCHEMA_VERSION: Final = 1
"""The version of the JSON; it rises when a key is removed or changes its meaning, not when one is added."""

_MIN_COLUMN: Final = 8
_COLORS: Final = {
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
    click.echo("".join(part if isinstance(part, Styled) else text.one_line(part) for part in parts), err=err)


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


def print_json(answer: Mapping[str, Any]) -> None:
    """One JSON document with ``schema_version`` first; records, ids and enums in it are written as ``wire`` does."""
    document = {"schema_version": SCHEMA_VERSION, **wire.to_json(answer)}
    say_json(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode())


def print_json_line(answer: Mapping[str, Any]) -> None:
    """One JSON document on one line with ``schema_version`` first, for answers without an end."""
    say_json(orjson.dumps({"schema_version": SCHEMA_VERSION, **wire.to_json(answer)}, option=orjson.OPT_UTC_Z).decode())


def say_json(document: str) -> None:
    """Write a JSON document: exact for its reader, and without control characters for a terminal."""
    click.echo(text.visible_json(document))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str] = ()) -> None:
    """Aligned columns; on a terminal, the widest are cut so that a row stays on one line.

    Args:
        below: Of each row, the sentence that follows it on a line of its own; empty for none.
    """
    lines = [[text.one_line(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(text.width, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty():
        widths = _fit(widths, shutil.get_terminal_size().columns)
    for number, line in enumerate(lines):
        cells = [text.shorten(cell, columns) for cell, columns in zip(line, widths, strict=True)]
        padded = [cell + " " * (columns - text.width(cell)) for cell, columns in zip(cells, widths, strict=True)]
        styled = padded if number == 0 else [colored(cell) for cell in padded]
        say(Styled("  ".join(styled).rstrip()))
        if number and below and below[number - 1]:
            sentence = f"    {text.one_line(below[number - 1])}"
            say(text.shorten(sentence, shutil.get_terminal_size().columns) if sys.stdout.isatty() else sentence)


def print_facts(facts: Mapping[str, str]) -> None:
    """One fact a line, names aligned; facts without a value are left out."""
    filled = {name: value for name, value in facts.items() if value}
    column = max(map(len, filled), default=0)
    for name, value in filled.items():
        say(f"{name:<{column}}  ", colored(value))


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
    color = _COLORS.get(cell.strip())
    return Styled(click.style(cell, fg=color) if color else cell)


def note(message: str) -> None:
    """A remark for the person at the terminal, on stderr."""
    say(message, err=True)


def _fit(widths: Sequence[int], columns: int) -> list[int]:
    fitted = list(widths)
    while sum(fitted) + 2 * (len(fitted) - 1) > columns and max(fitted) > _MIN_COLUMN:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted
