"""Lay out boxes that hang together: layers, order and columns become positions, and edges become lines.

Pure and deterministic. Positions are ``across`` and ``along`` the direction of flow. A line bends only between two
layers, where no box is; through a layer it runs straight, in a column of its own or its box's. That is why no line
crosses a box, however large boxes are.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from .columns import place_across
from .crossings import order_layers
from .mesh import Edge, Mesh, build_mesh

PORT_EVERY: Final = 11.0
"""Distance of lines that leave a box, where it has room for it."""

STUB: Final = 12.0
"""Length of the open end of an edge that is cut."""

type Point = tuple[float, float]
"""Across and along. Where ``across`` changes from one point of a line to the next, the line is an S between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """Distances between what is drawn."""

    across: float
    """Between two boxes of a layer."""

    along: float
    """The least between two layers."""

    line: float
    """Between two lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is drawn of an edge."""

    edge: Edge
    """Parent and child."""

    points: tuple[Point, ...]
    """From the parent, or from another line, to the child, or onto another line."""

    arrives: bool = True
    """Whether it ends at a box, with a tip."""

    is_cut: bool = False
    """Whether it is the open end of an edge that is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Boxes and lines in place."""

    breadth: float
    """Across, in all."""

    depth: float
    """Along, in all."""

    starts: list[Point]
    """The corner of each box that is nearest to the origin."""

    lines: list[Line]
    """In the order of the edges; one for each edge that is not cut, and two open ends for each that is."""

    whole: dict[Edge, tuple[Point, ...]]
    """The whole way of each asked edge, also where it shares another's line."""


def lay_out(
    sizes: Sequence[tuple[float, float]],
    parents: Sequence[Sequence[int]],
    spacing: Spacing,
    *,
    dashed: Collection[Edge] = (),
    wanted: Collection[Edge] = (),
) -> Flow:
    """Place boxes layer by layer, and draw their edges.

    Args:
        sizes: Of each box, across and along.
        parents: Of each box, ascending; without a cycle.
        dashed: Edges that share no line with the others.
        wanted: Edges whose whole way is needed.
    """
    mesh = build_mesh(parents, dashed)
    order_layers(mesh)
    room = [(across + spacing.across) / 2 for across, _ in sizes]
    room += [spacing.line / 2] * (len(mesh.above) - mesh.boxes)
    middle, breadth = _from_zero(mesh, sizes, place_across(mesh, room))
    bands = _bands(mesh, sizes, spacing)
    layer_of = {element: layer for layer, elements in enumerate(mesh.layers) for element in elements}
    drawing = _Drawing(mesh, sizes, middle, bands, layer_of)
    return Flow(
        breadth=breadth,
        depth=bands[-1][1] if bands else 0.0,
        starts=[(drawing.left(box), bands[layer_of[box]][0]) for box in range(mesh.boxes)],
        lines=drawing.lines(),
        whole={edge: drawing.way(edge) for edge in wanted if edge in mesh.routes},
    )


def _from_zero(mesh: Mesh, sizes: Sequence[tuple[float, float]], middle: Sequence[float]) -> tuple[list[float], float]:
    """The middles from the first box or line on, and how broad all is.

    Boxes begin on whole pixels, so that their edges are sharp; order and distances of at least 2 px stay.
    """
    halves = [across / 2 for across, _ in sizes] + [0.0] * (len(middle) - mesh.boxes)
    starts = [round(at - half) for at, half in zip(middle, halves, strict=True)]
    first = min(starts, default=0)
    middle = [start - first + half for start, half in zip(starts, halves, strict=True)]
    return middle, max((at + half for at, half in zip(middle, halves, strict=True)), default=0.0)


def _bands(mesh: Mesh, sizes: Sequence[tuple[float, float]], spacing: Spacing) -> list[tuple[float, float]]:
    """Begin and end of each layer along the flow; more lines between two layers get more room."""
    bands: list[tuple[float, float]] = []
    begin = 0.0
    for layer in mesh.layers:
        end = begin + max((sizes[element][1] for element in layer if element < mesh.boxes), default=0.0)
        bands.append((begin, end))
        lines = sum(len(mesh.below[element]) for element in layer)
        begin = end + spacing.along + round(min(spacing.along, lines / 2))
    return bands


