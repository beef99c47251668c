"""Where boxes and lines are: apart, in the direction of flow, and the same whatever the states are."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oban_powertools.graph.crossings import count_crossings, order_layers
from oban_powertools.graph.mesh import build_mesh
from oban_powertools.graph.place import Direction, Picture, Size, place
from oban_powertools.graph.steps import Step
from oban_powertools.graph.view import Choice, choose
from oban_powertools.states import OperatorStatus, StepState
from tests.support.random_drawings import a_step, area_of, inner_area_of, pictures, samples, workflows

SIZES = st.sampled_from(Size)
DIRECTIONS = st.sampled_from(Direction)


def opened(steps: Sequence[Step], *, fold: bool = True) -> Choice:
    """All of it, every box open."""
    keys = {step.key for step in steps} | {f"{step.workflow_id}*{step.position}" for step in steps}
    return Choice(fold=fold, opened=frozenset(keys))


@st.composite
def drawn(draw: st.DrawFn) -> Picture:
    steps = draw(workflows())
    choice = draw(st.sampled_from((Choice(), Choice(fold=False), opened(steps), opened(steps, fold=False))))
    focus = draw(st.none() | st.sampled_from([step.key for step in steps]))
    causes = draw(st.frozensets(st.sampled_from([step.key for step in steps]), max_size=2))
    graph = choose(steps, replace(choice, focus=focus, causes=causes))
    return place(graph, size=draw(SIZES), direction=draw(DIRECTIONS))


@given(drawn())
def test_no_box_overlaps_another(picture: Picture) -> None:
    for part in pictures(picture):
        areas = [area_of(placed) for placed in part.boxes]
        overlaps = [(a, b) for i, a in enumerate(areas) for b in areas[i + 1 :] if a.overlaps(b)]
        assert overlaps == []


@given(drawn())
def test_what_is_in_a_box_stays_in_it(picture: Picture) -> None:
    outside = [
        placed.box.key
        for part in pictures(picture)
        for placed in part.boxes
        if placed.inside is not None and not area_of(placed).covers(inner_area_of(placed, part))
    ]

    assert outside == []


@given(drawn())
def test_everything_is_within_the_picture(picture: Picture) -> None:
    for part in pictures(picture):
        points = [point for stroke in part.strokes for point in stroke.points]
        points += [(p.x + p.width, p.y + p.height) for p in part.boxes] + [(p.x, p.y) for p in part.boxes]
        beyond = [(x, y) for x, y in points if not (0 <= x <= part.width and 0 <= y <= part.height)]
        assert beyond == []


@given(drawn())
def test_every_line_leads_forward(picture: Picture) -> None:
    along = int(picture.direction is Direction.DOWN)
    for part in pictures(picture):
        backward = [
            stroke
            for stroke in part.strokes
            if any(start[along] > end[along] for start, end in zip(stroke.points, stroke.points[1:], strict=False))
        ]
        assert backward == []


@given(drawn())
def test_every_child_stands_after_its_parents(picture: Picture) -> None:
    for part in pictures(picture):
        areas = [area_of(placed) for placed in part.boxes]
        for stroke in part.strokes:
            parent, child = areas[stroke.parent], areas[stroke.child]
            down = picture.direction is Direction.DOWN
            assert (parent.bottom < child.top) if down else (parent.right < child.left)


@given(drawn())
def test_no_line_runs_through_a_box(picture: Picture) -> None:
    for part in pictures(picture):
        areas = [area_of(placed) for placed in part.boxes]
        hits = [
            (stroke, index)
            for stroke in part.strokes
            for x, y in samples(stroke, part)
            for index, area in enumerate(areas)
            if area.holds(x, y)
        ]
        assert hits == []


@given(drawn())
def test_every_edge_is_a_line_from_its_parent_to_its_child(picture: Picture) -> None:
    for part in pictures(picture):
        ends = {point for stroke in part.strokes for point in stroke.points}
        for stroke in part.strokes:
            if stroke.arrives:
                assert _touches(part, stroke.child, stroke.points[-1], before=True)
            else:
                assert stroke.points[-1] in ends
            if stroke.on_path:
                assert _touches(part, stroke.parent, stroke.points[0], before=False)


def _touches(picture: Picture, box: int, point: tuple[float, float], *, before: bool) -> bool:
    area, (x, y) = area_of(picture.boxes[box]), point
    if picture.direction is Direction.DOWN:
        return y == (area.top if before else area.bottom) and area.left <= x <= area.right
    return x == (area.left if before else area.right) and area.top <= y <= area.bottom


@given(workflows(), SIZES, DIRECTIONS)
def test_a_drawing_shows_each_edge_between_its_boxes(steps: list[Step], size: Size, direction: Direction) -> None:
    picture = place(choose(steps, Choice(fold=False)), size=size, direction=direction)

    edges = {(parent, step.position) for step in steps for parent in step.parents}
    assert {(stroke.parent, stroke.child) for stroke in picture.strokes} == edges


@given(workflows(), st.data(), SIZES, DIRECTIONS)
def test_a_change_of_states_moves_nothing(
    steps: list[Step], data: st.DataObject, size: Size, direction: Direction
) -> None:
    later = [
        replace(
            step,
            state=data.draw(st.sampled_from(StepState)),
            status=data.draw(st.sampled_from(OperatorStatus)),
            remark=data.draw(st.sampled_from(("", "attempt 3 of 5"))),
        )
        for step in steps
    ]

    before, after = (place(choose(states, opened(states)), size=size, direction=direction) for states in (steps, later))

    assert _shape(after) == _shape(before)


def _shape(picture: Picture) -> list[object]:
    boxes = [(placed.box.key, area_of(placed)) for part in pictures(picture) for placed in part.boxes]
    return [*boxes, *(stroke.points for part in pictures(picture) for stroke in part.strokes)]


@given(workflows())
def test_the_same_steps_give_the_same_picture(steps: list[Step]) -> None:
    assert place(choose(steps, Choice())) == place(choose(steps, Choice()))


def test_the_picture_depends_on_no_hash() -> None:
    code = (
        "from random import Random; from tests.graph.test_layout import random_steps, _shape;"
        "from oban_powertools.graph.place import place; from oban_powertools.graph.view import Choice, choose;"
        "print(_shape(place(choose(random_steps(120, Random(7)), Choice()))))"
    )

    shapes = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }

    assert len(shapes) == 1


def random_steps(count: int, random: Random) -> list[Step]:
    return [
        a_step(position, sorted({random.randrange(position) for _ in range(2)}) if position else [])
        for position in range(count)
    ]


def test_the_longest_of_many_long_edges_are_cut_and_none_is_lost() -> None:
    steps = random_steps(1_500, Random(1))
    parents = [sorted(step.parents) for step in steps]

    mesh = build_mesh(parents)

    assert len(mesh.cut) > 0
    assert {*mesh.routes, *mesh.cut} == {(parent, child) for child, of in enumerate(parents) for parent in of}
    assert mesh.routes.keys().isdisjoint(mesh.cut)
    picture = place(choose(steps, Choice(fold=False)))
    assert {(stroke.parent, stroke.child) for stroke in picture.strokes if stroke.is_cut} == set(mesh.cut)


@given(workflows(nested=False))
def test_every_line_goes_from_a_layer_to_the_next(steps: list[Step]) -> None:
    parents = [sorted(step.parents) for step in steps]

    mesh = build_mesh(parents)

    layer_of = {element: layer for layer, elements in enumerate(mesh.layers) for element in elements}
    for (parent, child), route in mesh.routes.items():
        way = [layer_of[element] for element in (parent, *route.points, child)]
        assert way == list(range(way[0], way[0] + len(way)))


def test_a_step_that_all_others_need_is_drawn_with_one_long_line() -> None:
    parents = [[] if not step else sorted({0, step - 1}) for step in range(400)]

    mesh = build_mesh(parents)

    assert len(mesh.above) - mesh.boxes < 400
    assert mesh.cut == []


@pytest.mark.parametrize("direction", Direction)
def test_many_single_steps_are_a_block(direction: Direction) -> None:
    steps = [a_step(position, worker=f"w{position}") for position in range(100)]

    picture = place(choose(steps, Choice()), direction=direction)

    assert 0.3 < picture.width / picture.height < 4


def test_a_chain_is_straight() -> None:
    picture = place(choose([a_step(n, [n - 1] if n else []) for n in range(50)], Choice()))

    assert len({placed.x for placed in picture.boxes}) == 1
    assert all(len(stroke.points) == 2 for stroke in picture.strokes)


@settings(max_examples=20)
@given(st.integers(2, 40))
def test_a_tree_is_drawn_without_a_crossing(width: int) -> None:
    steps = [a_step(0), *(a_step(n, [(n - 1) // 3]) for n in range(1, width))]

    picture = place(choose(steps, Choice(fold=False)))

    places = [(picture.boxes[s.parent].x, picture.boxes[s.child].x, picture.boxes[s.child].y) for s in picture.strokes]
    crossed = [
        (one, other)
        for one in places
        for other in places
        if one[2] == other[2] and one[0] < other[0] and one[1] > other[1]
    ]
    assert crossed == []


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        build_mesh([[1], [0]])


@given(workflows(nested=False))
def test_crossings_are_counted_as_they_are(steps: list[Step]) -> None:
    mesh = build_mesh([sorted(step.parents) for step in steps])
    order_layers(mesh)
    place_of = {element: index for layer in mesh.layers for index, element in enumerate(layer)}

    lines = [
        [(place_of[upper], place_of[end]) for upper in layer for end in mesh.below[upper]] for layer in mesh.layers
    ]
    pairs = sum(a < c and b > d for layer in lines for a, b in layer for c, d in layer)
    assert count_crossings(mesh, [place_of[element] for element in range(len(mesh.above))]) == pairs
