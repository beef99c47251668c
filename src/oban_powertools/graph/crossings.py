"""Order the elements of each layer so that few edges cross.

Pure and deterministic. The work is bounded by the size of the mesh, never by a clock: the same mesh has the same order
on every machine.

Source: E. Gansner, E. Koutsofios, S. North, K.-P. Vo, A technique for drawing directed graphs, 1993, sections 3 and
3.1 (here with the mean of the neighbours in place of their median).
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from .mesh import Mesh

WORK: Final = 80_000
"""Elements and edges that the sweeps together may look at, about."""

MOST_SWEEPS: Final = 24
MOST_SWAPPED: Final = 1_500
"""Elements of a mesh whose neighbours are also tried in the other order."""


def order_layers(mesh: Mesh) -> None:
    """Bring the layers of a mesh in an order with few crossings, the best that was seen."""
    place = [0] * len(mesh.above)
    _follow_edges(mesh, place)
    best, fewest = [list(layer) for layer in mesh.layers], count_crossings(mesh, place)
    size = len(mesh.above) + sum(map(len, mesh.above))
    idle = 0
    for sweep in range(max(2, min(MOST_SWEEPS, WORK // (size or 1)))):
        if not fewest or idle == 4:
            break
        if sweep % 2:
            _sort(mesh.layers[-2::-1], mesh.below, place)
        else:
            _sort(mesh.layers[1:], mesh.above, place)
        crossings = count_crossings(mesh, place)
        if fewest and len(place) <= MOST_SWAPPED:
            crossings -= _swap_neighbours(mesh, place)
        idle += 1
        if crossings < fewest:
            best, fewest, idle = [list(layer) for layer in mesh.layers], crossings, 0
    mesh.layers[:] = best


def count_crossings(mesh: Mesh, place: Sequence[int]) -> int:
    """How many pairs of edges cross.

    Args:
        place: The index of each element in its layer.
    """
    crossings = 0
    for layer in mesh.layers[:-1]:
        # The ends of edges that begin further left.
        passed: list[int] = []
        for element in layer:
            # In this order an element's own ends, which do not cross each other, are not counted.
            for end in sorted([place[lower] for lower in mesh.below[element]]):
                after = bisect_right(passed, end)
                crossings += len(passed) - after
                passed.insert(after, end)
    return crossings


def _follow_edges(mesh: Mesh, place: list[int]) -> None:
    """Order each layer as a walk along the edges first comes by: what hangs together stands together."""
    seen = bytearray(len(mesh.above))
    layer_of = [0] * len(mesh.above)
    for number, layer in enumerate(mesh.layers):
        for element in layer:
            layer_of[element] = number
    order: list[list[int]] = [[] for _ in mesh.layers]
    starts = [element for layer in mesh.layers for element in layer if not mesh.above[element]]
    for start in starts:
        waiting = [start]
        while waiting:
            element = waiting.pop()
            if not seen[element]:
                seen[element] = True
                order[layer_of[element]].append(element)
                waiting.extend(reversed(mesh.below[element]))
    mesh.layers[:] = order
    _number(order, place)


def _sort(layers: Iterable[list[int]], neighbours: Sequence[Sequence[int]], place: list[int]) -> None:
    """Sort each layer by the mean place of the neighbours in the layer before it; who has none stays about there."""
    mean = [0.0] * len(place)
    at = place.__getitem__
    for layer in layers:
        for element in layer:
            near = neighbours[element]
            if len(near) == 1:
                mean[element] = place[near[0]]
            elif near:
                mean[element] = sum(map(at, near)) / len(near)
            else:
                mean[element] = place[element]
        layer.sort(key=mean.__getitem__)
        for index, element in enumerate(layer):
            place[element] = index


def _swap_neighbours(mesh: Mesh, place: list[int]) -> int:
    """Swap neighbours of a layer as long as that saves crossings, at most a few times; how many it saved."""
    saved = 0
    for _ in range(4):
        before = saved
        for layer in mesh.layers:
            for index in range(len(layer) - 1):
                left, right = layer[index], layer[index + 1]
                now = _between(mesh, left, right, place)
                if now and (gain := now - _between(mesh, right, left, place)) > 0:
                    layer[index], layer[index + 1] = right, left
                    place[left], place[right] = index + 1, index
                    saved += gain
        if saved == before:
            break
    return saved


def _between(mesh: Mesh, left: int, right: int, place: Sequence[int]) -> int:
    """Crossings of the edges of two neighbours in this order."""
    crossings = 0
    for neighbours in (mesh.above, mesh.below):
        ends = [place[other] for other in neighbours[right]]
        for other in neighbours[left]:
            at = place[other]
            crossings += sum(end < at for end in ends)
    return crossings


def _number(layers: Iterable[Sequence[int]], place: list[int]) -> None:
    for layer in layers:
        for index, element in enumerate(layer):
            place[element] = index
