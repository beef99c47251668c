"""Put boxes in layers and long edges through points, so that every edge leads from one layer to the next.

Pure and deterministic: it knows numbers of boxes and no step. Long edges of one box share their points, as a trunk
from which its edges leave one by one; so do long edges into one box. A drawing of many long edges would be all lines:
beyond a budget of points the longest are cut, and drawn as an open end at both boxes.

Source: K. Sugiyama, S. Tagawa, M. Toda, Methods for visual understanding of hierarchical system structures, 1981.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..workflows.graph import children_of, depths

POINTS_PER_BOX: Final = 1.5
"""Points of long edges for each box, on average."""

LEAST_POINTS: Final = 2_000
"""Points that any drawing may have."""

type Edge = tuple[int, int]
"""Parent and child."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way of an edge."""

    trunk: tuple[int, ...] = ()
    """The points of its line, which other edges may share; empty for an edge to the next layer."""

    start: int = 0
    """The index of the first point that it runs through."""

    stop: int = 0
    """The index after the last."""

    leaves: bool = False
    """Whether it is on another edge's line up to its last point, and leaves it there."""

    joins: bool = False
    """Whether it comes onto another edge's line at its first point, and stays on it."""

    @property
    def points(self) -> tuple[int, ...]:
        """The points that it runs through, between its boxes."""
        return self.trunk[self.start : self.stop]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Elements in layers: boxes, numbered as they came, and after them the points of long edges."""

    boxes: int
    """How many of the elements are boxes."""

    layers: list[list[int]]
    """The elements of each layer."""

    above: list[list[int]]
    """The elements of the layer before that each element is joined to."""

    below: list[list[int]]
    """The same of the layer after it."""

    trunks: list[tuple[int, ...]]
    """The points of each line of long edges, in the direction of flow."""

    routes: dict[Edge, Route]
    """The way of each edge that is not cut."""

    cut: list[Edge]
    """Edges that are drawn as two open ends."""


type _Trunk = tuple[bool, int, bool]
"""Whether it begins at its box, else it ends there; its box; whether its edges are dashed."""


def build_mesh(parents: Sequence[Sequence[int]], dashed: Collection[Edge] = ()) -> Mesh:
    """The layers of a graph without a cycle.

    Args:
        parents: Of each box, ascending.
        dashed: Edges that share no line with the others.
    """
    layer_of = assign_layers(parents)
    mesh = Mesh(
        boxes=len(parents),
        layers=[[] for _ in range(max(layer_of, default=-1) + 1)],
        above=[[] for _ in parents],
        below=[[] for _ in parents],
        trunks=[],
        routes={},
        cut=[],
    )
    for box, layer in enumerate(layer_of):
        mesh.layers[layer].append(box)
    long_edges: list[Edge] = []
    for child, of_child in enumerate(parents):
        for parent in of_child:
            if layer_of[child] - layer_of[parent] == 1:
                mesh.routes[parent, child] = Route()
                _join(mesh, parent, child)
            else:
                long_edges.append((parent, child))
    for (begins, box, _), edges in _within_budget(mesh, _trunks(long_edges, dashed), layer_of):
        if begins:
            _trunk_from(mesh, box, edges, layer_of)
        else:
            _trunk_to(mesh, box, edges, layer_of)
    return mesh


def assign_layers(parents: Sequence[Sequence[int]]) -> list[int]:
    """The layer of each box: after all its parents, and near its children where that makes edges shorter."""
    layer_of = depths(parents)
    if layer_of is None:
        raise ValueError("the graph has a cycle")
    children = children_of(parents)
    for box in sorted(range(len(parents)), key=layer_of.__getitem__, reverse=True):
        if len(children[box]) > len(parents[box]):
            layer_of[box] = min(layer_of[child] for child in children[box]) - 1
    return layer_of


def _trunks(edges: Sequence[Edge], dashed: Collection[Edge]) -> dict[_Trunk, list[Edge]]:
    """The long edges by their trunk: their parent's, or their child's where more of them meet."""
    leaving = Counter(parent for parent, _ in edges)
    arriving = Counter(child for _, child in edges)
    trunks: dict[_Trunk, list[Edge]] = {}
    for edge in edges:
        parent, child = edge
        begins = leaving[parent] >= arriving[child]
        trunks.setdefault((begins, parent if begins else child, edge in dashed), []).append(edge)
    return trunks


def _within_budget(
    mesh: Mesh, trunks: Mapping[_Trunk, list[Edge]], layer_of: Sequence[int]
) -> list[tuple[_Trunk, list[Edge]]]:
    """The trunks that are drawn, as they came; the longest are cut until the rest have few enough points."""
    lengths = {
        trunk: max(layer_of[child] - layer_of[parent] for parent, child in edges) - 1 for trunk, edges in trunks.items()
    }
    left = max(LEAST_POINTS, int(POINTS_PER_BOX * mesh.boxes))
    drawn: set[_Trunk] = set()
    for trunk in sorted(lengths, key=lengths.__getitem__):
        left -= lengths[trunk]
        if left < 0:
            mesh.cut.extend(trunks[trunk])
        else:
            drawn.add(trunk)
    return [(trunk, edges) for trunk, edges in trunks.items() if trunk in drawn]


def _trunk_from(mesh: Mesh, parent: int, edges: Sequence[Edge], layer_of: Sequence[int]) -> None:
    """Points from a parent to the layer before its farthest child."""
    first = layer_of[parent] + 1
    trunk = _points(mesh, range(first, max(layer_of[child] for _, child in edges)))
    _join(mesh, parent, trunk[0])
    whole = False
    for _, child in edges:
        stop = layer_of[child] - first
        _join(mesh, trunk[stop - 1], child)
        mesh.routes[parent, child] = Route(trunk, 0, stop, leaves=whole or stop < len(trunk))
        whole = whole or stop == len(trunk)


def _trunk_to(mesh: Mesh, child: int, edges: Sequence[Edge], layer_of: Sequence[int]) -> None:
    """Points from the layer after the farthest parent to a child."""
    last = layer_of[child]
    trunk = _points(mesh, range(min(layer_of[parent] for parent, _ in edges) + 1, last))
    _join(mesh, trunk[-1], child)
    whole = False
    for parent, _ in edges:
        start = len(trunk) - (last - layer_of[parent] - 1)
        _join(mesh, parent, trunk[start])
        mesh.routes[parent, child] = Route(trunk, start, len(trunk), joins=whole or start > 0)
        whole = whole or not start


def _points(mesh: Mesh, layers: range) -> tuple[int, ...]:
    first = len(mesh.above)
    points = tuple(range(first, first + len(layers)))
    for point, layer in zip(points, layers, strict=True):
        mesh.layers[layer].append(point)
        mesh.above.append([point - 1] if point > first else [])
        mesh.below.append([point + 1] if point < points[-1] else [])
    mesh.trunks.append(points)
    return points


def _join(mesh: Mesh, upper: int, lower: int) -> None:
    mesh.below[upper].append(lower)
    mesh.above[lower].append(upper)
