"""Read what is drawn of a stored workflow: its steps, those inside opened boxes, and the root causes of a step.

It asks ``Calls`` and decides nothing. What a step's own words are comes from its record, its root causes from its
explanation.
"""

from collections.abc import Collection, Sequence

from ..calls import Calls
from ..errors import StepNotFoundError
from ..explain.phrases import span
from ..states import StepKind, StepState, WorkflowId
from ..workflows.records import StepRecord
from .steps import Step


async def read_steps(calls: Calls, workflow_id: WorkflowId, opened: Collection[str] = ()) -> list[Step]:
    """The steps of a workflow to draw, in position order.

    Args:
        opened: Names of its steps, or keys of steps at any depth, whose nested workflow or map is read too.

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
    raise StepNotFoundError(WorkflowId(steps[0].workflow_id), name)


async def _read(calls: Calls, workflow_id: WorkflowId, opened: Collection[str]) -> list[Step]:
    records = await calls.workflows.steps(workflow_id)
    position_of = {record.name: record.position for record in records}
    steps: list[Step] = []
    for record in records:
        parents = {int(position_of[name]): str(policy) for name, policy in record.deps.items()}
        inside: Sequence[Step] = ()
        if record.child_id is not None and f"{workflow_id}/{record.name}" in opened:
            inside = await _read(calls, record.child_id, opened)
        steps.append(_step(record, parents, inside))
    return steps


def _step(record: StepRecord, parents: dict[int, str], inside: Sequence[Step]) -> Step:
    return Step(
        workflow_id=record.workflow_id,
        position=record.position,
        name=record.name,
        parents=parents,
        status=record.status,
        state=record.state,
        kind=record.kind,
        worker=record.worker,
        remark=_remark(record),
        child_id=record.child_id,
        inside=inside,
    )


def _remark(record: StepRecord) -> str:
    """What follows the operator's word; empty where the raw state says enough."""
    match record.state:
        case StepState.COMPLETED if record.started_at and record.finished_at:
            return span(record.finished_at - record.started_at)
        case StepState.RETRYABLE:
            return f"attempt {record.attempt} of {record.max_attempts} failed"
        case StepState.EXECUTING if record.attempt > 1:
            return f"attempt {record.attempt} of {record.max_attempts}"
        case StepState.AWAITING_SIGNAL if record.signal:
            return f"signal {record.signal}"
        case StepState.PENDING | StepState.SUSPENDED if record.held_until is not None:
            return "held"
        case StepState.AVAILABLE if record.kind in (StepKind.WORKFLOW, StepKind.MAP) and record.child_id is not None:
            return f"workflow {record.child_id}"
        case _:
            return ""
