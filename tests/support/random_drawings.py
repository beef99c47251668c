"""Random graphs of steps to draw, and what a picture looks like on the plane: boxes and sampled lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import strategies as st

from oban_powertools.graph.place import INSET, Direction, Picture, Placed, Stroke, head_height
from oban_powertools.graph.steps import Step
from oban_powertools.graph.view import Box
from oban_powertools.states import OperatorStatus, StepKind, StepState

SAMPLES = 24
WORKERS = ("app.Fetch", "app.Resize")


def a_step(position: int, parents: Sequence[int] = (), **fields: object) -> Step:
    step = Step(
        workflow_id=1,
        position=position,
        name=f"step_{position}",
        parents=dict.fromkeys(parents, "cancel"),
        status=OperatorStatus.WAITING,
        state=StepState.PENDING,
        worker=WORKERS[0],
    )
    return replace(step, **fields)


@st.composite
def workflows(draw: st.DrawFn, *, most: int = 18, nested: bool = True, workflow_id: int = 1) -> list[Step]:
    """Steps of a workflow without a cycle, whose parents stand anywhere before or after them."""
    count = draw(st.integers(1, most))
    order = draw(st.permutations(range(count)))
    steps: dict[int, Step] = {}
    for index, position in enumerate(order):
        before = order[:index]
        chosen = draw(st.sets(st.sampled_from(before), max_size=4)) if before else set()
        inside = draw(workflows(most=6, nested=False, workflow_id=100 + position)) if nested and not index % 7 else []
        steps[position] = Step(
            workflow_id=workflow_id,
            position=position,
            name=f"{draw(st.sampled_from(('step', 'load', 'a.rather.long.name.of.a.step')))}_{position}",
            parents={parent: draw(st.sampled_from(("cancel", "continue"))) for parent in chosen},
            status=draw(st.sampled_from(OperatorStatus)),
            state=draw(st.sampled_from(StepState)),
            kind=StepKind.WORKFLOW if inside else StepKind.JOB,
            worker=None if inside else draw(st.sampled_from(WORKERS)),
            child_id=100 + position if inside else None,
            inside=inside,
        )
    return [steps[position] for position in range(count)]


@dataclass(frozen=True)
class Area:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Area") -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def covers(self, other: "Area") -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom

    def holds(self, x: float, y: float) -> bool:
        """Whether the point is inside it, not on its edge."""
        return self.left < x < self.right and self.top < y < self.bottom


def area_of(placed: Placed) -> Area:
    return Area(placed.x, placed.y, placed.x + placed.width, placed.y + placed.height)


def inner_area_of(placed: Placed, picture: Picture) -> Area:
    assert placed.inside is not None
    left, top = placed.x + INSET, placed.y + head_height(placed.box, picture.size)
    return Area(left, top, left + placed.inside.width, top + placed.inside.height)


def pictures(picture: Picture) -> Iterator[Picture]:
    """The picture and those inside its boxes."""
    yield picture
    for placed in picture.boxes:
        if placed.inside is not None:
            yield from pictures(placed.inside)


def samples(stroke: Stroke, picture: Picture) -> list[tuple[float, float]]:
    """Points along a line, as it is drawn: an S where it is not parallel to the flow."""
    turned = picture.direction is Direction.RIGHT
    drawn = [point[::-1] if turned else point for point in stroke.points]
    found: list[tuple[float, float]] = []
    for (x, y), (x1, y1) in pairwise(drawn):
        for step in range(SAMPLES + 1):
            t = step / SAMPLES
            # The control points of the curve stand above its ends, half way along.
            along = (1 - t) ** 3 * y + 3 * (1 - t) * t * (y + y1) / 2 + t**3 * y1
            across = x * ((1 - t) ** 3 + 3 * (1 - t) ** 2 * t) + x1 * (3 * (1 - t) * t**2 + t**3)
            found.append((along, across) if turned else (across, along))
    return found


def steps_in(boxes: Sequence[Box]) -> list[Step]:
    return [step for box in boxes for step in box.steps]
