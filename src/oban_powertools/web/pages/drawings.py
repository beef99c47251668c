"""The graph and the Gantt chart of a workflow on a page: which of it is drawn, where its links lead, and its markup.

The rule that must never break: only what ``graph`` wrote, which escapes every text, becomes markup here.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote_plus, urlencode

from markupsafe import Markup

from ...graph.gantt import Chart, ChartRow
from ...graph.gantt_svg import draw_axis, draw_bars
from ...graph.layouts import Layouts
from ...graph.place import Direction, Size, place
from ...graph.reading import read_drawn_steps
from ...graph.steps import Step
from ...graph.svg import Surroundings, draw
from ...graph.view import URGENCY, Box, Choice, Graph, chain_of, choose
from ...plural import counted
from ...states import OperatorStatus, StepState, WorkflowId
from ...workflows.records import WorkflowRecord
from ..page import Page

DRAWN_AT_ONCE: Final = 300
"""Boxes that are drawn without being asked for."""

FOCUSED_ABOVE: Final = 2_000
"""Steps above which only what is around one of them is drawn, unless all is asked for."""

MOST_DRAWN: Final = 10_000
"""Steps above which a page draws nothing: the command line does."""

AROUND: Final = 2
"""Edges up and down from a step that "around" means."""

_MOST_AROUND: Final = 50
_MOST_OPEN: Final = 40
_SCROLLED_ABOVE: Final = 40
"""Boxes above which a link also scrolls to its box."""

_IN_A_THREAD_ABOVE: Final = 400
_PLACE: Final = re.compile(r"[0-9]{1,18}[.*][0-9]{1,9}", re.ASCII)
_PREFIX: Final = "g"

_BAD_ENDS: Final = frozenset({StepState.DISCARDED, StepState.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How the address asks for the graph."""

    size: Size | None
    """How much a box says; None for what fits."""

    direction: Direction
    """The direction of flow."""

    fold: bool
    """Whether equal siblings are one box."""

    hide: str | None
    """``finished``, ``nothing``, or None for what fits."""

    all: bool
    """Whether all is drawn, however much it is."""

    up: int | None
    """Edges up from the chosen step that are drawn; None, with ``down`` None, for all."""

    down: int | None
    """The same downwards."""

    opened: tuple[str, ...]
    """Places of open boxes: ``41.3`` a step, ``41*3`` a fold."""

    word: OperatorStatus | None
    """Boxes without this word stand back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnGraph:
    """The graph as the template shows it."""

    svg: Markup
    """The drawing."""

    look: Look
    """What was asked for."""

    size: Size
    """How much a box says."""

    boxes: int
    """How many are drawn."""

    total: int
    """Steps of the workflow."""

    words: Mapping[OperatorStatus, int]
    """The operator's word -> steps of the workflow that have it."""

    hidden: int
    """Steps that are not drawn."""

    hides_finished: bool
    """Whether finished ones are left out."""

    focus: Step | None
    """What the drawing is around; None for the whole graph."""

    by_itself: bool
    """Whether nobody asked for that focus: the workflow is too large for all of it."""

    folds: bool
    """Whether a box stands for several steps."""

    has_path: bool
    """Whether a blocked path is drawn."""

    has_dashed: bool
    """Whether an edge lets its child continue after a failure."""

    has_open_ends: bool
    """Whether the graph goes on beyond a box."""

    chain: Sequence[Step]
    """From a root cause down to the chosen step; empty without one in this workflow."""


def read_look(page: Page) -> Look:
    """What the address asks for.

    Raises:
        InvalidArgumentError: A word in it is none.
    """
    around = page.query("around") or page.query("focus")
    up, down = _edges(page, "up"), _edges(page, "down")
    if around and up is None and down is None:
        up = down = AROUND
    return Look(
        size=page.word("size", Size),
        direction=page.word("direction", Direction) or Direction.DOWN,
        fold=page.query("fold") != "no",
        hide=page.query("hide"),
        all=page.query("all") == "yes",
        up=up,
        down=down,
        opened=tuple(_PLACE.findall(page.query("open") or "")[:_MOST_OPEN]),
        word=page.word("word", OperatorStatus),
    )


