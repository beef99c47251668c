"""Read what is drawn of a stored workflow: its steps and their history, and the root causes of a step.

It asks ``Calls`` and decides nothing. What a step's own words are comes from its record, its root causes from its
explanation.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol, assert_never

from ..calls import Calls
from ..errors import StepNotFoundError
from ..explain.phrases import spell_span
from ..spelling import did_you_mean
from ..states import OperatorStatus, StepState, WorkflowId
from ..workflows.outlines import StepOutline
from .gantt import Chart, Spell, StepSpells, arrange
from .steps import Step


class Charted(Protocol):
    """A step to chart: its record, or its outline."""

    @property
    def name(self) -> str:
        """Unique in its workflow."""
        ...

    @property
    def status(self) -> OperatorStatus:
        """The operator's word."""
        ...

    @property
    def state(self) -> StepState:
        """The raw state."""
        ...


async def read_drawn_steps(calls: Calls, workflow_id: WorkflowId, opened: Collection[str] = ()) -> list[Step]:
    """The steps of a workflow to draw, in position order.

    Args:
        opened: Names of its steps, or keys or places of steps at any depth, whose nested workflow or map is read too.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    # A name can look like a key: then both are meant.
    return await _read(calls, workflow_id, {*opened, *(f"{workflow_id}/{name}" for name in opened)})


async def read_causes(calls: Calls, key: str) -> frozenset[str]:
    """The keys of the root causes of a step; empty when nothing holds it up.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    workflow_id, step = key.split("/", 1)
    explanation = await calls.explain.workflow_step(workflow_id, step)
    return frozenset(f"{cause.workflow_id}/{cause.step}" for cause in explanation.root_causes)


async def read_chart(calls: Calls, workflow_id: WorkflowId, steps: Sequence[Charted] | None = None) -> Chart:
    """How the steps of a workflow spent their time, from its history, as far as that is kept.

    Args:
        steps: Only these of its steps; None for all.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    if steps is None:
        steps = await calls.workflows.outline(workflow_id)
    spells: dict[str, list[Spell]] = {step.name: [] for step in steps}
    now = datetime.min.replace(tzinfo=UTC)
    for spell in await calls.workflows.spells(workflow_id, steps=list(spells)):
        until = spell.at + spell.lasts_for
        now = max(now, until)
        if spell.step in spells:
            spells[spell.step].append(
                Spell(
                    phase=spell.phase,
                    begins_at=spell.at,
                    ends_at=None if spell.goes_on else until,
                    attempt=spell.attempt or 0,
                    failed=spell.failed,
                )
            )
    rows = [
        StepSpells(name=step.name, status=step.status, state=step.state, spells=spells[step.name]) for step in steps
    ]
    return arrange(rows, now=now)


def find_key(steps: Sequence[Step], name: str) -> str:
    """The key of a step by its name, or by ``workflow id/step name`` of one inside another.

    Raises:
        StepNotFoundError: There is no such step.
    """
    for step in steps:
        if step.name == name:
            return step.key
    for step in steps:
        if any(part.key == name for part in step.walk()):
            return name
    meant = did_you_mean(name, (step.name for step in steps))
    raise StepNotFoundError(WorkflowId(steps[0].workflow_id), name, meant)


async def _read(calls: Calls, workflow_id: WorkflowId, opened: Collection[str]) -> list[Step]:
    steps: list[Step] = []
    for record in await calls.workflows.outline(workflow_id):
        inside: Sequence[Step] = ()
        names = {f"{workflow_id}/{record.name}", f"{workflow_id}.{record.position}"}
        if record.child_id is not None and not names.isdisjoint(opened):
            inside = await _read(calls, record.child_id, opened)
        steps.append(_step(record, inside))
    return steps


def _step(record: StepOutline, inside: Sequence[Step]) -> Step:
    return Step(
        workflow_id=record.workflow_id,
        position=record.position,
        name=record.name,
        parents=record.parents,
        status=record.status,
        state=record.state,
        kind=record.kind,
        worker=record.worker,
        remark=_remark(record),
        child_id=record.child_id,
        inside=inside,
    )


def _remark(record: StepOutline) -> str:
    """What follows the operator's word; empty where the raw state says enough."""
    attempt = f"attempt {record.attempt} of {record.max_attempts}"
    if record.held_until is not None and not record.state.terminal:
        return "held"
    match record.state:
        case StepState.COMPLETED:
            return (
                spell_span(record.finished_at - record.started_at) if record.finished_at and record.started_at else ""
            )
        case StepState.RETRYABLE:
            return f"retry {record.attempt + 1} of {record.max_attempts}"
        case StepState.EXECUTING:
            if record.child_id is not None:
                return f"workflow {record.child_id}"
            return attempt if record.attempt > 1 else ""
        case StepState.AWAITING_SIGNAL:
            return f"signal {record.signal}"
        case (
            StepState.PENDING
            | StepState.AVAILABLE
            | StepState.SCHEDULED
            | StepState.SUSPENDED
            | StepState.DISCARDED
            | StepState.CANCELLED
            | StepState.EXPIRED
        ):
            return ""
        case _:
            assert_never(record.state)
