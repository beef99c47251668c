"""What a step waits for beside its parents and its job: a signal, a nested workflow, the end of a hold, its cancel.

Pure. Each finding names what would end the wait.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..plural import counted, tallied
from .blocker_finding import BlockerFinding
from .explanations import BlockerCode, Scope
from .facts import ChildFacts, StepFacts, WorkflowFacts
from .job_facts import LockFacts
from .phrases import spell_span


def awaited(step: StepFacts) -> BlockerFinding:
    """The signal that a waiting step waits for."""
    if step.wait is None:
        return BlockerFinding(code=BlockerCode.WAITING_ON_SIGNAL, scope=Scope.STEP, says="waits for a signal")
    wait, now = step.wait, step.workflow.now
    if wait.deadline_at is None:
        until = ", without a deadline"
    elif wait.deadline_at > now:
        until = f", for {spell_span(wait.deadline_at - now)} more"
    else:
        until = ", past its deadline: the sweep expires it"
    return BlockerFinding(
        code=BlockerCode.WAITING_ON_SIGNAL,
        scope=Scope.STEP,
        says=f"waits for signal {wait.signal} with key {wait.correlation_key}{until}",
        details=wait.details,
    )


def running_child(child: ChildFacts) -> BlockerFinding:
    """The workflow that a step runs and waits for."""
    says, details = progress(child)
    code = BlockerCode.WAITING_ON_WORKFLOW if child.max_failures is None else BlockerCode.WAITING_ON_ITEMS
    return BlockerFinding(code=code, scope=Scope.STEP, says=says, details=details)


def progress(child: ChildFacts) -> tuple[str, dict[str, Any]]:
    """The progress of a nested workflow or of a map's items: a sentence without its subject, and the facts."""
    ended = child.total - child.open
    uncompleted = {"failed": child.failed, "cancelled": child.cancelled, "expired": child.expired}
    details: dict[str, Any] = {"workflow_id": child.id, "total": child.total, "done": ended, **uncompleted}
    failed = "".join(f", {part}" for part in tallied(uncompleted))
    if child.max_failures is None:
        return f"runs workflow {child.id}, {ended} of {counted(child.total, 'step')} ended{failed}", details
    details["max_failures"] = child.max_failures
    return f"runs {counted(child.total, 'item')} in workflow {child.id}, {ended} ended{failed}", details


def held_findings(step: StepFacts) -> Iterator[BlockerFinding]:
    """That a step is held; nothing when it is not."""
    if step.held_until is not None:
        remaining = spell_span(step.held_until - step.workflow.now)
        yield BlockerFinding(
            code=BlockerCode.HELD,
            scope=Scope.STEP,
            says=f"is held for {remaining} more: {step.hold_reason}",
            retry_at=step.held_until,
            details={"held_until": step.held_until, "reason": step.hold_reason},
        )


def lock_findings(lock: LockFacts | None, whose: Scope, now: datetime) -> Iterator[BlockerFinding]:
    """That another session keeps a workflow or a job from moving; nothing when none does."""
    if lock is not None:
        row = "it" if whose is Scope.JOB else "the workflow"
        yield BlockerFinding(
            code=BlockerCode.LOCKED,
            scope=whose,
            says=f"cannot move: {row} is locked by session {lock.pid} ({lock.session}), "
            f"in one transaction for {spell_span(now - lock.since)}",
            details=lock.details,
        )


def stop_findings(workflow: WorkflowFacts, says: str, step: StepFacts | None = None) -> Iterator[BlockerFinding]:
    """That a live step, or its whole workflow, is to stop; ``says`` is the sentence without it."""
    if step is not None and step.cancel_requested_at is not None:
        ago = spell_span(workflow.now - step.cancel_requested_at)
        yield BlockerFinding(
            code=BlockerCode.CANCEL_REQUESTED,
            scope=Scope.STEP,
            says=f"{says}; its cancel was requested {ago} ago",
            details={"cancel_requested_at": step.cancel_requested_at},
        )
    if workflow.expired_at is not None:
        yield BlockerFinding(
            code=BlockerCode.WORKFLOW_EXPIRED,
            scope=Scope.WORKFLOW,
            says=f"{says}; the workflow expired {spell_span(workflow.now - workflow.expired_at)} ago",
            details={"expired_at": workflow.expired_at},
        )
    elif workflow.cancel_requested_at is not None:
        ago = spell_span(workflow.now - workflow.cancel_requested_at)
        yield BlockerFinding(
            code=BlockerCode.CANCEL_REQUESTED,
            scope=Scope.WORKFLOW,
            says=f"{says}; the workflow's cancel was requested {ago} ago",
            details={"cancel_requested_at": workflow.cancel_requested_at},
        )