def _edges(page: Page, name: str) -> int | None:
    text = page.query(name)
    return min(int(text), _MOST_AROUND) if text and text.isascii() and text.isdigit() and len(text) < 4 else None


async def read_graph(
    page: Page, workflow: WorkflowRecord, chosen: str | None, causes: Sequence[str], within: Collection[str] = ()
) -> Callable[[], Awaitable[DrawnGraph]]:
    """Read the graph of a workflow; what is returned draws it, which for a large one takes longer than to read it.

    Args:
        chosen: The key of the step that is looked at.
        causes: Keys of its root causes, or of the workflow's where none is chosen; the one that leads first.
        within: Places of the steps that run the workflow which the chosen step is in, where that is a nested one.
    """
    look = read_look(page)
    steps = await read_drawn_steps(page.calls, workflow.id, {*look.opened, *within})
    by_itself = workflow.total > FOCUSED_ABOVE and not look.all and look.up is None and look.down is None
    focus = chosen or (_worst(steps).key if by_itself else None)
    places = {*look.opened, *within}
    opened = {part.key for step in steps for part in step.walk() if part.place in places}
    choice = Choice(
        fold=look.fold,
        opened=frozenset(opened | {place for place in look.opened if "*" in place}),
        focus=focus,
        up=AROUND if by_itself else look.up if focus else None,
        down=AROUND if by_itself else look.down if focus else None,
        hide_finished=look.hide == "finished",
        causes=frozenset(causes),
    )
    links = Links(page)

    def drawn() -> DrawnGraph:
        drawing = _Drawing(
            links=links, sprite=page.static("icons.svg"), layouts=page.shell.layouts, by_itself=by_itself
        )
        graph = _drawn(workflow, steps, choice, look, drawing)
        ends = [step for key in (*causes[:1], chosen) for step in steps if step.key == key]
        return replace(graph, chain=chain_of(steps, ends[0], ends[1])) if len(ends) == 2 else graph

    async def draw_it() -> DrawnGraph:
        # Beside the event loop where it takes long, so that other pages are answered meanwhile.
        return drawn() if len(steps) <= _IN_A_THREAD_ABOVE else await asyncio.to_thread(drawn)

    return draw_it


