"""Choose what of a workflow is drawn: fold equal siblings, open boxes, show a neighbourhood, hide what has finished.

Pure. What is folded depends on the structure only, so that a drawing keeps its shape while states change. The rule
that must never break: each step that is not hidden is in one box, and a box says how many it stands for.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from ..states import OperatorStatus, Policy, StepState
from ..workflows.drawing import as_label
from ..workflows.graph import children_of
from .steps import Step

LEAST_FOLDED: Final = 3
"""Equal siblings that become one box; two are drawn as they are."""

_BETWEEN_WORDS: Final = " _-.:#/[("

MOST_OPENED: Final = 200
"""Steps of an opened fold that are drawn one by one; the others stay folded."""

URGENCY: Final = (
    OperatorStatus.NEEDS_REVIEW,
    OperatorStatus.BLOCKED,
    OperatorStatus.RUNNING,
    OperatorStatus.RUNNABLE,
    OperatorStatus.WAITING,
    OperatorStatus.FINISHED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a workflow is drawn."""

    fold: bool = True
    """Draw equal siblings (same worker, kind, parents and children) as one box."""

    opened: frozenset[str] = frozenset()
    """Keys of boxes that are open: folds, nested workflows, maps. A step's key opens the fold that it is in, too."""

    focus: str | None = None
    """The key of the step that is looked at; its box is marked, and never folded."""

    up: int | None = None
    """Draw only ancestors of the focus over at most so many edges; None, with ``down`` given, draws none."""

    down: int | None = None
    """The same of its descendants."""

    hide_finished: bool = False
    """Leave out steps whose word is Finished, besides the focus."""

    causes: frozenset[str] = frozenset()
    """Keys of the root causes of the focus, as its explanation names them; they are marked, and the path to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One box of a drawing."""

    key: str
    """Its step's, or of a fold ``workflow id*position`` of its first step."""

    steps: Sequence[Step]
    """The step, or the folded ones in position order."""

    label: str
    """What it is called in the drawing: its step's name, or what the names of a fold share, without the path that all
    names of the workflow begin with."""

    inside: "Graph | None" = None
    """What is drawn in it when it is open."""

    is_focus: bool = False
    """Whether its step is looked at."""

    is_cause: bool = False
    """Whether one of its steps is a root cause of the focus."""

    on_path: bool = False
    """Whether it is between the focus and a root cause, or one of these."""

    more_above: int = 0
    """Parents that are farther from the focus than what is drawn."""

    more_below: int = 0
    """The same of children."""

    @property
    def is_fold(self) -> bool:
        """Whether it stands for several steps."""
        return len(self.steps) > 1

    @property
    def step(self) -> Step:
        """Its step; of a fold the first."""
        return self.steps[0]

    @property
    def words(self) -> Counter[OperatorStatus]:
        """The operator's word -> steps of the box that have it."""
        return Counter(step.status for step in self.steps)

    @property
    def states(self) -> Counter[str]:
        """Raw state -> steps of the box that are in it."""
        return Counter(str(step.state) for step in self.steps)

    @property
    def foremost(self) -> Step:
        """The step that most asks for a look; the first of several."""
        return min(self.steps, key=lambda step: URGENCY.index(step.status))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnEdge:
    """An edge between two boxes."""

    parent: int
    """Index of the box it leaves."""

    child: int
    """Index of the box it leads to."""

    policy: str
    """What a failure of the parent does to the child."""

    on_path: bool = False
    """Whether the blocked path runs along it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The boxes and edges of one workflow, or of the inside of a box."""

    boxes: Sequence[Box]
    """In position order."""

    edges: Sequence[DrawnEdge]
    """By child, then by parent."""

    hidden: int = 0
    """Steps of the workflow that the choice leaves out."""


