"""Where the time of steps went: one row an attempt, waiting told apart from working, over an axis with round times."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.graph.gantt import MOST_TICKS, Chart, Spell, StepSpells, arrange
from oban_powertools.graph.gantt_svg import WAITS, describe, draw_axis, draw_bars, draw_gantt, fitting
from oban_powertools.graph.reading import read_chart
from oban_powertools.graph.text_width import text_width
from oban_powertools.states import OperatorStatus, StepPhase
from tests.support.by_hand import Hand, chain

BEGIN = datetime(2026, 11, 28, 2, 0, 4, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def spell(phase: StepPhase, begin: float, end: float | None, *, attempt: int = 0, failed: bool = False) -> Spell:
    ends_at = None if end is None else after(end)
    return Spell(phase=phase, begins_at=after(begin), ends_at=ends_at, attempt=attempt, failed=failed)


def a_step(*spells: Spell, name: str = "step", status: OperatorStatus = OperatorStatus.WAITING) -> StepSpells:
    return StepSpells(name=name, status=status, state="retryable", spells=spells)


RETRIED = a_step(
    spell(StepPhase.DEPENDENCIES, 0, 10),
    spell(StepPhase.QUEUE, 10, 20),
    spell(StepPhase.WORK, 20, 50, attempt=1, failed=True),
    spell(StepPhase.RETRY, 50, 80),
    spell(StepPhase.WORK, 80, 90, attempt=2, failed=True),
    spell(StepPhase.RETRY, 90, None),
)


def test_each_attempt_is_a_row_with_the_wait_before_it() -> None:
    chart = arrange([RETRIED], now=after(100))

    assert [(row.attempt, row.is_first) for row in chart.rows] == [(1, True), (2, False), (0, False)]
    assert [row.waited_for.seconds for row in chart.rows] == [10, 30, 10]
    assert [row.worked_for.seconds for row in chart.rows] == [30, 10, 0]


def test_what_goes_on_lasts_until_now() -> None:
    [row] = arrange([a_step(spell(StepPhase.WORK, 0, None, attempt=1))], now=after(40)).rows

    assert (row.bars[0].begin, row.bars[0].end, row.bars[0].goes_on) == (0.0, 1.0, True)
    assert row.worked_for == timedelta(seconds=40)


def test_a_step_that_did_nothing_has_a_row_too() -> None:
    chart = arrange([a_step(name="a"), a_step(name="b")], now=BEGIN)

    assert [row.step.name for row in chart.rows] == ["a", "b"]


spells = st.builds(
    lambda phase, begin, length: spell(phase, begin, None if length is None else begin + length),
    st.sampled_from(StepPhase),
    st.floats(0, 1e6),
    st.none() | st.floats(-1, 1e6),
)


@given(st.lists(st.lists(spells, max_size=5), max_size=5), st.floats(0, 1e7))
def test_every_bar_and_tick_is_on_the_axis_and_no_spell_is_lost(steps: list[list[Spell]], now: float) -> None:
    chart = arrange([a_step(*one) for one in steps], now=after(now))

    bars = [bar for row in chart.rows for bar in row.bars]
    assert len(bars) == sum(map(len, steps))
    assert all(0 <= bar.begin <= bar.end <= 1 for bar in bars)
    assert all(0 <= tick.place <= 1 for tick in chart.ticks)


@given(st.floats(0.01, 1e8))
def test_an_axis_has_a_few_ticks_at_equal_distances(length: float) -> None:
    chart = arrange([a_step(spell(StepPhase.WORK, 0, length))], now=after(length))

    assert 1 <= len(chart.ticks) <= MOST_TICKS + 2
    round_ones = chart.ticks[1:] if chart.ticks[0].at == BEGIN else chart.ticks
    assert len({b.at - a.at for a, b in pairwise(round_ones)}) <= 1
    assert len({tick.label for tick in chart.ticks}) == len(chart.ticks)


@pytest.mark.parametrize(
    ("length", "labels"),
    [
        (74 * 60, ["02:00", "02:15", "02:30", "02:45", "03:00"]),
        (50, ["02:00:10", "02:00:20", "02:00:30", "02:00:40", "02:00:50"]),
        (30 * 3600, ["28 Nov 06:00", "12:00", "18:00", "29 Nov", "06:00"]),
    ],
)
def test_ticks_are_round_times_and_name_a_day_where_it_is_new(length: float, labels: Sequence[str]) -> None:
    chart = arrange([a_step(spell(StepPhase.WORK, 0, length))], now=after(length))

    assert [tick.label for tick in chart.ticks] == labels


@given(st.floats(0.01, 1e8), st.floats(0, 86_400), st.sampled_from([190.0, 420.0, 640.0]))
def test_no_label_of_an_axis_overlaps_another_or_leaves_it(length: float, start: float, width: float) -> None:
    chart = arrange([a_step(spell(StepPhase.WORK, start, start + length))], now=after(start + length))

    shown = fitting(chart.ticks, width, 12)

    ends = [tick.place * width + text_width(tick.label, 12) for tick in shown]
    assert all(end < following.place * width for end, following in zip(ends, shown[1:], strict=False))
    assert all(end <= width for end in ends)


def test_a_day_that_begins_is_named_before_a_time_of_the_day_before() -> None:
    chart = arrange([a_step(spell(StepPhase.WORK, 0, 4 * 86_400))], now=after(4 * 86_400))

    labels = [tick.label for tick in fitting(chart.ticks, 190, 12)]

    assert labels == ["29 Nov", "1 Dec"]


def test_each_kind_of_wait_looks_different_from_work_and_from_the_others() -> None:
    # Work ends a row, so it comes last.
    phases = sorted(StepPhase, key=lambda phase: phase is StepPhase.WORK)
    [row] = arrange([a_step(*(spell(phase, 0, 10) for phase in phases))], now=after(10)).rows

    parts = ElementTree.fromstring(draw_bars(row))

    assert len({part.get("class") for part in parts}) == len(StepPhase)
    assert {part.tag for part in parts if str(part.get("class")).startswith("work")} == {"rect"}
    assert set(WAITS) == set(StepPhase) - {StepPhase.WORK}


def test_a_row_says_in_words_what_it_shows() -> None:
    chart = arrange([RETRIED], now=after(100))

    assert [describe(row) for row in chart.rows] == [
        "step, attempt 1, waits for other steps for 10 s, waits in its queue for 10 s, worked and failed for 30 s",
        "step, attempt 2, waits for its next attempt for 30 s, worked and failed for 10 s",
        "step, waits for its next attempt for 10 s",
    ]


@given(st.text(st.characters(), max_size=40))
def test_names_are_text_in_a_chart_too(name: str) -> None:
    chart = arrange([a_step(name=name)], now=BEGIN)

    document = ElementTree.fromstring(draw_gantt(chart, title=name, description=name, link=lambda step: "?step=1"))

    tags = {element.tag.removeprefix(SVG) for element in document.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "path", "text", "g", "a"}


def row_phases(chart: Chart) -> list[list[StepPhase]]:
    return [[bar.phase for bar in row.bars] for row in chart.rows]


async def test_a_stored_workflow_is_charted_from_its_history(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("HTTP 503")})

    chart = await read_chart(hand.powertools, workflow_id)

    first = chart.rows[0]
    assert [row.step.name for row in chart.rows] == ["s0", "s1"]
    assert [bar.phase for bar in first.bars] == [StepPhase.DEPENDENCIES, StepPhase.QUEUE, StepPhase.WORK]
    assert first.bars[-1].failed
    assert [bar.phase for bar in chart.rows[1].bars] == [StepPhase.DEPENDENCIES]
    assert not any(bar.goes_on for row in chart.rows for bar in row.bars)


def test_the_axis_of_a_table_has_the_times_of_the_ticks_behind_the_bars() -> None:
    chart = arrange([RETRIED], now=after(100))

    axis, bars = ElementTree.fromstring(draw_axis(chart)), ElementTree.fromstring(draw_bars(chart.rows[0], chart.ticks))

    assert [part.text for part in axis] == ["02:00:04", "02:00:30", "02:01:00"]  # 02:01:30 would not fit
    assert sum(part.get("class") == "tick" for part in bars) == len(chart.ticks)


async def test_a_chart_of_some_steps_has_only_these(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(3))
    outline = await hand.workflows.outline(workflow_id)

    chart = await read_chart(hand.powertools, workflow_id, outline[1:2])

    assert [row.step.name for row in chart.rows] == ["s1"]
