"""What of a workflow is drawn: equal siblings as one box, a neighbourhood, what has not finished, what is open."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.graph.steps import Step
from oban_powertools.graph.view import LEAST_FOLDED, MOST_OPENED, Box, Choice, Graph, choose
from oban_powertools.states import OperatorStatus, StepKind, StepState
from tests.support.random_drawings import a_step, steps_in, workflows


def fan(width: int, **fields: object) -> list[Step]:
    """One step, many equal ones, one step."""
    middle = [a_step(n, [0], **fields) for n in range(1, width + 1)]
    return [a_step(0), *middle, a_step(width + 1, range(1, width + 1))]


def names(graph: Graph) -> list[list[str]]:
    return [[step.name for step in box.steps] for box in graph.boxes]


def box_of(graph: Graph, name: str) -> Box:
    return next(box for box in graph.boxes if any(step.name == name for step in box.steps))


def positions(boxes: Sequence[Box]) -> set[int]:
    return {step.position for step in steps_in(boxes)}


@given(workflows(), st.booleans())
def test_each_step_is_in_exactly_one_box(steps: list[Step], fold: bool) -> None:
    graph = choose(steps, Choice(fold=fold))

    assert Counter(step.key for step in steps_in(graph.boxes)) == Counter(step.key for step in steps)
    assert graph.hidden == 0


@given(workflows())
def test_the_counts_of_the_boxes_are_the_counts_of_the_steps(steps: list[Step]) -> None:
    graph = choose(steps, Choice())

    assert sum((box.states for box in graph.boxes), Counter()) == Counter(str(step.state) for step in steps)
    assert sum((box.words for box in graph.boxes), Counter()) == Counter(step.status for step in steps)


@given(workflows())
def test_only_equal_siblings_share_a_box(steps: list[Step]) -> None:
    children = {
        step.position: {c.position: c.parents[step.position] for c in steps if step.position in c.parents}
        for step in steps
    }

    for box in choose(steps, Choice()).boxes:
        alike = {
            (
                step.worker,
                step.kind,
                tuple(sorted(step.parents.items())),
                tuple(sorted(children[step.position].items())),
            )
            for step in box.steps
        }
        assert len(alike) == 1
        assert len(box.steps) == 1 or len(box.steps) >= LEAST_FOLDED


@given(workflows())
def test_the_edges_between_boxes_are_those_of_their_steps(steps: list[Step]) -> None:
    graph = choose(steps, Choice())

    box = {step.position: index for index, one in enumerate(graph.boxes) for step in one.steps}
    edges = {(box[parent], box[step.position], policy) for step in steps for parent, policy in step.parents.items()}
    assert {(edge.parent, edge.child, edge.policy) for edge in graph.edges} == edges


@given(workflows(), st.data())
def test_folding_depends_on_no_state(steps: list[Step], data: st.DataObject) -> None:
    later = [replace(step, state=data.draw(st.sampled_from(StepState))) for step in steps]

    assert names(choose(later, Choice())) == names(choose(steps, Choice()))


def test_equal_siblings_are_one_box_that_says_how_many() -> None:
    steps = fan(240)
    steps[7] = replace(steps[7], status=OperatorStatus.NEEDS_REVIEW, state=StepState.DISCARDED)

    graph = choose(steps, Choice())

    fold = graph.boxes[1]
    assert len(graph.boxes) == 3
    assert len(fold.steps) == 240
    assert fold.label == "step"
    assert fold.words == {OperatorStatus.WAITING: 239, OperatorStatus.NEEDS_REVIEW: 1}
    assert fold.foremost.name == "step_7"


def test_two_equal_siblings_stay_two_boxes() -> None:
    assert len(choose(fan(2), Choice()).boxes) == 4


def test_a_fold_opens_into_its_steps() -> None:
    graph = choose(fan(5), Choice(opened=frozenset({"1*1"})))

    [fold] = [box for box in graph.boxes if box.is_fold]
    assert fold.key == "1*1"
    assert fold.inside is not None
    assert names(fold.inside) == [["step_1"], ["step_2"], ["step_3"], ["step_4"], ["step_5"]]


def test_of_very_many_opened_steps_the_rest_stays_folded() -> None:
    graph = choose(fan(MOST_OPENED + 50), Choice(opened=frozenset({"1*1"})))

    inside = graph.boxes[1].inside
    assert inside is not None
    assert len(inside.boxes) == MOST_OPENED + 1
    assert len(inside.boxes[-1].steps) == 50
    assert len(steps_in(inside.boxes)) == MOST_OPENED + 50


def test_a_nested_workflow_opens_in_place() -> None:
    inner = [a_step(0, workflow_id=9), a_step(1, [0], workflow_id=9)]
    steps = [a_step(0), a_step(1, [0], kind=StepKind.WORKFLOW, worker=None, child_id=9, inside=inner)]

    closed, opened = choose(steps, Choice()), choose(steps, Choice(opened=frozenset({"1/step_1"})))

    assert closed.boxes[1].inside is None
    assert opened.boxes[1].inside == choose(inner, Choice())


def test_a_map_opens_into_its_items() -> None:
    items = [a_step(n, workflow_id=9) for n in range(20)]
    steps = [a_step(0, kind=StepKind.MAP, worker=None, child_id=9, inside=items)]

    [box] = choose(steps, Choice(opened=frozenset({"1/step_0"}))).boxes

    assert box.inside is not None
    assert names(box.inside) == [[item.name] for item in items]


@given(workflows(nested=False), st.data(), st.integers(0, 4), st.integers(0, 4))
def test_a_focus_shows_exactly_its_neighbourhood(steps: list[Step], data: st.DataObject, up: int, down: int) -> None:
    focus = data.draw(st.sampled_from(steps))

    graph = choose(steps, Choice(focus=focus.key, up=up, down=down))

    assert positions(graph.boxes) == _ancestors(steps, focus, up) | _descendants(steps, focus, down)
    assert graph.hidden == len(steps) - len(steps_in(graph.boxes))


def _ancestors(steps: Sequence[Step], focus: Step, up: int) -> set[int]:
    """The definition, word by word: it is over at most so many edges."""
    if not up:
        return {focus.position}
    return {focus.position}.union(*(_ancestors(steps, steps[parent], up - 1) for parent in focus.parents))


def _descendants(steps: Sequence[Step], focus: Step, down: int) -> set[int]:
    if not down:
        return {focus.position}
    children = [step for step in steps if focus.position in step.parents]
    return {focus.position}.union(*(_descendants(steps, child, down - 1) for child in children))


@given(workflows(), st.data(), st.integers(0, 2), st.integers(0, 2))
def test_a_box_at_the_edge_of_a_neighbourhood_counts_what_is_beyond(
    steps: list[Step], data: st.DataObject, up: int, down: int
) -> None:
    focus = data.draw(st.sampled_from(steps))

    graph = choose(steps, Choice(focus=focus.key, up=up, down=down))

    drawn = positions(graph.boxes)
    for box in graph.boxes:
        above = {parent for step in box.steps for parent in step.parents}
        own = {step.position for step in box.steps}
        below = {step.position for step in steps if own & step.parents.keys()}
        assert (box.more_above, box.more_below) == (len(above - drawn), len(below - drawn))


@given(workflows())
def test_nothing_is_beyond_where_everything_is_drawn(steps: list[Step]) -> None:
    graph = choose(steps, Choice(focus=steps[0].key, hide_finished=True))

    assert {(box.more_above, box.more_below) for box in graph.boxes} <= {(0, 0)}


def test_the_focus_is_never_folded() -> None:
    graph = choose(fan(10), Choice(focus="1/step_4"))

    assert names(graph)[1:3] == [[f"step_{n}" for n in (1, 2, 3, 5, 6, 7, 8, 9, 10)], ["step_4"]]
    assert [box.is_focus for box in graph.boxes] == [False, False, True, False]


def test_a_focus_in_a_nested_workflow_opens_it() -> None:
    inner = [a_step(n, [n - 1] if n else [], workflow_id=9) for n in range(5)]
    steps = [a_step(0), a_step(1, [0], kind=StepKind.WORKFLOW, worker=None, child_id=9, inside=inner), a_step(2)]

    graph = choose(steps, Choice(focus="9/step_4", up=1, down=1))

    inside = box_of(graph, "step_1").inside
    assert inside is not None
    assert names(inside) == [["step_3"], ["step_4"]]


@given(workflows(), st.data())
def test_hiding_what_finished_keeps_the_focus_and_all_else(steps: list[Step], data: st.DataObject) -> None:
    focus = data.draw(st.sampled_from(steps))

    graph = choose(steps, Choice(focus=focus.key, hide_finished=True))

    left = {step.position for step in steps if step.status != OperatorStatus.FINISHED} | {focus.position}
    assert positions(graph.boxes) == left


def test_the_blocked_path_leads_from_the_root_cause_to_the_focus() -> None:
    #  0 -> 1 -> 2 -> 3, and 4 -> 2 from the side, 1 -> 5 away from it
    parents = [[], [0], [1, 4], [2], [], [1]]
    steps = [a_step(n, of) for n, of in enumerate(parents)]

    graph = choose(steps, Choice(focus="1/step_3", causes=frozenset({"1/step_0"})))

    assert [box.step.position for box in graph.boxes if box.on_path] == [0, 1, 2, 3]
    assert [(e.parent, e.child) for e in graph.edges if e.on_path] == [(0, 1), (1, 2), (2, 3)]
    assert [box.step.position for box in graph.boxes if box.is_cause] == [0]


def test_no_blocked_path_runs_through_a_completed_step() -> None:
    steps = [a_step(0), a_step(1, [0]), a_step(2, [0], state=StepState.COMPLETED), a_step(3, [1, 2])]

    graph = choose(steps, Choice(focus="1/step_3", causes=frozenset({"1/step_0"})))

    assert [box.step.position for box in graph.boxes if box.on_path] == [0, 1, 3]


def test_a_root_cause_in_a_nested_workflow_marks_the_step_that_runs_it() -> None:
    steps = [a_step(0, kind=StepKind.WORKFLOW, worker=None, child_id=9), a_step(1, [0])]

    graph = choose(steps, Choice(focus="1/step_1", causes=frozenset({"9/inner"})))

    assert [box.on_path for box in graph.boxes] == [True, True]


def test_names_lose_the_path_that_all_share() -> None:
    names = ("fetch", "parse.rows", "store")
    steps = [a_step(n, [n - 1] if n else [], name=f"etl.load.{name}") for n, name in enumerate(names)]

    assert [box.label for box in choose(steps, Choice()).boxes] == ["fetch", "parse.rows", "store"]
