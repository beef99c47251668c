"""The one table of every list: what its columns are, and how they fit into the reader's terminal.

A row is one line of at most the terminal's width (80 columns where there is none, unless COLUMNS says else), and the
sentence that belongs to it follows on lines of its own. A column in which every row is empty is left out.

The rule that must never break: what somebody copies, such as an id, is never shortened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from . import text

_GAP: Final = "  "
_NARROWEST: Final = 8
_INDENT: Final = "    "
_SENTENCE_LINES: Final = 8
"""Ours end with what to do, and quote 200 characters of an error at most: none of them is cut in 80 columns."""


@dataclass(frozen=True, slots=True)
class Column[T]:
    """One column."""

    title: str
    """Its header, in capitals."""

    cell: Callable[[T], object]
    """What it shows of a record; empty for None and for an empty text."""

    whole: bool = False
    """Never shortened, because it is copied or compared: an id, a word, a time."""

    number: bool = False
    """Aligned to the right, and never shortened."""

    spare: bool = False
    """Left out where not everything fits; the last one goes first."""

    else_: Callable[[T], object] | None = None
    """What an empty cell shows where another row has something in this column; without, it looks like a fault."""

    end: bool = False
    """Shortened in front, because its end tells it apart: the path of a worker."""


@dataclass(frozen=True, slots=True)
class Table[T]:
    """The columns of a kind of record, and the sentence below its row."""

    columns: Sequence[Column[T]]
    """From left to right, the operator's word first."""

    sentence: Callable[[T], str | Sequence[str]] | None = None
    """Says of a record what its columns cannot, or several such sentences; empty for none."""

    def lay_out(self, records: Sequence[T], room: int) -> list["TableLine"]:
        """The lines of the table, the header first."""
        grid = [_cut_strip(column, records) for column in self.columns]
        strips = _fit([strip for strip in grid if strip.filled], room)
        lines = [TableLine(cells=[strip.cell(row) for strip in strips]) for row in range(len(records) + 1)]
        if self.sentence is None:
            return lines
        below = [_sentences(self.sentence(record), room) for record in records]
        return [lines[0], *(part for line, more in zip(lines[1:], below, strict=True) for part in (line, *more))]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLine:
    """A line of a table: cells, padded but for the last, or a part of a sentence."""

    cells: Sequence[str] = ()
    sentence: str = ""


@dataclass(slots=True, kw_only=True)
class _Strip:
    """A column's cells from top to bottom, its title first."""

    cells: Sequence[str]
    width: int
    narrowest: int
    spare: bool
    number: bool
    end: bool

    @property
    def filled(self) -> bool:
        return any(self.cells[1:])

    def cell(self, row: int) -> str:
        cut = text.shorten_front if self.end else text.shorten
        cell = cut(self.cells[row], self.width)
        padding = " " * (self.width - text.width(cell))
        return padding + cell if self.number else cell + padding


def _cut_strip[T](column: Column[T], records: Sequence[T]) -> _Strip:
    values = [column.cell(record) for record in records]
    if column.else_ is not None and any(values):
        values = [value or column.else_(record) for value, record in zip(values, records, strict=True)]
    cells = [column.title, *("" if value is None else text.one_line(str(value)) for value in values)]
    width = max(map(text.width, cells))
    fixed = column.whole or column.number
    narrowest = width if fixed else min(width, max(_NARROWEST, text.width(column.title)))
    return _Strip(
        cells=cells, width=width, narrowest=narrowest, spare=column.spare, number=column.number, end=column.end
    )


def _fit(strips: list[_Strip], room: int) -> list[_Strip]:
    """Leave out spare columns, then shorten the widest ones, until a row fits as far as it can."""
    while _width(strips) > room and (spare := [strip for strip in strips if strip.spare]):
        strips = [strip for strip in strips if strip is not spare[-1]]
    while _width(strips) > room and (wide := [strip for strip in strips if strip.width > strip.narrowest]):
        max(wide, key=lambda strip: strip.width).width -= 1
    return strips


def _width(strips: Sequence[_Strip]) -> int:
    return sum(strip.width for strip in strips) + len(_GAP) * (len(strips) - 1)


def _sentences(sentences: str | Sequence[str], room: int) -> list[TableLine]:
    lines: list[TableLine] = []
    for sentence in (sentences,) if isinstance(sentences, str) else sentences:
        parts = text.wrap(text.one_line(sentence), room - len(_INDENT), lines=_SENTENCE_LINES)
        lines += [TableLine(sentence=f"{_INDENT}{part}") for part in parts]
    return lines
