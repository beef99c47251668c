"""The plan of a checked definition: rows ready to be stored, nothing left to decide.

A plan is made only from a definition without faults.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

_SLICE_STEPS: Final = 1000
"""A slice ends with the workflow that makes it so large: its commit then costs each step little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """One row of ``steps``."""

    position: int
    """0, 1, 2 ... in the order the steps were added."""

    name: str
    """Unique in the workflow."""

    depth: int
    """Edges on the longest path from a root; every edge leads to a greater depth."""

    kind: str
    """job, signal, workflow or map."""

    worker: str | None
    """Oban's path of the worker class; None where no job runs."""

    queue: str | None
    """The job's queue; None where no job runs."""

    priority: int
    """0 (first) to 9."""

    max_attempts: int
    """At least 1."""

    effects: str
    """repeatable, ask or never."""

    args: str | None
    """JSON text; None when the args hold references."""

    template: str | None
    """JSON text of text parts and references in turn; None without references."""

    meta: str | None
    """JSON text; None when empty."""

    tags: list[str] | None
    """None when empty."""

    scheduled_at: datetime | None
    """Not before this instant."""

    delay: timedelta | None
    """Time between release and start."""

    deadline: timedelta | None
    """The deadline of a wait, from its beginning."""

    item_template: str | None
    """The args of one item's job of a map; JSON text as ``template``."""

    max_failures: int | None
    """How many items of a map may fail."""

    nested: "WorkflowPlan | None"
    """The workflow this step runs, stored with it."""

    parents: list[int]
    """Positions, on cancel edges, ascending."""

    continue_parents: list[int] | None
    """Positions, on continue edges, ascending; None when there are none."""

    children: list[int]
    """Positions, on cancel edges, ascending."""

    continue_children: list[int] | None
    """Positions, on continue edges, ascending; None when there are none."""

    @property
    def pending(self) -> int:
        """How many parents have to end before the release."""
        return len(self.parents) + len(self.continue_parents or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPlan:
    """One row of ``workflows`` with its steps."""

    name: str
    """A label."""

    context: str
    """JSON text."""

    tags: list[str]
    """For filtering."""

    definition_version: str | None
    """The author's name for the version."""

    idempotency_key: str | None
    """Unique among workflows; None without one."""

    definition_hash: str | None
    """SHA-256 of the definition; only with an idempotency key."""

    on_finished: str | None
    """JSON text of the job's columns."""

    expires_in: timedelta | None
    """Time from insert until it expires."""

    steps: Sequence[StepPlan]
    """In position order."""

    @property
    def steps_in_all(self) -> int:
        """How many steps it has with those of the workflows nested in it."""
        return len(self.steps) + sum(step.nested.steps_in_all for step in self.steps if step.nested is not None)


def slices_of(plans: Iterable[WorkflowPlan]) -> Iterator[list[WorkflowPlan]]:
    """The plans in their order, in slices to be stored one after the other; none is empty."""
    part: list[WorkflowPlan] = []
    steps = 0
    for plan in plans:
        part.append(plan)
        steps += plan.steps_in_all
        if steps >= _SLICE_STEPS:
            yield part
            part, steps = [], 0
    if part:
        yield part
