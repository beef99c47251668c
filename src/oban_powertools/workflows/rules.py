"""Which acts are legal on a step or a workflow in its current state, for commands and explanations alike.

Pure: rows in, the refusal out. The rule that must never break: a command and an explanation that read the same rows
decide the same, in the same words.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from ..acts import Action
from ..database import Row
from ..errors import (
    AlreadyTerminalError,
    CommandRefusedError,
    IllegalTransitionError,
    StepNotReleasedError,
    UnsupportedSemanticsError,
    WorkflowEndedError,
)
from ..states import (
    SEMANTICS_VERSION,
    TERMINAL_STEP_STATES,
    Cause,
    Effects,
    RecoveryAction,
    StepKind,
    StepState,
    WorkflowId,
    WorkflowState,
)

FAILED: Final = TERMINAL_STEP_STATES - {StepState.COMPLETED}
"""The states of ended steps that may be recovered."""

_RUNS_A_JOB: Final = frozenset(
    {StepState.AVAILABLE, StepState.SCHEDULED, StepState.EXECUTING, StepState.RETRYABLE, StepState.SUSPENDED}
)
NOT_STARTED: Final = frozenset({StepState.PENDING, StepState.AVAILABLE, StepState.SCHEDULED, StepState.RETRYABLE})
"""The states of steps that may be held."""

_NESTED: Final = frozenset({StepKind.WORKFLOW, StepKind.MAP})

"""A step as it is: name, kind, state, cause, effects, held_until, cancel_requested_at, and of a failed one
``retry_refused`` and ``revival_refused``, as ``retry_refusal_v1`` and ``revival_refusal_v1`` say it. Or a workflow: id,
state, semantics_version, cancel_requested_at."""


def refuse_change(workflow: Row) -> CommandRefusedError | None:
    """Why a workflow may not be changed at all."""
    if workflow["semantics_version"] != SEMANTICS_VERSION:
        return UnsupportedSemanticsError(workflow["id"], workflow["semantics_version"])
    return None


def refuse_on_ended(workflow: Row) -> CommandRefusedError | None:
    """Why a workflow may not be cancelled or held, nor a step of it be held."""
    if (refusal := refuse_change(workflow)) is not None:
        return refusal
    ended = workflow["state"] in WorkflowState and WorkflowState(workflow["state"]).terminal
    return WorkflowEndedError(workflow["id"], workflow["state"]) if ended else None


def refuse_cancel_again(workflow: Row, step: Row | None = None) -> CommandRefusedError | None:
    """Why a repair does not ask a workflow, or a step of it, to stop a second time: that changes nothing.

    The calls ask again instead, so that a caller may repeat them.
    """
    asked_at = workflow["cancel_requested_at"] if step is None else step["cancel_requested_at"]
    if asked_at is None or (step is not None and step["state"] in TERMINAL_STEP_STATES):
        return None
    name, legal = (None, []) if step is None else (step["name"], legal_recoveries(step))
    return IllegalTransitionError(workflow["id"], name, RecoveryAction.CANCEL, "it was asked to stop before", legal)


def legal_recoveries(step: Row) -> list[str]:
    """The recovery actions that are legal on a step now, and change something."""
    if step["state"] in FAILED and step.get("revival_refused") is not None:
        return []
    asked = step.get("cancel_requested_at") is not None
    return [action for action in _fitting(step) if action != RecoveryAction.CANCEL or not asked]


def _fitting(step: Row) -> list[str]:
    """The recovery actions that fit the state of a step."""
    state = step["state"]
    completing: list[str] = [RecoveryAction.COMPLETE, RecoveryAction.SKIP]
    if state == StepState.COMPLETED or state not in StepState:
        return []
    if state in FAILED:
        return [RecoveryAction.RETRY, *completing] if retryable(step) else completing
    if step["kind"] in _NESTED:
        return [RecoveryAction.CANCEL]
    return [RecoveryAction.CANCEL, *completing]


def retryable(step: Row) -> bool:
    """Whether a step that failed may run again by itself."""
    never = step["effects"] == Effects.NEVER or step["cause"] == Cause.CANCELLED_BY_DEPENDENCY
    return not never and step.get("retry_refused") is None


def refuse_recovery(workflow_id: WorkflowId, step: Row, action: str) -> CommandRefusedError | None:
    """Why a step may not be recovered in this way."""
    if action not in _fitting(step):
        return IllegalTransitionError(workflow_id, step["name"], action, _describe_state(step), legal_recoveries(step))
    revival_refused = step.get("revival_refused") if step["state"] in FAILED else None
    return refuse_revival(workflow_id, step["name"], action, revival_refused)


def refuse_retry_of_all(workflow_id: WorkflowId, retryable_steps: int) -> CommandRefusedError | None:
    """Why the failed steps of a workflow may not all run again."""
    if retryable_steps:
        return None
    return IllegalTransitionError(workflow_id, None, RecoveryAction.RETRY, "no step failed that may run again", [])


def refuse_revival(
    workflow_id: WorkflowId, step: str | None, action: str, refusal: str | None
) -> CommandRefusedError | None:
    """Why no failed step of a workflow may come back.

    Args:
        refusal: The answer of ``revival_refusal_v1``.
    """
    return IllegalTransitionError(workflow_id, step, action, refusal, []) if refusal is not None else None


def refuse_hold(workflow_id: WorkflowId, step: Row) -> CommandRefusedError | None:
    """Why a step of a running workflow may not be held."""
    if step["state"] in NOT_STARTED or (step["state"] == StepState.SUSPENDED and step["held_until"]):
        return None
    return IllegalTransitionError(workflow_id, step["name"], "hold", f"it is {step['state']}", legal_recoveries(step))


def refuse_hold_of_all(workflow_id: WorkflowId, holdable: int) -> CommandRefusedError | None:
    """Why a running workflow may not be held as a whole.

    Args:
        holdable: Its steps that have not started, or that are held.
    """
    if holdable:
        return None
    return IllegalTransitionError(workflow_id, None, "hold", "none of its steps is still to start", [])


def refuse_completion(workflow_id: WorkflowId, step: Row) -> CommandRefusedError | None:
    """Why a step may not be completed from outside.

    Args:
        step: Also with ``waiting_on``, names of the parents without an outcome, and ``job_ended``, whether
            its job is gone or ended.
    """
    name, state = step["name"], step["state"]
    if state == StepState.PENDING and step["waiting_on"]:
        return StepNotReleasedError(workflow_id, name, step["waiting_on"])
    if state in TERMINAL_STEP_STATES:
        return AlreadyTerminalError(workflow_id, name, state)
    if state not in _RUNS_A_JOB or step["kind"] in _NESTED:
        return IllegalTransitionError(workflow_id, name, "complete_step", _describe_state(step), legal_recoveries(step))
    return AlreadyTerminalError(workflow_id, name, state) if step["job_ended"] else None


def find_recovery(action: str, step: str | None) -> Action | None:
    """The act that ``recover`` does with this word; None when there is none.

    Args:
        step: None for the workflow.
    """
    if step is None and action == RecoveryAction.RETRY:
        return Action.WORKFLOW_RETRY
    return next((act for act, recovery in RECOVERIES.items() if recovery == action), None)


def _refuse_step_recovery(action: RecoveryAction, workflow: Row, step: Row) -> CommandRefusedError | None:
    refusal = refuse_recovery(workflow["id"], step, action)
    return refusal or (refuse_cancel_again(workflow, step) if action is RecoveryAction.CANCEL else None)


def _refuse_step_hold(workflow: Row, step: Row) -> CommandRefusedError | None:
    return refuse_on_ended(workflow) or refuse_hold(workflow["id"], step)


def _refuse_step_release(workflow: Row, _: Row) -> CommandRefusedError | None:
    return refuse_change(workflow)


def _refuse_workflow_cancel(workflow: Row) -> CommandRefusedError | None:
    return refuse_on_ended(workflow) or refuse_cancel_again(workflow)


def _refuse_workflow_retry(workflow: Row) -> CommandRefusedError | None:
    return (
        refuse_change(workflow)
        or refuse_retry_of_all(workflow["id"], workflow.get("retryable", 0))
        or refuse_revival(workflow["id"], None, RecoveryAction.RETRY, workflow.get("revival_refused"))
    )


def _refuse_workflow_hold(workflow: Row) -> CommandRefusedError | None:
    return refuse_on_ended(workflow) or refuse_hold_of_all(workflow["id"], workflow.get("holdable", 0))


RECOVERIES: Final[Mapping[Action, RecoveryAction]] = {
    Action.STEP_RETRY: RecoveryAction.RETRY,
    Action.STEP_CANCEL: RecoveryAction.CANCEL,
    Action.STEP_COMPLETE: RecoveryAction.COMPLETE,
    Action.STEP_SKIP: RecoveryAction.SKIP,
}
"""Act on a step -> its word in ``recover``."""

STEP_RULES: Final[Mapping[Action, Callable[[Row, Row], CommandRefusedError | None]]] = {
    **{act: partial(_refuse_step_recovery, how) for act, how in RECOVERIES.items()},
    Action.STEP_HOLD: _refuse_step_hold,
    Action.STEP_RELEASE: _refuse_step_release,
}
"""Repair of a step -> why it may not be done, or would change nothing: workflow and step."""

WORKFLOW_RULES: Final[Mapping[Action, Callable[[Row], CommandRefusedError | None]]] = {
    Action.WORKFLOW_CANCEL: _refuse_workflow_cancel,
    Action.WORKFLOW_RETRY: _refuse_workflow_retry,
    Action.WORKFLOW_HOLD: _refuse_workflow_hold,
    Action.WORKFLOW_RELEASE: refuse_change,
}
"""Repair of a workflow -> the same: workflow, also with ``retryable`` and ``holdable``, its steps that may run again or
be held, and ``revival_refused`` as of a step."""


def _describe_state(step: Row) -> str:
    if step["cause"] == Cause.CANCELLED_BY_DEPENDENCY:
        return "it was cancelled because a step before it failed; retry that one, and this comes back with it"
    if step["effects"] == Effects.NEVER and step["state"] in FAILED:
        return "its effects must never happen twice"
    if step.get("retry_refused") is not None:
        return step["retry_refused"]
    if step["state"] == StepState.PENDING and step["held_until"]:
        return "it is held"
    return f"it is {step['state']}"
