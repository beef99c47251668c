"""Draw a Gantt chart as SVG: as a file, or the bars of a row for a cell of a table.

Pure. Thick is work, thin is waiting: dashed for the next attempt, dotted for a signal or a time, a hair for what it
depends on. Work that failed is hollow. Nothing is inline; the look is that of ``graph.css``.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from ..explain.phrases import spell_span
from ..states import OperatorStatus, StepPhase
from ..workflows.drawing import as_label
from .gantt import Bar, Chart, ChartRow, Tick
from .markup import attribute, number, reference, text
from .stylesheet import stylesheet, word_class
from .text_width import shorten_middle, text_width

type LinkToStep = Callable[[str], str | None]
"""Where the name of a step leads to; None for nowhere."""

_ROW: Final = 24.0
_HEAD: Final = 84.0
_FOOT: Final = 40.0
_MARGIN: Final = 14.0
_NAME: Final = 220.0
_COLUMN: Final = 76.0
_AXIS: Final = 640.0
_CELL: Final = 1000.0
_COLUMN_WIDE: Final = 420.0
"""Pixels of a page's axis beside the other columns on a large screen."""

_COLUMN_NARROW: Final = 190.0
"""Pixels of it where a table is at its narrowest."""

_LABEL_ROOM: Final = 8.0
"""Pixels around a label."""

WAITS: Final = {
    StepPhase.DEPENDENCIES: "waits for other steps",
    StepPhase.QUEUE: "waits in its queue",
    StepPhase.TIME: "waits for its time",
    StepPhase.SIGNAL: "waits for its signal",
    StepPhase.RESCUE: "waits for its rescue",
    StepPhase.RETRY: "waits for its next attempt",
}
"""What a wait is called."""


def draw_bars(row: ChartRow, ticks: Sequence[Tick] = ()) -> str:
    """The bars of a row as an ``<svg>`` that fills a cell; the cells beside it say the same in words.

    Args:
        ticks: Marks of the axis, drawn behind the bars.
    """
    lines = "".join(f'<path class="tick" d="M{number(tick.place * _CELL)} 0v20"/>' for tick in ticks)
    bars = lines + "".join(_bar(bar, 0, 10, _CELL) for bar in row.bars)
    return (
        f'<svg class="bars {_row_class(row)}" viewBox="0 0 {number(_CELL)} 20" preserveAspectRatio="none"'
        f' aria-hidden="true">{bars}</svg>'
    )


def draw_axis(chart: Chart) -> str:
    """The marks of the axis with their times as an ``<svg>`` that fills the head of a column."""
    always = fitting(chart.ticks, _COLUMN_NARROW, 12)
    marks = "".join(
        f'<text class="{"always" if tick in always else "if-wide"}" x="{number(tick.place * 100)}%" dx="4" y="14">'
        f"{text(tick.label)}</text>"
        for tick in fitting(chart.ticks, _COLUMN_WIDE, 12)
    )
    return f'<svg class="axis" width="100%" height="20" aria-hidden="true">{marks}</svg>'


def fitting(ticks: Sequence[Tick], width: float, size: float) -> list[Tick]:
    """The marks whose times fit beside each other, days before times of a day, and all within the axis.

    Args:
        width: Of the axis, in pixels.
        size: Of the type, in pixels.
    """
    kept: dict[Tick, tuple[float, float]] = {}
    for tick in sorted(ticks, key=lambda tick: not tick.begins_day):
        begin, end = _extent(tick, width, size)
        if end <= width and all(end <= other_begin or other_end <= begin for other_begin, other_end in kept.values()):
            kept[tick] = (begin, end)
    return sorted(kept, key=lambda tick: tick.place)


def _extent(tick: Tick, width: float, size: float) -> tuple[float, float]:
    """Where its label begins and ends, with the room around it."""
    begin = tick.place * width
    return begin, begin + _LABEL_ROOM + text_width(tick.label, size)


def draw_gantt(chart: Chart, *, title: str, description: str, link: LinkToStep | None = None) -> str:
    """The chart as an SVG file: names, attempts, times, and bars over an axis."""
    left = _MARGIN + _NAME + 3 * _COLUMN
    width = left + _AXIS + _MARGIN
    height = _HEAD + len(chart.rows) * _ROW + _FOOT
    room = width - 2 * _MARGIN
    name, words = shorten_middle(as_label(title), room, 16), shorten_middle(as_label(description), room, 11)
    head = (
        f'<text class="title" x="{number(_MARGIN)}" y="26">{text(name)}</text>'
        f'<text class="say" x="{number(_MARGIN)}" y="44">{text(words)}</text>'
    )
    rows = "".join(_row(row, _HEAD + index * _ROW, left, link) for index, row in enumerate(chart.rows))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph gantt-chart" width="{number(width)}"'
        f' height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}" role="group"'
        ' aria-labelledby="gantt-title" aria-describedby="gantt-desc">'
        f'<title id="gantt-title">{text(title)}</title><desc id="gantt-desc">{text(description)}</desc>'
        f'<style>{stylesheet()}</style><rect class="ground" width="100%" height="100%"/>{head}'
        f"{''.join(_axis(chart, left, height - _FOOT))}{rows}{_key(chart, height - _FOOT / 2)}</svg>\n"
    )


