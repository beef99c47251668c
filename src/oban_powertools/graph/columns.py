"""Place the elements of each layer across the flow: near what they are joined to, in their order, without overlap.

Pure and deterministic. What is wanted is a small sum of the squares of the distances across each edge, long edges
straight first. A pass goes through the layers and places each one as well as the layers beside it allow: a regression
under an order, which pooling adjacent violators solves exactly. So no pass makes the sum larger.

Source: R. Barlow, H. Brunk, The isotonic regression problem and its dual, 1972.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from .mesh import Mesh

WORK: Final = 200_000
"""Elements and edges that the passes together may look at, about."""

MOST_PASSES: Final = 60
STRAIGHTNESS: Final = 4
"""How much harder two points of a long edge pull at each other than the ends of other edges."""


def place_across(mesh: Mesh, room: Sequence[float]) -> list[float]:
    """The middle of each element across the flow.

    Args:
        room: Half of what each element takes, the distance to its neighbours included.
    """
    middle = [0.0] * len(room)
    for layer in mesh.layers:
        end = 0.0
        for element in layer:
            middle[element] = end + room[element]
            end += 2 * room[element]
    above, below = _pulling(mesh, mesh.above), _pulling(mesh, mesh.below)
    both = [upper + lower for upper, lower in zip(above, below, strict=True)]
    # Each of the first two looks one way only: what one layer decides gets through to the last.
    _pull(mesh.layers, _own_kind(mesh, mesh.above), middle, room)
    _pull(reversed(mesh.layers), _own_kind(mesh, mesh.below), middle, room)
    size = sum(map(len, both)) + len(room)
    for turn in range(max(2, min(MOST_PASSES, WORK // (size or 1)))):
        _pull(reversed(mesh.layers) if turn % 2 else mesh.layers, both, middle, room)
    _straighten(mesh, middle, room)
    first = min((middle[element] - room[element] for layer in mesh.layers for element in layer[:1]), default=0.0)
    return [at - first for at in middle]


def _pulling(mesh: Mesh, neighbours: Sequence[Sequence[int]]) -> list[list[int]]:
    """The neighbours of each element, as often as they pull at it."""
    pulling = [list(near) for near in neighbours]
    for point in range(mesh.boxes, len(pulling)):
        pulling[point] += [other for other in neighbours[point] if other >= mesh.boxes] * (STRAIGHTNESS - 1)
    return pulling


def _own_kind(mesh: Mesh, neighbours: Sequence[Sequence[int]]) -> list[list[int]]:
    """Of boxes the boxes, of points the points, where there are any: beside a long edge no layer leans towards it."""
    own = [list(near) for near in neighbours]
    for element, near in enumerate(own):
        if len(near) > 1:
            is_box = element < mesh.boxes
            own[element] = [other for other in near if (other < mesh.boxes) == is_box] or near
    return own


def _pull(
    layers: Iterable[Sequence[int]],
    pulling: Sequence[Sequence[int]],
    middle: list[float],
    room: Sequence[float],
) -> None:
    at = middle.__getitem__
    for layer in layers:
        pools: list[tuple[float, float, int]] = []
        offset = 0.0
        offsets: list[float] = []
        for element in layer:
            near = pulling[element]
            if near:
                pulled: float = len(near)
                wanted = sum(map(at, near)) / pulled
            else:
                pulled, wanted = 0.1, middle[element]
            offset += room[element]
            offsets.append(offset)
            total, count = (wanted - offset) * pulled, 1
            offset += room[element]
            while pools and pools[-1][0] * pulled >= total * pools[-1][1]:
                other, other_pulled, other_count = pools.pop()
                total, pulled, count = total + other, pulled + other_pulled, count + other_count
            pools.append((total, pulled, count))
        index = 0
        for total, pulled, count in pools:
            base = total / pulled
            for element in layer[index : index + count]:
                middle[element] = base + offsets[index]
                index += 1


def _straighten(mesh: Mesh, middle: list[float], room: Sequence[float]) -> None:
    """Move the points of long edges, as far as their neighbours leave room, so that each bends as seldom as it can."""
    left_of: list[int | None] = [None] * len(middle)
    right_of: list[int | None] = [None] * len(middle)
    for layer in mesh.layers:
        for left, right in pairwise(layer):
            left_of[right], right_of[left] = left, right
    for trunk in mesh.trunks:
        run: list[int] = []
        least, most = float("-inf"), float("inf")
        for point in trunk:
            left, right = left_of[point], right_of[point]
            low = float("-inf") if left is None else middle[left] + room[left] + room[point]
            high = float("inf") if right is None else middle[right] - room[right] - room[point]
            if max(least, low) > min(most, high):
                _align(run, least, most, middle)
                run, least, most = [], float("-inf"), float("inf")
            run.append(point)
            least, most = max(least, low), min(most, high)
        _align(run, least, most, middle)


def _align(run: Sequence[int], least: float, most: float, middle: list[float]) -> None:
    if run:
        at = min(most, max(least, sum(middle[point] for point in run) / len(run)))
        for point in run:
            middle[point] = at
