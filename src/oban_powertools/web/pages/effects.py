"""A small graph of what a preview does to the steps of its workflow: each with what becomes of its state.

Only where that is few steps; the table of rows says the same, and more.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ...graph.place import Direction, Size, place
from ...graph.reading import read_drawn_steps
from ...graph.steps import Step
from ...graph.svg import Surroundings, draw
from ...graph.view import Choice, choose
from ...lifeline import RepairPreview
from ...plural import counted
from ...states import WorkflowId
from ..page import Page
from .drawings import let_through

MOST_TOUCHED: Final = 24
"""Steps above which nothing is drawn."""

_MOST_READ: Final = 2_000
"""Steps of a workflow above which it is not read for this."""

_OF_WORKFLOWS: Final = ("step", "workflow")


async def read_effect(page: Page, preview: RepairPreview) -> str | None:
    """The steps that a preview touches, with those they depend on; None where these are none, or many."""
    moves = _moves(preview)
    if preview.target_type not in _OF_WORKFLOWS or not 0 < len(moves) <= MOST_TOUCHED:
        return None
    workflow_id = WorkflowId(int(preview.target_id.partition("/")[0]))
    workflow = await page.calls.workflows.find(workflow_id)
    if workflow is None or workflow.total > _MOST_READ:
        return None
    steps = _around(await read_drawn_steps(page.calls, workflow_id), moves)
    graph = choose(steps, Choice(fold=False))
    drawing = Surroundings(
        title=f"Steps of {workflow.name} {workflow_id} that it touches",
        description=f"{counted(len(moves), 'step')} with the word before and the state after. The table says the same.",
        link=lambda box: page.url(f"/workflows/{workflow_id}", step=box.step.name),
        sprite=page.static("icons.svg"),
        id_prefix="effect",
    )
    picture = place(graph, size=Size.LARGE, direction=Direction.DOWN)
    return let_through(draw(picture, drawing))


def _moves(preview: RepairPreview) -> Mapping[int, str]:
    """Position of a step of the target's workflow -> what its state becomes."""
    workflow = preview.target_id.partition("/")[0]
    moves: dict[int, str] = {}
    for change in preview.changes:
        of, _, position = change.id.partition("/")
        if change.source == "step" and of == workflow and position.isdigit():
            was, becomes = (change.before or {}).get("state"), change.after.get("state")
            moves[int(position)] = f"→ {becomes}" if was != becomes else f"stays {becomes}"
    return moves


def _around(steps: list[Step], moves: Mapping[int, str]) -> list[Step]:
    """The touched steps with their parents, in their order, as a graph of their own."""
    parents = {parent for step in steps if step.position in moves for parent in step.parents}
    shown = moves.keys() | parents
    if len(shown) > MOST_TOUCHED:
        shown = moves.keys()
    places = {position: place for place, position in enumerate(sorted(shown))}
    return [
        replace(
            step,
            position=places[step.position],
            parents={places[parent]: policy for parent, policy in step.parents.items() if parent in places},
            remark=moves.get(step.position, "as it is"),
        )
        for step in steps
        if step.position in places
    ]
