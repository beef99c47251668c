"""The steps of a definition as a drawing takes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from oban import Job

from ..database import json_border
from ..states import StepKind
from .drawing import Node
from .references import PlaceOfValue, StepHandle, is_reference, place_of
from .runs import MapOver, NestedStep, SignalWait, StepDefinition


def nodes_of(steps: Sequence[StepDefinition]) -> list[Node]:
    """A node for each step; edges to steps that were not added are left out."""
    positions: dict[str, int] = {}
    for position, step in enumerate(steps):
        positions.setdefault(step.name, position)
    return [Node(name=str(step.name), parents=_drawn_parents(step, positions), kind=_kind(step.runs)) for step in steps]


def _kind(runs: Any) -> StepKind:
    match runs:
        case SignalWait():
            return StepKind.SIGNAL
        case MapOver():
            return StepKind.MAP
        case NestedStep():
            return StepKind.WORKFLOW
        case _:
            return StepKind.JOB


def _drawn_parents(step: StepDefinition, positions: Mapping[str, int]) -> dict[int, str]:
    references: list[PlaceOfValue] = []

    def leaf(value: Any, _: str) -> bool:
        if is_reference(value):
            references.append(place_of(value))
        return is_reference(value)

    json_border.find_faults(_referring(step.runs), "args", leaf)
    edges = [(parent.name if isinstance(parent, StepHandle) else parent, policy) for parent, policy in step.deps]
    edges += [(reference.step, step.on_failure) for reference in references if reference.part != "item"]
    return {positions[parent]: policy for parent, policy in reversed(edges) if parent in positions}


def _referring(runs: Any) -> list[Any]:
    """The values of a step that may contain references to other steps."""
    match runs:
        case SignalWait():
            return [runs.correlation_key]
        case MapOver():
            return [runs.over, runs.job.args]
        case Job():
            return [runs.args]
        case _:
            return []