class Links:
    """Addresses of the same page with other values, in few characters: a large graph has thousands.

    Args:
        page: The page.
    """

    def __init__(self, page: Page) -> None:
        query = page.request.query_params.items()
        self._query: Mapping[str, str] = {name: value for name, value in query if name not in ("cursor", "said")}
        others = {name: value for name, value in self._query.items() if value and name not in ("step", "focus")}
        self._steps = f"?{urlencode(others)}&step=" if others else "?step="

    def here(self, **changes: str | None) -> str:
        """The address, relative to the page's own."""
        pairs = {name: value for name, value in {**self._query, **changes}.items() if value}
        return f"?{urlencode(pairs)}"

    def to_step(self, name: str) -> str:
        """As ``here(step=name)``, for the thousands."""
        return self._steps + quote_plus(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """What a drawing takes from its page."""

    links: Links
    """Where its boxes lead."""

    sprite: str
    """The address of the glyphs."""

    layouts: Layouts
    """Those that are kept."""

    by_itself: bool
    """Whether nobody asked for its focus."""


def _drawn(
    workflow: WorkflowRecord,
    steps: Sequence[Step],
    choice: Choice,
    look: Look,
    drawing: _Drawing,
) -> DrawnGraph:
    graph = choose(steps, choice)
    if look.hide is None and not look.all and _count(graph) > DRAWN_AT_ONCE:
        choice = replace(choice, hide_finished=True)
        graph = choose(steps, choice)
    boxes = list(_boxes(graph))
    size = look.size or (Size.MEDIUM if len(boxes) <= DRAWN_AT_ONCE else Size.SMALL)
    picture = place(graph, size=size, direction=look.direction, layouts=drawing.layouts)
    scrolled = len(boxes) > _SCROLLED_ABOVE
    around = Surroundings(
        title=f"Graph of {workflow.name} {workflow.id}",
        description=_description(workflow, graph, boxes),
        link=lambda box: _link(box, workflow.id, look, drawing.links, scrolled=scrolled),
        toggle=lambda box: _toggle(box, look, drawing.links),
        sprite=drawing.sprite,
        only=look.word,
        id_prefix=_PREFIX,
    )
    focus = next((step for step in steps if step.key == choice.focus), None)
    return DrawnGraph(
        svg=let_through(draw(picture, around)),
        look=look,
        size=size,
        boxes=len(boxes),
        total=workflow.total,
        words=Counter(step.status for step in steps),
        hidden=graph.hidden,
        hides_finished=choice.hide_finished,
        focus=focus if choice.up is not None or choice.down is not None else None,
        by_itself=drawing.by_itself,
        folds=any(box.is_fold and box.inside is None for box in boxes),
        has_path=any(edge.on_path for edge in graph.edges),
        has_dashed=any(stroke.is_dashed for stroke in picture.strokes),
        has_open_ends=any(box.more_above or box.more_below for box in boxes),
        chain=(),
    )


def _worst(steps: Sequence[Step]) -> Step:
    """The step that most asks for a look: a failed one of those that ended, the first of several."""

    def urgency(step: Step) -> tuple[int, bool]:
        return URGENCY.index(step.status), step.state not in _BAD_ENDS

    return min(steps, key=urgency)


def _boxes(graph: Graph) -> Iterator[Box]:
    for box in graph.boxes:
        yield box
        if box.inside is not None:
            yield from _boxes(box.inside)


def _count(graph: Graph) -> int:
    return sum(1 for _ in _boxes(graph))


def _description(workflow: WorkflowRecord, graph: Graph, boxes: Sequence[Box]) -> str:
    words = sum((box.words for box in graph.boxes), Counter[OperatorStatus]())
    told = ", ".join(f"{words[word]:,} {word}" for word in URGENCY if words[word])
    hidden = f"; {graph.hidden:,} are not drawn" if graph.hidden else ""
    drawn = f"{counted(len(boxes), 'box', 'boxes')} for {counted(workflow.total, 'step')}"
    return f"{drawn}: {told}{hidden}. The table of steps says the same."


def _link(box: Box, workflow_id: WorkflowId, look: Look, links: Links, *, scrolled: bool) -> str | None:
    """To its step beside the graph; a fold opens."""
    if box.is_fold:
        return _toggle(box, look, links)
    step = box.step
    name = step.name if step.workflow_id == workflow_id else step.key
    return links.to_step(name) + (f"#{_PREFIX}-{step.anchor}" if scrolled else "")


def _toggle(box: Box, look: Look, links: Links) -> str | None:
    """Opens it, or closes it again; None for a box with nothing in it."""
    if not box.is_fold and box.step.child_id is None:
        return None
    own = box.key if box.is_fold else box.step.place
    opened = [place for place in look.opened if place != own]
    if box.inside is None:
        opened.append(own)
    return links.here(open=",".join(opened) or None) + f"#{_PREFIX}-{box.step.anchor}"


# ---- Gantt


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRow:
    """A row of the chart."""

    row: ChartRow
    """What it says."""

    bars: Markup
    """What it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChart:
    """The chart as the template shows it: a table whose last cells are bars."""

    chart: Chart
    """What it says."""

    axis: Markup
    """The head of its last column."""

    rows: Sequence[DrawnRow]
    """Its rows."""


def draw_chart(chart: Chart) -> DrawnChart:
    """A chart as rows of a table."""
    return DrawnChart(
        chart=chart,
        axis=let_through(draw_axis(chart)),
        rows=[DrawnRow(row=row, bars=let_through(draw_bars(row, chart.ticks))) for row in chart.rows],
    )


def let_through(svg: str) -> Markup:
    """An SVG of ``graph`` for a template, which does not escape it any more."""
    return Markup(svg)  # noqa: S704 - graph.markup escapes every text in it
