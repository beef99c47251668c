"""Place the boxes of a graph, and what is in them, on a plane: the picture that is drawn.

Pure and deterministic, and blind to states: the same structure gives the same picture. Parts that do not hang together
stand beside each other in rows, so that many single steps are a block and no line.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Final

from .flow import Flow, Line, Point, Spacing, lay_out
from .layouts import Layouts
from .text_width import text_width
from .view import Box, DrawnEdge, Graph, is_dashed

TIMES: Final = "\u00d7"

type LayOut = Callable[..., Flow]
"""``flow.lay_out``, or what keeps its results."""


class Size(StrEnum):
    """How much a box says."""

    SMALL = "s"
    """A glyph."""

    MEDIUM = "m"
    """Name and state."""

    LARGE = "l"
    """Name, worker and state."""


class Direction(StrEnum):
    """The direction of flow."""

    DOWN = "tb"
    """From top to bottom."""

    RIGHT = "lr"
    """From left to right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The measures of boxes of one size, in pixels."""

    height: float
    """Of a box."""

    least: float
    """Width of the narrowest box."""

    most: float
    """Width of the widest."""

    pad: float
    """Between a box and its text."""

    font: float
    """Of names; what follows is one smaller."""

    head: float
    """Height of the title of an open box."""

    spacing: Spacing
    """Between boxes and lines."""


MEASURES: Final = {
    Size.SMALL: Measures(
        height=20, least=20, most=20, pad=4, font=11, head=8, spacing=Spacing(across=8, along=22, line=6)
    ),
    Size.MEDIUM: Measures(
        height=48, least=150, most=200, pad=11, font=12, head=30, spacing=Spacing(across=14, along=36, line=10)
    ),
    Size.LARGE: Measures(
        height=72, least=170, most=260, pad=12, font=13, head=32, spacing=Spacing(across=18, along=42, line=12)
    ),
}

INSET: Final = 12.0
"""Between an open box and what is in it."""

_LEAST_ROW: Final = 720.0
"""A row of parts is at least so broad before the next begins."""

_BROAD: Final = 1.6
"""How much broader than deep a block of parts is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A box in its place."""

    box: Box
    """What it shows."""

    x: float
    """Its left edge, in the picture that it belongs to."""

    y: float
    """Its upper edge."""

    width: float
    """Its width."""

    height: float
    """Its height."""

    inside: "Picture | None" = None
    """What is drawn in it, ``INSET`` from its left and lower edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """A line in its place."""

    parent: int
    """Index of the box it leaves."""

    child: int
    """Index of the box it leads to."""

    points: tuple[Point, ...]
    """x and y. Where the line is not parallel to the flow, it is an S."""

    arrives: bool
    """Whether it ends at a box, with a tip."""

    is_dashed: bool
    """Whether its edge lets the child continue after a failure."""

    on_path: bool
    """Whether the blocked path runs along it; such a line is drawn over the others."""

    is_cut: bool
    """Whether it is the open end of an edge that is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Boxes and lines on a plane."""

    width: float
    """In all."""

    height: float
    """In all."""

    boxes: Sequence[Placed]
    """In the order of the graph's."""

    strokes: Sequence[Stroke]
    """Those on the path last."""

    size: Size
    """How much a box says."""

    direction: Direction
    """The direction of flow."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Boxes that hang together."""

    boxes: list[int]
    """Their indices in the graph."""

    edges: dict[tuple[int, int], DrawnEdge]
    """Indices of parent and child in this part -> the edge."""


def place(
    graph: Graph, *, size: Size = Size.MEDIUM, direction: Direction = Direction.DOWN, layouts: Layouts | None = None
) -> Picture:
    """Place a graph, and the graphs inside its open boxes.

    Args:
        layouts: Those that are kept; None to lay out anew.
    """
    return _place(graph, size, direction, _box_width(graph, size), layouts.lay_out if layouts else lay_out)


def head_height(box: Box, size: Size) -> float:
    """Height of what stands above the inside of an open box."""
    return MEASURES[size].head if box.inside is not None else 0.0


def _place(graph: Graph, size: Size, direction: Direction, width: float, lay_out: LayOut) -> Picture:
    measures = MEASURES[size]
    insides = [
        None if box.inside is None else _place(box.inside, size, direction, width, lay_out) for box in graph.boxes
    ]
    extents = [_extent(inside, measures, width) for inside in insides]
    parts = _parts(graph)
    flows = [_flow(part, extents, measures.spacing, direction, lay_out) for part in parts]
    corners, breadth, depth = _in_rows(flows, measures.spacing, direction)
    where: dict[int, Point] = {}
    strokes: list[Stroke] = []
    for part, flow, corner in zip(parts, flows, corners, strict=True):
        where.update(zip(part.boxes, (_moved(start, corner) for start in flow.starts), strict=True))
        strokes += _strokes(part, flow, corner)
    turned = direction is Direction.RIGHT
    placed = [
        _placed(box, _turned(where[index], turned), extents[index], insides[index])
        for index, box in enumerate(graph.boxes)
    ]
    return Picture(
        width=depth if turned else breadth,
        height=breadth if turned else depth,
        boxes=placed,
        strokes=[_turn(stroke) if turned else stroke for stroke in sorted(strokes, key=lambda one: one.on_path)],
        size=size,
        direction=direction,
    )


