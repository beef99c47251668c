"""Arrange how the steps of a workflow spent their time: rows of bars over an axis, waiting told apart from working.

Pure: what happened is given, and so is the present, by the database's clock. One row is an attempt with the waits
before it; a step that has not run yet has one row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from ..states import OperatorStatus, StepPhase

MOST_TICKS: Final = 6
"""Marks of the axis."""

_SECOND: Final = timedelta(seconds=1)
_STEPS: Final = (
    *(timedelta(milliseconds=step) for step in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(timedelta(seconds=step) for step in (1, 2, 5, 10, 15, 30)),
    *(timedelta(minutes=step) for step in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=step) for step in (1, 2, 3, 6, 12)),
    *(timedelta(days=step) for step in (1, 2, 7, 14, 28, 91, 182, 364)),
)
_DAY: Final = timedelta(days=1)
_MIDNIGHT: Final = time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """What a step did for a time."""

    phase: StepPhase
    """Whether it worked, or what it waited for."""

    begins_at: datetime
    """Since when; database clock."""

    ends_at: datetime | None
    """Until when; None while it goes on."""

    attempt: int = 0
    """Of work: which attempt."""

    failed: bool = False
    """Of work: whether it ended without success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpells:
    """One step and its spells."""

    name: str
    """Unique in the workflow; any text."""

    status: OperatorStatus
    """The operator's word now."""

    state: str
    """The raw state now."""

    spells: Sequence[Spell]
    """In the order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A part of a row."""

    phase: StepPhase
    """What the step did."""

    begin: float
    """Where it begins, from 0 to 1 of the axis."""

    end: float
    """Where it ends."""

    lasts_for: timedelta
    """How long it lasted; until now where it goes on."""

    goes_on: bool
    """Whether it still does."""

    failed: bool
    """Of work: whether it ended without success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRow:
    """One attempt of a step, or its wait for one."""

    step: StepSpells
    """The step."""

    is_first: bool
    """Whether it is the step's first row."""

    attempt: int
    """Which attempt; 0 where none has begun."""

    bars: Sequence[Bar]
    """In the order of time."""

    @property
    def waited_for(self) -> timedelta:
        """How long it waited for anything but what it depends on."""
        waits = (bar for bar in self.bars if bar.phase not in (StepPhase.WORK, StepPhase.DEPENDENCIES))
        return sum((bar.lasts_for for bar in waits), timedelta())

    @property
    def worked_for(self) -> timedelta:
        """How long it worked."""
        return sum((bar.lasts_for for bar in self.bars if bar.phase is StepPhase.WORK), timedelta())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark of the axis."""

    at: datetime
    """The instant, UTC."""

    place: float
    """From 0 to 1 of the axis."""

    begins_day: bool
    """Whether it is the midnight of a day."""

    label: str
    """The time, and the day where that is new; midnight is the day alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Rows over an axis."""

    begins_at: datetime
    """Where the axis begins."""

    ends_at: datetime
    """Where it ends: now, or when the last spell ended."""

    ticks: Sequence[Tick]
    """In the order of time."""

    rows: Sequence[ChartRow]
    """By step, then in the order of time."""


def arrange(steps: Sequence[StepSpells], *, now: datetime) -> Chart:
    """The chart of these steps.

    Args:
        now: The present by the database's clock: what goes on lasts until then.
    """
    begins = [spell.begins_at for step in steps for spell in step.spells]
    begin = min(begins, default=now)
    ends = [_end(spell, now) for step in steps for spell in step.spells]
    end = max([*ends, begin + timedelta(milliseconds=1)])
    rows = [row for step in steps for row in _rows(step, begin, end, now)]
    return Chart(begins_at=begin, ends_at=end, ticks=_ticks(begin, end), rows=rows)


def _rows(step: StepSpells, begin: datetime, end: datetime, now: datetime) -> Iterable[ChartRow]:
    """A row ends with its work: what comes after that is the wait for the next attempt."""
    waiting: list[Bar] = []
    first = True
    for spell in step.spells:
        waiting.append(_bar(spell, begin, end, now))
        if spell.phase is StepPhase.WORK:
            yield ChartRow(step=step, is_first=first, attempt=spell.attempt, bars=waiting)
            waiting, first = [], False
    if waiting or first:
        yield ChartRow(step=step, is_first=first, attempt=0, bars=waiting)


def _bar(spell: Spell, begin: datetime, end: datetime, now: datetime) -> Bar:
    until = _end(spell, now)
    return Bar(
        phase=spell.phase,
        begin=(spell.begins_at - begin) / (end - begin),
        end=min(1.0, (until - begin) / (end - begin)),
        lasts_for=until - spell.begins_at,
        goes_on=spell.ends_at is None,
        failed=spell.failed,
    )


def _end(spell: Spell, now: datetime) -> datetime:
    """Until when it is drawn; instants of two transactions can be in the wrong order by a little."""
    return max(spell.begins_at, now if spell.ends_at is None else spell.ends_at)


def _ticks(begin: datetime, end: datetime) -> list[Tick]:
    """Marks at round times, as many as fit; the first one, and the first of each day, name the day where it matters."""
    step = next((step for step in _STEPS if (end - begin) / step <= MOST_TICKS), _STEPS[-1])
    epoch = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday: weeks begin with it
    at = epoch + -(-(begin - epoch) // step) * step
    names_days = end.astimezone(UTC).date() != begin.astimezone(UTC).date()
    ticks: list[Tick] = []
    while at <= end:
        is_new = names_days and (not ticks or ticks[-1].at.date() != at.date())
        ticks.append(_tick(at, begin, end, _label(at, step, names_day=is_new)))
        at += step
    if not ticks or ticks[0].place > 1 / (MOST_TICKS + 1):
        ticks.insert(0, _tick(begin, begin, end, _label(begin.astimezone(UTC), step, names_day=names_days)))
    return ticks


def _tick(at: datetime, begin: datetime, end: datetime, label: str) -> Tick:
    begins_day = at.astimezone(UTC).time() == _MIDNIGHT
    return Tick(at=at, place=(at - begin) / (end - begin), begins_day=begins_day, label=label)


def _label(at: datetime, step: timedelta, *, names_day: bool) -> str:
    day = f"{at.day} {at:%b}"
    if step >= _DAY or (names_day and at.time() == _MIDNIGHT):
        return day
    if step >= timedelta(minutes=1):
        clock = f"{at:%H:%M}"
    elif step >= _SECOND:
        clock = f"{at:%H:%M:%S}"
    else:
        clock = f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
    return f"{day} {clock}" if names_day else clock