def choose(steps: Sequence[Step], choice: Choice) -> Graph:
    """The boxes and edges to draw.

    Args:
        steps: All steps of one workflow, in position order.
    """
    parents = [sorted(step.parents) for step in steps]
    children = children_of(parents)
    focus = _place_of(steps, choice.focus)
    path = _blocked_path(steps, parents, children, focus, choice.causes)
    near = _near(parents, children, focus, choice)
    shown = _shown(steps, near, focus, path, choice)
    groups = _fold(steps, children, shown, focus) if choice.fold else [[place] for place in shown]
    names = _shared_path(steps)
    boxes = [_box(steps, group, names, focus, path, choice) for group in groups]
    if near is not None:
        boxes = [
            replace(
                box,
                more_above=len({parent for place in group for parent in parents[place]} - near),
                more_below=len({child for place in group for child in children[place]} - near),
            )
            for box, group in zip(boxes, groups, strict=True)
        ]
    box_of = {place: index for index, group in enumerate(groups) for place in group}
    edges = {
        (box_of[place], box_of[parent]): DrawnEdge(
            parent=box_of[parent],
            child=box_of[place],
            policy=steps[place].parents[parent],
            on_path=parent in path and place in path,
        )
        for place in shown
        # An edge on the path hides no other: the last of equal ones counts.
        for parent in sorted(parents[place], key=lambda parent: parent in path and place in path)
        if parent in box_of
    }
    return Graph(boxes=boxes, edges=[edges[pair] for pair in sorted(edges)], hidden=len(steps) - len(shown))


def chain_of(steps: Sequence[Step], cause: Step, step: Step) -> list[Step]:
    """A shortest way from a root cause down to a step that waits for it, over steps that have not completed.

    Args:
        steps: All steps of one workflow, in position order.

    Returns:
        Both ends and what is between them; empty when there is no way.
    """
    behind: dict[int, int] = {step.position: step.position}
    frontier = [step.position]
    while frontier and cause.position not in behind:
        ahead: list[int] = []
        for place in frontier:
            for parent in sorted(steps[place].parents):
                if parent not in behind and steps[parent].state != StepState.COMPLETED:
                    behind[parent] = place
                    ahead.append(parent)
        frontier = ahead
    if cause.position not in behind:
        return []
    chain = [cause.position]
    while chain[-1] != step.position:
        chain.append(behind[chain[-1]])
    return [steps[place] for place in chain]


def neighbourhood(
    start: int, parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]], up: int, down: int
) -> set[int]:
    """A step, its ancestors over at most ``up`` edges and its descendants over at most ``down``."""
    return {start} | _reach([start], parents, up) | _reach([start], children, down)


def _reach(starts: Iterable[int], neighbours: Sequence[Sequence[int]], most: int | None = None) -> set[int]:
    """What can be reached over one to ``most`` edges; None for any number."""
    reached: set[int] = set()
    frontier = set(starts)
    while frontier and (most is None or most > 0):
        frontier = {near for place in frontier for near in neighbours[place]} - reached
        reached |= frontier
        most = most if most is None else most - 1
    return reached


def _place_of(steps: Sequence[Step], key: str | None) -> int | None:
    """The step of this key, or the one that it is inside of."""
    if key is None:
        return None
    return next((place for place, step in enumerate(steps) if any(part.key == key for part in step.walk())), None)


def _blocked_path(
    steps: Sequence[Step],
    parents: Sequence[Sequence[int]],
    children: Sequence[Sequence[int]],
    focus: int | None,
    causes: frozenset[str],
) -> set[int]:
    """The steps between the root causes and the focus. A completed step holds up nobody."""
    found = {place for place, step in enumerate(steps) if _is_cause(step, causes)}
    if not found:
        return found
    waiting = [[child for child in ahead if steps[child].state != StepState.COMPLETED] for ahead in children]
    if focus is None:
        return found
    return (found | _reach(found, waiting)) & ({focus} | _reach([focus], parents))


def _is_cause(step: Step, causes: frozenset[str]) -> bool:
    if not causes:
        return False
    if any(part.key in causes for part in step.walk()):
        return True
    return step.child_id is not None and any(key.startswith(f"{step.child_id}/") for key in causes)


def _near(
    parents: Sequence[Sequence[int]], children: Sequence[Sequence[int]], focus: int | None, choice: Choice
) -> set[int] | None:
    """What is around the focus; None where all is drawn."""
    if focus is None or (choice.up is None and choice.down is None):
        return None
    return neighbourhood(focus, parents, children, choice.up or 0, choice.down or 0)


def _shown(
    steps: Sequence[Step], near: set[int] | None, focus: int | None, path: set[int], choice: Choice
) -> list[int]:
    shown: Iterable[int] = range(len(steps)) if near is None else sorted(near)
    if choice.hide_finished:
        kept = path | {focus}
        shown = (place for place in shown if place in kept or steps[place].status != OperatorStatus.FINISHED)
    return list(shown)