def _box_width(graph: Graph, size: Size) -> float:
    """The width of all boxes: of the longest name, within bounds; so it depends on no state."""
    measures = MEASURES[size]
    if size is Size.SMALL:
        return measures.least
    widest = max((_name_width(box, measures.font) for box in _all_boxes(graph)), default=0.0)
    return float(round(min(measures.most, max(measures.least, widest + 2 * measures.pad))))


def _name_width(box: Box, font: float) -> float:
    return text_width(box.label, font) + (text_width(f" {TIMES} {len(box.steps):,}", font) if box.is_fold else 0.0)


def _all_boxes(graph: Graph) -> Iterable[Box]:
    for box in graph.boxes:
        yield box
        if box.inside is not None:
            yield from _all_boxes(box.inside)


def _extent(inside: Picture | None, measures: Measures, width: float) -> Point:
    """Width and height of a box."""
    if inside is None:
        return width, measures.height
    return max(width, inside.width + 2 * INSET), inside.height + measures.head + INSET


def _parts(graph: Graph) -> list[_Part]:
    """The boxes that hang together, in position order."""
    part_of = list(range(len(graph.boxes)))

    def root(box: int) -> int:
        while part_of[box] != box:
            part_of[box] = part_of[part_of[box]]
            box = part_of[box]
        return box

    for edge in graph.edges:
        first, second = sorted((root(edge.parent), root(edge.child)))
        part_of[second] = first
    parts: dict[int, _Part] = {}
    local: list[int] = []
    for box in range(len(graph.boxes)):
        part = parts.setdefault(root(box), _Part([], {}))
        local.append(len(part.boxes))
        part.boxes.append(box)
    for edge in graph.edges:
        parts[root(edge.child)].edges[local[edge.parent], local[edge.child]] = edge
    # What stands alone comes last, as a block.
    return sorted(parts.values(), key=lambda part: len(part.boxes) == 1)


def _flow(part: _Part, extents: Sequence[Point], spacing: Spacing, direction: Direction, lay_out: LayOut) -> Flow:
    sizes = [_turned(extents[box], direction is Direction.RIGHT) for box in part.boxes]
    if len(sizes) == 1:
        [(breadth, depth)] = sizes
        return Flow(breadth=breadth, depth=depth, starts=[(0.0, 0.0)], lines=[], whole={})
    parents: list[list[int]] = [[] for _ in sizes]
    for parent, child in part.edges:
        parents[child].append(parent)
    return lay_out(
        sizes,
        parents,
        spacing,
        dashed={ends for ends, edge in part.edges.items() if is_dashed(edge.policy)},
        wanted={ends for ends, edge in part.edges.items() if edge.on_path},
    )


def _in_rows(flows: Sequence[Flow], spacing: Spacing, direction: Direction) -> tuple[list[Point], float, float]:
    """The corner of each part, and the extent of all: beside each other as long as there is room."""
    gap = spacing.across
    area = sum((flow.breadth + gap) * (flow.depth + gap) for flow in flows)
    most = max(_LEAST_ROW, sqrt(area * _BROAD), *(flow.breadth for flow in flows)) if flows else 0.0
    corners: list[Point] = []
    across = along = breadth = depth = 0.0
    for flow in flows:
        # From left to right the parts stand below each other: a page scrolls down.
        may_wrap = direction is Direction.DOWN or not flow.lines
        if across and may_wrap and across + flow.breadth > most:
            across, along = 0.0, depth + (spacing.along if flow.lines or flows[0].lines else gap)
        corners.append((across, along))
        across += flow.breadth + gap
        breadth, depth = max(breadth, across - gap), max(depth, along + flow.depth)
    return corners, breadth, depth


def _strokes(part: _Part, flow: Flow, corner: Point) -> list[Stroke]:
    def stroke(line: Line, *, on_path: bool) -> Stroke:
        parent, child = line.edge
        return Stroke(
            parent=part.boxes[parent],
            child=part.boxes[child],
            points=line.points if corner == (0.0, 0.0) else tuple([_moved(point, corner) for point in line.points]),
            arrives=line.arrives,
            is_dashed=is_dashed(part.edges[line.edge].policy),
            on_path=on_path,
            is_cut=line.is_cut,
        )

    strokes = [stroke(line, on_path=False) for line in flow.lines]
    return strokes + [stroke(Line(edge=edge, points=points), on_path=True) for edge, points in flow.whole.items()]


def _placed(box: Box, corner: Point, extent: Point, inside: Picture | None) -> Placed:
    (x, y), (width, height) = corner, extent
    return Placed(box=box, x=x, y=y, width=width, height=height, inside=inside)


def _moved(point: Point, corner: Point) -> Point:
    return point[0] + corner[0], point[1] + corner[1]


def _turned(point: Point, turned: bool) -> Point:
    return (point[1], point[0]) if turned else point


def _turn(stroke: Stroke) -> Stroke:
    return Stroke(
        parent=stroke.parent,
        child=stroke.child,
        points=tuple((y, x) for x, y in stroke.points),
        arrives=stroke.arrives,
        is_dashed=stroke.is_dashed,
        on_path=stroke.on_path,
        is_cut=stroke.is_cut,
    )
