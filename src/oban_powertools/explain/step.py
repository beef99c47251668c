"""Explain one step: its state, what blocks it, and the root causes upstream.

Runs in the caller's transaction and locks nothing. It reads only the ancestors that matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ..database import Session, record
from ..states import Cause, OperatorStatus, StepState, WorkflowId
from .actions import Actions, step_actions
from .blocker_finding import BlockerFinding
from .causes import MAX_CAUSES, CausingStep, find_causes
from .diagnosing import Diagnosis, diagnose_step, diagnosis
from .explanations import BlockerCode, Dependency, Scope, StepExplanation
from .facts import StepFacts
from .imports import import_findings
from .incidents import Subject, find_incidents
from .phrases import listed
from .reading import read_queues, read_recovery, read_step
from .waits import held_findings, stop_findings

MAX_DEPENDENCIES: Final = 100
"""Most parents that are listed."""

_NESTED_URGENCY: Final = (OperatorStatus.NEEDS_REVIEW, OperatorStatus.BLOCKED, OperatorStatus.RUNNING)
_MAX_NAMED: Final = 20
_MAX_IN_SENTENCE: Final = 3


async def explain_step(
    session: Session,
    workflow_id: WorkflowId,
    name: str,
    *,
    check_import: bool = False,
) -> StepExplanation:
    """Explain a step.

    Args:
        check_import: Import its worker in this process, which runs the code its row names.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    step = await read_step(session, workflow_id, name)
    workflow = step.workflow
    parents = await _read_parents(session, step)
    imports = import_findings(step.worker) if check_import and step.worker and not step.ended else []
    waits = step.own_state == StepState.PENDING or step.cause == Cause.CANCELLED_BY_DEPENDENCY
    causes: list[CausingStep] = []
    total = 0
    if waits or step.child is not None:
        causes, total = await find_causes(session, workflow, upstream_of=step)
    if waits and not _only_held(step):
        diagnosed = _diagnose_waiting(step, parents, causes, total, imports)
    else:
        queues = await read_queues(session, [step.job])
        diagnosed = diagnose_step(step, queues.get(step.job.queue) if step.job else None, imports)
        diagnosed = _with_nested(diagnosed, causes) if step.child is not None else diagnosed
    legal, illegal = await _find_actions(session, step, parents)
    subjects = [Subject(step=step, actions=legal), *(Subject.of_cause(cause.step) for cause in causes[:MAX_CAUSES])]
    return StepExplanation(
        workflow_id=workflow.id,
        workflow_name=workflow.name,
        workflow_state=workflow.state,
        step=step.name,
        position=step.position,
        state=step.state,
        status=diagnosed.status,
        summary=diagnosed.summary,
        cause=step.cause,
        kind=step.kind,
        worker=step.worker,
        queue=step.job.queue if step.job else step.queue,
        job_id=step.job_id,
        child_id=step.child.id if step.child else None,
        attempt=step.attempt,
        max_attempts=step.job.max_attempts if step.job else step.max_attempts,
        blockers=diagnosed.blockers,
        dependencies=tuple(record(Dependency, parent) for parent in parents),
        more_dependencies=step.parents - len(parents),
        root_causes=tuple(cause.record for cause in causes[:MAX_CAUSES]),
        more_root_causes=total - len(causes[:MAX_CAUSES]),
        legal_actions=legal,
        illegal_actions=illegal,
        incidents=await find_incidents(session, subjects),
        explained_at=workflow.now,
    )


