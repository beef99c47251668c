"""Why a step or a job ended as it did.

Pure. A success has no blocker, and every other end has one.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..states import Cause, StepKind, StepState
from .blocker_finding import BlockerFinding
from .explanations import BlockerCode, Scope
from .facts import StepFacts
from .phrases import error_line, with_error
from .waits import progress

_COMPLETED_AS: Final[Mapping[str, str]] = {
    Cause.COMPLETED_BY_OPERATOR: "was completed by an operator",
    Cause.SKIPPED: "was skipped by an operator",
    Cause.COMPLETED_AFTER_CANCEL_REQUEST: "completed after its cancel was requested",
}


def ended_as(step: StepFacts) -> str:
    """The sentence of an ended step without findings."""
    return _COMPLETED_AS.get(step.cause or "", f"is {step.state}")


def job_outcome(state: str, attempt: int, max_attempts: int, error: Any) -> list[BlockerFinding]:
    """Why a job, or the step it ran, ended without success; empty for a success."""
    attempts = {"attempt": attempt, "max_attempts": max_attempts, "error": error_line(error)}
    if state == StepState.COMPLETED:
        return []
    if state == StepState.CANCELLED:
        says = with_error("was cancelled", error)
        return [BlockerFinding(code=BlockerCode.JOB_CANCELLED, scope=Scope.JOB, says=says, details=attempts)]
    if attempt >= max_attempts:
        says = with_error(f"failed after {attempt} of {max_attempts} attempts", error)
        return [BlockerFinding(code=BlockerCode.ATTEMPTS_EXHAUSTED, scope=Scope.JOB, says=says, details=attempts)]
    says = with_error(f"was discarded at attempt {attempt} of {max_attempts}", error)
    return [BlockerFinding(code=BlockerCode.JOB_DISCARDED, scope=Scope.JOB, says=says, details=attempts)]


def step_outcome(step: StepFacts) -> list[BlockerFinding]:
    """Why a step ended without success; empty for a success."""
    if step.own_state == StepState.COMPLETED:
        return []
    if (finding := _by_cause(step)) is not None:
        return [finding]
    if step.own_state == StepState.EXPIRED and step.child is None:
        return [_expired_wait(step)]
    if step.kind == StepKind.JOB:
        return job_outcome(step.own_state, step.attempt, step.max_attempts, step.error)
    return [_nested_failed(step) if step.child is not None else _could_not_start(step)]


def _by_cause(step: StepFacts) -> BlockerFinding | None:
    match Cause(step.cause) if step.cause in Cause else None:
        case Cause.JOB_DELETED:
            says = "was cancelled because its job was deleted"
            return BlockerFinding(code=BlockerCode.JOB_DELETED, scope=Scope.STEP, says=says)
        case Cause.CANCELLED_BY_OPERATOR:
            says = "was cancelled by an operator"
            details = {"cancel_requested_at": step.cancel_requested_at}
            return BlockerFinding(code=BlockerCode.CANCELLED_BY_OPERATOR, scope=Scope.STEP, says=says, details=details)
        case Cause.CANCEL_REQUESTED:
            says = "was cancelled with its workflow"
            details = {"cancel_requested_at": step.workflow.cancel_requested_at}
            return BlockerFinding(code=BlockerCode.CANCEL_REQUESTED, scope=Scope.WORKFLOW, says=says, details=details)
        case Cause.WORKFLOW_EXPIRED:
            details = {"expired_at": step.workflow.expired_at}
            says = "expired with its workflow"
            return BlockerFinding(code=BlockerCode.WORKFLOW_EXPIRED, scope=Scope.WORKFLOW, says=says, details=details)
        case Cause.WAIT_EXPIRED:
            return _expired_wait(step)
        case Cause.CANCELLED_BY_DEPENDENCY | Cause.COMPLETED_AFTER_CANCEL_REQUEST:
            return None
        case Cause.COMPLETED_BY_OPERATOR | Cause.SKIPPED | None:
            return None


def _expired_wait(step: StepFacts) -> BlockerFinding:
    if step.wait is None:
        return BlockerFinding(code=BlockerCode.EXPIRED_WAIT, scope=Scope.STEP, says="waited past its deadline")
    says = f"waited for signal {step.wait.signal} with key {step.wait.correlation_key}, which did not come in time"
    return BlockerFinding(code=BlockerCode.EXPIRED_WAIT, scope=Scope.STEP, says=says, details=step.wait.details)


def _nested_failed(step: StepFacts) -> BlockerFinding:
    assert step.child is not None
    says, details = progress(step.child)
    ended = f"ended as {step.child.state}: it {says}" if step.child.max_failures is None else says
    if step.child.came_through:  # then the step that gathers its results failed
        ended, details = with_error(ended, step.error), {**details, "error": error_line(step.error)}
    return BlockerFinding(code=BlockerCode.NESTED_WORKFLOW_FAILED, scope=Scope.STEP, says=ended, details=details)


def _could_not_start(step: StepFacts) -> BlockerFinding:
    details = {"error": error_line(step.error)}
    return BlockerFinding(
        code=BlockerCode.COULD_NOT_START,
        scope=Scope.STEP,
        says=with_error("could not start", step.error),
        details=details,
    )