class _Drawing:
    """The lines of a mesh whose elements are in place."""

    def __init__(
        self,
        mesh: Mesh,
        sizes: Sequence[tuple[float, float]],
        middle: Sequence[float],
        bands: Sequence[tuple[float, float]],
        layer_of: dict[int, int],
    ) -> None:
        self._mesh = mesh
        self._sizes = sizes
        self._middle = middle
        self._bands = bands
        self._layer_of = layer_of
        self._out = self._ports(mesh.below)
        self._in = self._ports(mesh.above)

    def left(self, box: int) -> float:
        """Where a box begins."""
        return self._middle[box] - self._sizes[box][0] / 2

    def lines(self) -> list[Line]:
        """One line an edge, without what another edge's line already draws."""
        lines: list[Line] = []
        for edge, route in self._mesh.routes.items():
            if route.leaves:
                points = self._way(edge, route.stop - 1, route.stop, begins=False)
            elif route.joins:
                points = self._way(edge, route.start, route.start + 1, ends=False)
            else:
                points = self._way(edge, route.start, route.stop)
            lines.append(Line(edge=edge, points=points, arrives=not route.joins))
        for edge in self._mesh.cut:
            lines += self._open_ends(edge)
        return lines

    def way(self, edge: Edge) -> tuple[Point, ...]:
        """The whole way of an edge."""
        route = self._mesh.routes[edge]
        return self._way(edge, route.start, route.stop)

    def _way(self, edge: Edge, start: int, stop: int, *, begins: bool = True, ends: bool = True) -> tuple[Point, ...]:
        """The way of an edge from its parent, or from the first point, to its child, or to the last point."""
        parent, child = edge
        route = self._mesh.routes[edge]
        trunk = route.trunk[start:stop]
        points: list[Point] = []
        if begins:
            port = self._out[parent][trunk[0] if trunk else child]
            begin, end = self._bands[self._layer_of[parent]]
            points += [(port, begin + self._sizes[parent][1]), (port, end)]
        for point in trunk:
            begin, end = self._bands[self._layer_of[point]]
            points += [(self._middle[point], begin), (self._middle[point], end)]
        if ends:
            port = self._in[child][trunk[-1] if trunk else parent]
            points.append((port, self._bands[self._layer_of[child]][0]))
        else:
            points.pop()
        if not begins:
            points.pop(0)
        return _straightened(points)

    def _open_ends(self, edge: Edge) -> list[Line]:
        parent, child = edge
        begin = self._bands[self._layer_of[parent]][0] + self._sizes[parent][1]
        end = self._bands[self._layer_of[child]][0]
        leaving, arriving = self._middle[parent], self._middle[child]
        return [
            Line(edge=edge, points=((leaving, begin), (leaving, begin + STUB)), arrives=False, is_cut=True),
            Line(edge=edge, points=((arriving, end - STUB), (arriving, end)), is_cut=True),
        ]

    def _ports(self, neighbours: Sequence[Sequence[int]]) -> list[dict[int, float]]:
        """For each box, the place on its side of the line from or to each neighbour; in the neighbours' order."""
        ports: list[dict[int, float]] = []
        for box in range(self._mesh.boxes):
            near = neighbours[box]
            if len(near) < 2:
                ports.append(dict.fromkeys(near, self._middle[box]))
                continue
            near = sorted(near, key=self._middle.__getitem__)
            room = max(0.0, self._sizes[box][0] - 12)
            every = min(PORT_EVERY, room / (len(near) - 1))
            first = self._middle[box] - every * (len(near) - 1) / 2
            ports.append({other: round(first + every * index, 1) for index, other in enumerate(near)})
        return ports


def _straightened(points: Sequence[Point]) -> tuple[Point, ...]:
    """The same line without points that a straight part runs through, and without repeats."""
    kept: list[Point] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and kept[-2][0] == kept[-1][0] == point[0]:
            kept.pop()
        kept.append(point)
    return tuple(kept)
