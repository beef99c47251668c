"""Find root causes: the steps that wait on nothing upstream and hold up the rest.

Runs in the caller's transaction and locks nothing. Every kind of cause is found, however many steps share another
kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ..database import Session
from ..states import Cause, OperatorStatus, StepState, WorkflowId
from .diagnosing import Diagnosis, diagnose_step
from .explanations import RootCause, RootCauseGroup, Scope
from .facts import StepFacts, WorkflowFacts
from .reading import read_queues, read_step_facts

MAX_CAUSES: Final = 20
"""Most root causes of a step, or groups of them of a workflow, that are listed."""

MAX_EXAMPLES: Final = 3
"""Most steps of one group that are listed."""

URGENCY: Final = (
    OperatorStatus.NEEDS_REVIEW,
    OperatorStatus.BLOCKED,
    OperatorStatus.FINISHED,
    OperatorStatus.WAITING,
    OperatorStatus.RUNNING,
    OperatorStatus.RUNNABLE,
)
"""The order of root causes by status, most urgent first. Finished ones are failures here."""

_WITH_THEIR_WORKFLOW: Final = (Cause.CANCEL_REQUESTED, Cause.WORKFLOW_EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CausingStep:
    """One root cause with its diagnosis."""

    step: StepFacts
    """The step."""

    diagnosis: Diagnosis
    """Its diagnosis."""

    first_of: int
    """The number of steps of its kind when it is their first, else 0."""

    @property
    def record(self) -> RootCause:
        """Its public record."""
        return RootCause(
            workflow_id=self.step.workflow.id,
            step=self.step.name,
            position=self.step.position,
            state=self.diagnosis.state,
            status=self.diagnosis.status,
            code=self.diagnosis.code,
            summary=self.diagnosis.summary,
            job_id=self.step.job_id,
            retry_at=self.diagnosis.retry_at,
        )


async def find_causes(
    session: Session,
    workflow: WorkflowFacts,
    *,
    upstream_of: StepFacts | None = None,
) -> tuple[list[CausingStep], int]:
    """Root causes, the most urgent first, then by place; and how many there are in all.

    A step that runs a workflow is replaced by the steps in it. A nested workflow that has not started waits for the
    same as the step that runs it.

    Args:
        upstream_of: Only what this step waits for, or was cancelled because of. None: of the whole
            workflow, with a few examples of each kind.
    """
    args: dict[str, Any] = {
        "workflow_id": workflow.id,
        "position": upstream_of.position if upstream_of else None,
        "examples": MAX_CAUSES if upstream_of else MAX_EXAMPLES,
        "page": MAX_CAUSES if upstream_of else MAX_CAUSES * MAX_EXAMPLES,
    }
    rows = {(row["workflow_id"], row["position"]): row for row in await session.all("explain_causes", args)}
    if not rows:
        return await _causes_outside(session, workflow)
    steps = await read_step_facts(session, list(rows))
    counts = {place: row["members"] if row["place"] == 1 else 0 for place, row in rows.items()}
    causes = await _diagnosed(session, steps, workflow.id, counts)
    causes.sort(key=_rank)
    return causes, next(row["total"] for row in rows.values())


def _rank(cause: CausingStep) -> int:
    """The most urgent first; what ended with its workflow is no cause of what goes on, and comes last."""
    status = cause.diagnosis.status
    ended_with_it = status is OperatorStatus.FINISHED and cause.step.cause in _WITH_THEIR_WORKFLOW
    return len(URGENCY) if ended_with_it else URGENCY.index(status)


async def _causes_outside(session: Session, workflow: WorkflowFacts) -> tuple[list[CausingStep], int]:
    """The root causes of a nested workflow that never started: those of the step that runs it."""
    doomed = workflow.parent_cause == Cause.CANCELLED_BY_DEPENDENCY
    if workflow.parent_id is None or workflow.parent_position is None or not (workflow.not_started or doomed):
        return [], 0
    [step] = await read_step_facts(session, [(workflow.parent_id, workflow.parent_position)])
    if step.own_state == StepState.PENDING and not step.pending and step.held_until is not None:
        return await _diagnosed(session, [step], workflow.id, {(step.workflow.id, step.position): 1}), 1
    causes, total = await find_causes(session, step.workflow, upstream_of=step)
    return [replace(cause, diagnosis=_subject(cause, workflow.id)) for cause in causes], total


async def _diagnosed(
    session: Session,
    steps: Sequence[StepFacts],
    seen_from: WorkflowId,
    counts: Mapping[tuple[int, int], int],
) -> list[CausingStep]:
    queues = await read_queues(session, (step.job for step in steps))
    causes = [
        CausingStep(
            step=step,
            diagnosis=diagnose_step(step, queues.get(step.job.queue) if step.job else None),
            first_of=counts[step.workflow.id, step.position],
        )
        for step in steps
    ]
    return [replace(cause, diagnosis=_subject(cause, seen_from)) for cause in causes]


def _subject(cause: CausingStep, seen_from: WorkflowId) -> Diagnosis:
    """The subject of a sentence; names the workflow, too, when it is not the explained one."""
    step = cause.step
    elsewhere = f"{step.name} of workflow {step.workflow.id}"
    return replace(cause.diagnosis, subject=step.name if step.workflow.id == seen_from else elsewhere)


def group_causes(causes: Iterable[CausingStep]) -> list[RootCauseGroup]:
    """Causes with the same code, and the same queue or worker where that matters, in their order."""
    groups: dict[tuple[str | None, ...], list[CausingStep]] = {}
    for cause in causes:
        groups.setdefault(_group_of(cause), []).append(cause)
    return [_group(members) for members in groups.values()]


def _group_of(cause: CausingStep) -> tuple[str | None, ...]:
    diagnosed = cause.diagnosis
    match diagnosed.findings[0].scope if diagnosed.findings else None:
        case Scope.QUEUE:
            return (diagnosed.status, diagnosed.code, cause.step.job.queue if cause.step.job else cause.step.queue)
        case Scope.JOB:
            return (diagnosed.status, diagnosed.code, cause.step.worker)
        case Scope.STEP | Scope.WORKFLOW | None:
            return (diagnosed.status, diagnosed.code)


def _group(members: list[CausingStep]) -> RootCauseGroup:
    first = members[0].diagnosis
    count = sum(member.first_of for member in members)
    return RootCauseGroup(
        code=first.code,
        status=first.status,
        count=count,
        summary=first.summary if count == 1 else f"{first.summary} (and {count - 1} more like it)",
        examples=tuple(member.record for member in members[:MAX_EXAMPLES]),
    )
