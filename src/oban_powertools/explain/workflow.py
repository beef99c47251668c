"""Explain a workflow: its steps by state, and what holds it up or made it fail.

Runs in the caller's transaction and locks nothing. Every released step without an outcome is listed or counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..database import Session
from ..plural import counted
from ..states import OperatorStatus, WorkflowId
from ..workflows.rules import NOT_STARTED
from .actions import Actions, workflow_actions
from .blocker_finding import BlockerFinding
from .causes import MAX_CAUSES, find_causes, group_causes
from .explanations import Blocker, BlockerCode, RootCauseGroup, Scope, WorkflowExplanation
from .facts import WorkflowFacts
from .incidents import Subject, find_incidents
from .reading import read_recovery, read_workflow
from .waits import lock_findings, stop_findings

_URGENCY: Final = (
    OperatorStatus.NEEDS_REVIEW,
    OperatorStatus.BLOCKED,
    OperatorStatus.RUNNING,
    OperatorStatus.RUNNABLE,
    OperatorStatus.WAITING,
)


async def explain_workflow(session: Session, workflow_id: WorkflowId) -> WorkflowExplanation:
    """Why a workflow is as it is.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    workflow = await read_workflow(session, workflow_id)
    states = await session.all("explain_counts", {"workflow_id": workflow_id})
    causes, total = await find_causes(session, workflow)
    groups = group_causes(causes)
    listed = groups[:MAX_CAUSES]
    legal, illegal = await _find_actions(session, workflow, states)
    subjects = [Subject.of_workflow(workflow), *(Subject.of_cause(cause.step) for cause in causes)]
    return WorkflowExplanation(
        workflow_id=workflow.id,
        name=workflow.name,
        state=workflow.state,
        status=_status(workflow, groups),
        summary=_summary(workflow, groups),
        counts={row["state"]: row["steps"] for row in states},
        total=workflow.total,
        open=workflow.open,
        blockers=tuple(_blockers(workflow, groups)),
        root_causes=tuple(listed),
        more_root_causes=total - sum(group.count for group in listed),
        legal_actions=legal,
        illegal_actions=illegal,
        incidents=await find_incidents(session, subjects),
        explained_at=workflow.now,
    )


async def find_workflow_actions(session: Session, workflow_id: WorkflowId) -> Actions:
    """The acts that are legal on a workflow now, as in its explanation, without the cost of finding causes.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    workflow = await read_workflow(session, workflow_id)
    states = await session.all("explain_counts", {"workflow_id": workflow_id})
    return await _find_actions(session, workflow, states)


async def _find_actions(session: Session, workflow: WorkflowFacts, states: Sequence[Mapping[str, Any]]) -> Actions:
    recovery = await read_recovery(session, workflow.id)
    held = sum(row["held"] for row in states)
    holdable = sum(row["steps"] if row["state"] in NOT_STARTED else row["held"] for row in states)
    return workflow_actions(workflow, held, holdable, recovery)


def _status(workflow: WorkflowFacts, groups: Sequence[RootCauseGroup]) -> OperatorStatus:
    if workflow.open == 0:
        return OperatorStatus.FINISHED
    statuses = {group.status for group in groups}
    return next((status for status in _URGENCY if status in statuses), OperatorStatus.NEEDS_REVIEW)


def _summary(workflow: WorkflowFacts, groups: Sequence[RootCauseGroup]) -> str:
    ended = f"{workflow.total - workflow.open} of {counted(workflow.total, 'step')} ended"
    sentence = f"{workflow.name} is {workflow.state.replace('_', ' ')}, {ended}"
    return f"{sentence}: {groups[0].summary}" if groups else sentence


def _blockers(workflow: WorkflowFacts, groups: Sequence[RootCauseGroup]) -> list[Blocker]:
    if workflow.open == 0:
        return []
    findings = list(lock_findings(workflow.lock, Scope.WORKFLOW, workflow.now))
    findings += stop_findings(workflow, "has steps left")
    if workflow.not_started:
        says = f"waits to be started by {workflow.parent_step} of workflow {workflow.parent_id}"
        findings.append(BlockerFinding(code=BlockerCode.WAITING_ON_DEPENDENCIES, scope=Scope.WORKFLOW, says=says))
    elif all(group.status is OperatorStatus.FINISHED for group in groups):
        says = f"has {counted(workflow.open, 'open step')} and none that could run"
        findings.append(BlockerFinding(code=BlockerCode.BOOKKEEPING_FAULT, scope=Scope.WORKFLOW, says=says))
    return [finding.blocker(workflow.name) for finding in findings]