def _fold(
    steps: Sequence[Step], children: Sequence[Sequence[int]], shown: Sequence[int], focus: int | None
) -> list[list[int]]:
    """Equal siblings together, in the order of their first; compared by all edges, hidden ones too."""
    policies: Mapping[int, list[tuple[int, str]]] = {
        place: [(child, steps[child].parents[place]) for child in children[place]] for place in shown
    }
    groups: dict[object, list[int]] = {}
    for place in shown:
        step = steps[place]
        alone = place == focus or not (step.parents or children[place] or step.worker)
        same = (step.worker, step.kind, frozenset(step.parents.items()), tuple(policies[place]))
        groups.setdefault(place if alone else same, []).append(place)
    parts = [
        part
        for group in groups.values()
        for part in ([group] if len(group) >= LEAST_FOLDED else [[place] for place in group])
    ]
    return sorted(parts)


def _box(
    steps: Sequence[Step], group: Sequence[int], names: str, focus: int | None, path: set[int], choice: Choice
) -> Box:
    members = [steps[place] for place in group]
    first = members[0]
    folded = len(members) > 1
    key = f"{first.workflow_id}*{first.position}" if folded else first.key
    inside = None
    if folded and not choice.opened.isdisjoint({key, *(step.key for step in members)}):
        inside = _members(steps, group, names, path, choice)
    elif not folded and first.inside and (key in choice.opened or (group[0] == focus and key != choice.focus)):
        inside = _only_members(choose(first.inside, choice), first.inside, choice)
    return Box(
        key=key,
        steps=members,
        label=_label([step.name for step in members], names),
        inside=inside,
        is_focus=choice.focus is not None and any(step.key == choice.focus for step in members),
        is_cause=any(_is_cause(step, choice.causes) for step in members),
        on_path=any(place in path for place in group),
    )


def _only_members(graph: Graph, steps: Sequence[Step], choice: Choice) -> Graph:
    """Of a map, whose items are one fold, the items: a box in a box would be one too many."""
    if len(graph.boxes) != 1 or not graph.boxes[0].is_fold:
        return graph
    [fold] = graph.boxes
    opened = replace(choice, opened=choice.opened | {fold.key})
    inside = choose(steps, opened).boxes[0].inside
    return graph if inside is None else replace(inside, hidden=graph.hidden)


def _members(steps: Sequence[Step], group: Sequence[int], names: str, path: set[int], choice: Choice) -> Graph:
    """An opened fold: its steps one by one, without the edges that they share."""
    single, rest = group[:MOST_OPENED], group[MOST_OPENED:]
    boxes = [_box(steps, [place], names, None, path, choice) for place in single]
    if rest:
        boxes.append(_box(steps, rest, names, None, path, choice))
    return Graph(boxes=boxes, edges=())


def _label(names: Sequence[str], path: str) -> str:
    """What one name, or several, are called; several by what they share, without what numbers them.

    >>> _label(["resize_08", "resize_09", "resize_10"], ""), _label(["etl.load"], "etl.")
    ('resize', 'load')
    >>> _label(["sync_berlin", "sync_bologna"], ""), _label(["resizea", "resizeb"], "")
    ('sync', 'resize')
    """
    first = as_label(names[0].removeprefix(path)) or as_label(names[0]) or "(no name)"
    if len(names) == 1:
        return first
    shared = as_label(_shared_beginning(names).removeprefix(path)).rstrip("0123456789")
    whole = shared.rstrip(_BETWEEN_WORDS)
    if whole == shared:
        # The names part in the middle of a word: what is before that word, where there is enough of it.
        before = shared[: max(map(shared.rfind, _BETWEEN_WORDS)) + 1].rstrip(_BETWEEN_WORDS)
        whole = before if len(before) >= 3 else shared
    return whole if len(whole) >= 3 else first


def _shared_path(steps: Sequence[Step]) -> str:
    """The path that all names begin with, with its last separator; empty without one, or for few steps."""
    shared = _shared_beginning([step.name for step in steps]) if len(steps) >= LEAST_FOLDED else ""
    return shared[: max(map(shared.rfind, "./:")) + 1]


def _shared_beginning(names: Sequence[str]) -> str:
    pairs = zip(min(names), max(names), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def is_dashed(policy: str) -> bool:
    """Whether an edge of this policy is drawn dashed."""
    return policy == Policy.CONTINUE