def _axis(chart: Chart, left: float, bottom: float) -> Iterator[str]:
    columns = ("Attempt", "Waited", "Worked")
    for index, name in enumerate(columns, start=1):
        x = number(_MARGIN + _NAME + index * _COLUMN - 16)
        yield f'<text class="say" x="{x}" y="{number(_HEAD - 12)}" text-anchor="end">{name}</text>'
    yield f'<text class="say" x="{number(_MARGIN)}" y="{number(_HEAD - 12)}">Step</text>'
    labelled = fitting(chart.ticks, _AXIS, 11)
    for tick in chart.ticks:
        x = left + tick.place * _AXIS
        yield f'<path class="tick" d="M{number(x)} {number(_HEAD - 24)}V{number(bottom)}"/>'
        if tick in labelled:
            yield f'<text class="say" x="{number(x + 5)}" y="{number(_HEAD - 12)}">{tick.label}</text>'


def _row(row: ChartRow, y: float, left: float, link: LinkToStep | None) -> str:
    middle = y + _ROW / 2
    parts = [f"<title>{text(describe(row))}</title>"]
    if row.is_first:
        parts.append(f'<path class="tick" d="M{number(_MARGIN)} {number(y)}H{number(left + _AXIS)}"/>')
        name = text(shorten_middle(as_label(row.step.name) or "(no name)", _NAME - 12, 12))
        label = f'<text class="name" x="{number(_MARGIN)}" y="{number(middle + 4)}">{name}</text>'
        href = link(row.step.name) if link is not None else None
        parts.append(label if href is None else f'<a href="{reference(href)}">{label}</a>')
    numbers = (str(row.attempt or ""), _duration(row.waited_for), _duration(row.worked_for))
    for index, words in enumerate(numbers, start=1):
        x = number(_MARGIN + _NAME + index * _COLUMN - 16)
        parts.append(f'<text class="say" x="{x}" y="{number(middle + 4)}" text-anchor="end">{words}</text>')
    parts += [_bar(bar, left, middle, _AXIS) for bar in row.bars]
    return f'<g class="row {attribute(_row_class(row))}" role="img">{"".join(parts)}</g>'


def describe(row: ChartRow) -> str:
    """A row in words: the step, its attempt, and each bar."""
    words = [row.step.name]
    if row.attempt:
        words.append(f"attempt {row.attempt}")
    for bar in row.bars:
        told = WAITS.get(bar.phase) or ("worked and failed" if bar.failed else "works" if bar.goes_on else "worked")
        words.append(f"{told} for {spell_span(bar.lasts_for)}")
    return ", ".join(words)


def _bar(bar: Bar, left: float, middle: float, width: float) -> str:
    x = left + bar.begin * width
    length = max((bar.end - bar.begin) * width, 1.5)
    if bar.phase is StepPhase.WORK:
        extent = f'x="{number(x)}" y="{number(middle - 6)}" width="{number(length)}" height="12"'
        return f'<rect class="{_look(bar)}" {extent}/>'
    return f'<path class="{_look(bar)}" d="M{number(x)} {number(middle)}h{number(length)}"/>'


def _look(bar: Bar) -> str:
    """The classes of a bar."""
    if bar.phase is StepPhase.WORK:
        return "work" + (" failed" if bar.failed else " now" if bar.goes_on else "")
    return f"wait {bar.phase}" + (" now" if bar.goes_on else "")


def _row_class(row: ChartRow) -> str:
    is_over = any(bar.phase is StepPhase.WORK and not bar.goes_on for bar in row.bars)
    return word_class(OperatorStatus.FINISHED if is_over else row.step.status)


def _duration(time: timedelta) -> str:
    return spell_span(time) if time else ""


def _key(chart: Chart, y: float) -> str:
    """What the bars mean that the chart has."""
    drawn = {_look(bar) for row in chart.rows for bar in row.bars}
    entries = [(f"wait {phase}", words.removeprefix("waits ")) for phase, words in WAITS.items()]
    entries += [("work", "worked"), ("work failed", "worked and failed"), ("work now", "works now")]
    parts = [f'<text class="say" x="{number(_MARGIN)}" y="{number(y + 4)}">Waits</text>']
    x = _MARGIN + 42
    for names, words in entries:
        if not drawn.isdisjoint({names, f"{names} now"}):
            if names.startswith("work"):
                extent = f'x="{number(x)}" y="{number(y - 6)}" width="26" height="12"'
                parts.append(f'<rect class="{names}" {extent}/>')
            else:
                parts.append(f'<path class="{names}" d="M{number(x)} {number(y)}h26"/>')
            parts.append(f'<text class="say" x="{number(x + 33)}" y="{number(y + 4)}">{words}</text>')
            x += 33 + text_width(words, 11) + 16
    return f'<g class="row">{"".join(parts)}</g>'