async def find_step_actions(session: Session, workflow_id: WorkflowId, name: str) -> Actions:
    """The acts that are legal on a step now, as in its explanation, without the cost of finding causes.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    step = await read_step(session, workflow_id, name)
    return await _find_actions(session, step, await _read_parents(session, step))


async def _read_parents(session: Session, step: StepFacts) -> Sequence[Mapping[str, Any]]:
    args = {"workflow_id": step.workflow.id, "position": step.position, "page": MAX_DEPENDENCIES}
    return await session.all("explain_dependencies", args)


async def _find_actions(session: Session, step: StepFacts, parents: Sequence[Mapping[str, Any]]) -> Actions:
    recovery = await read_recovery(session, step.workflow.id, step)
    return step_actions(step, [parent["name"] for parent in parents if parent["open"]][:_MAX_NAMED], recovery)


def _only_held(step: StepFacts) -> bool:
    return step.own_state == StepState.PENDING and not step.pending and step.held_until is not None


def _with_nested(diagnosed: Diagnosis, causes: Sequence[CausingStep]) -> Diagnosis:
    """Extend the sentence of a step that runs a workflow by what holds the workflow up, or made it fail."""
    if not causes:
        return diagnosed
    first = causes[0].diagnosis
    says = f"{diagnosed.says}: {first.subject} {first.says}"
    if diagnosed.status is OperatorStatus.FINISHED:
        return replace(diagnosed, says=says)
    statuses = {cause.diagnosis.status for cause in causes}
    status = next((word for word in _NESTED_URGENCY if word in statuses), OperatorStatus.WAITING)
    stuck = status in (OperatorStatus.NEEDS_REVIEW, OperatorStatus.BLOCKED)
    return replace(diagnosed, says=says, status=OperatorStatus.BLOCKED if stuck else status)


def _diagnose_waiting(
    step: StepFacts,
    parents: Sequence[Mapping[str, Any]],
    causes: Sequence[CausingStep],
    total: int,
    imports: Sequence[BlockerFinding],
) -> Diagnosis:
    if step.ended:
        return diagnosis(step.name, step.state, [_cancelled_by(causes, total)], "", finished=True)
    if not causes:
        says = "is pending, but nothing is left that could release it"
        stuck = BlockerFinding(code=BlockerCode.BOOKKEEPING_FAULT, scope=Scope.STEP, says=says)
        return diagnosis(step.name, step.state, [*imports, stuck], says, finished=False)
    says = f"waits for {_held_up_by(causes, total)}"
    holds = held_findings(step)
    findings = [*imports, *_dependency_findings(step, parents), *holds, *stop_findings(step.workflow, says, step)]
    diagnosed = diagnosis(step.name, step.state, findings, says, finished=False)
    stuck_upstream = causes[0].diagnosis.status in (OperatorStatus.NEEDS_REVIEW, OperatorStatus.BLOCKED)
    status = OperatorStatus.BLOCKED if stuck_upstream and not imports else diagnosed.status
    return replace(diagnosed, status=status, says=imports[0].says if imports else says)


def _held_up_by(causes: Sequence[CausingStep], total: int) -> str:
    """``sync_billing, which is retrying ...``, or ``3 steps, first of all sync_billing, which ...``."""
    first = causes[0].diagnosis
    sentence = f"{first.subject}, which {first.says}"
    return sentence if total == 1 else f"{total} steps, first of all {sentence}"


def _cancelled_by(causes: Sequence[CausingStep], total: int) -> BlockerFinding:
    because = causes[0].diagnosis.summary if causes else "a dependency failed"
    also = f" (and {total - 1} more failed)" if total > 1 else ""
    return BlockerFinding(
        code=BlockerCode.CANCELLED_BY_DEPENDENCY,
        scope=Scope.STEP,
        says=f"was cancelled because {because}{also}",
        details={"failed": [cause.step.name for cause in causes]},
    )


def _dependency_findings(step: StepFacts, parents: Sequence[Mapping[str, Any]]) -> list[BlockerFinding]:
    names = [parent["name"] for parent in parents if parent["open"]]
    waiting_on = listed(names[:_MAX_IN_SENTENCE], step.pending - len(names[:_MAX_IN_SENTENCE]))
    if not names and step.workflow.not_started:
        waiting_on = f"its workflow to be started by {step.workflow.parent_step} of workflow {step.workflow.parent_id}"
    findings = [
        BlockerFinding(
            code=BlockerCode.WAITING_ON_DEPENDENCIES,
            scope=Scope.STEP,
            says=f"waits for {waiting_on}",
            details={"waiting_on": names[:_MAX_NAMED], "pending": step.pending, "parents": step.parents},
        )
    ]
    retrying = [parent for parent in parents if parent["state"] == StepState.RETRYABLE]
    if retrying:
        names = [parent["name"] for parent in retrying]
        findings.append(
            BlockerFinding(
                code=BlockerCode.WAITING_ON_RETRYABLE_DEPENDENCY,
                scope=Scope.STEP,
                says=f"waits for another attempt of {listed(names[:_MAX_IN_SENTENCE], len(names[_MAX_IN_SENTENCE:]))}",
                retry_at=min(parent["retry_at"] for parent in retrying),
                details={"waiting_on": names[:_MAX_NAMED]},
            )
        )
    return findings
