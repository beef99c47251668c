"""Recovery: an operator retries failed steps, or decides the outcome of a step.

Runs in the caller's transaction. The rule that must never break: parents, counters and the workflow's state are right
again in the transaction that changed a step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from ..database import Session, json_border
from ..errors import IllegalTransitionError, UnsupportedRecoveryActionError, WorkflowNotFoundError
from ..states import Cause, RecoveryAction, StepState, WorkflowId
from .commands import complete_step
from .rules import (
    FAILED,
    Row,
    legal_recoveries,
    refuse_cancel_again,
    refuse_change,
    refuse_hold,
    refuse_hold_of_all,
    refuse_on_ended,
    refuse_recovery,
    refuse_retry_of_all,
    refuse_revival,
)
from .unknown_steps import unknown_step

_SNAPSHOT: Final = ("state", "cause", "generation", "attempt", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a recovery did."""

    generation: int
    """The workflow's generation after it."""

    before: Mapping[str, Any]
    """Recovered step -> its state before, in position order."""

    after: Mapping[str, Any]
    """Recovered step -> its state after, in position order."""

    revived: int
    """Further steps that came back because they had been cancelled with them."""


async def request_cancel(session: Session, workflow_id: WorkflowId, *, again: bool = True) -> None:
    """Cancel a workflow and everything nested in it: idle steps end now, executing jobs are asked to stop.

    Repeating it asks the executing jobs again.

    Args:
        again: Whether it may be repeated, as by a caller that got no answer.

    Raises:
        WorkflowNotFoundError: It does not exist.
        WorkflowEndedError: It has ended.
        IllegalTransitionError: It was asked to stop before, and must not be again.
        UnsupportedSemanticsError: It follows the rules of another release.

    Locks: the family as settle; idle jobs that no other session is changing.
    """
    workflow = await lock_workflow(session, workflow_id)
    refusal = refuse_on_ended(workflow) or (None if again else refuse_cancel_again(workflow))
    if refusal is not None:
        raise refusal
    await session.run("stop_workflow", {"workflow_id": workflow_id})


async def lock_workflow(session: Session, workflow_id: WorkflowId) -> Row:
    """Lock a workflow's family and read it.

    Raises:
        WorkflowNotFoundError: It does not exist.
        UnsupportedSemanticsError: It follows the rules of another release.
    """
    await session.run("lock_workflow", {"workflow_id": workflow_id})
    row = await session.one("command_workflow", {"workflow_id": workflow_id})
    if row is None:
        raise WorkflowNotFoundError(workflow_id)
    if (refusal := refuse_change(row)) is not None:
        raise refusal
    return row


async def read_steps(session: Session, workflow_id: WorkflowId, step: str | None) -> Sequence[Row]:
    """Read one step, or every failed step that may run again.

    Raises:
        StepNotFoundError: There is no such step.
    """
    rows = await session.all("command_steps", {"workflow_id": workflow_id, "step": step})
    if step is not None and not rows:
        raise await unknown_step(session, workflow_id, step)
    return rows


async def recover(
    session: Session,
    workflow_id: WorkflowId,
    step: str | None,
    action: str,
    *,
    payload: Any,
    payload_limit: int,
    again: bool = True,
) -> Recovery:
    """Retry, cancel, complete or skip a step; or retry every failed step.

    Args:
        again: Whether a step may be asked to stop that was asked before.
        step: None for every failed step that may run again (``retry`` only).
        payload: The result, for ``complete``.

    Raises:
        UnsupportedRecoveryActionError, IllegalTransitionError: Refused; says what is legal.
        WorkflowNotFoundError, StepNotFoundError, UnsupportedSemanticsError: As named.
        UnstorableValueError: The payload is not JSON-safe or above the limit.

    Locks: a step's job, then the family as settle.
    """
    if action not in RecoveryAction:
        raise UnsupportedRecoveryActionError(action, list(RecoveryAction))
    json_border.check_payload("the payload", payload, payload_limit)
    if step is not None:
        await session.run("lock_step_job", {"workflow_id": workflow_id, "step": step})
    workflow = await lock_workflow(session, workflow_id)
    targets = await read_steps(session, workflow_id, step)
    _refuse_illegal(workflow_id, step, RecoveryAction(action), targets)
    if step is None:
        await _refuse_revival(session, workflow_id, action)
    elif action == RecoveryAction.CANCEL and not again and (refusal := refuse_cancel_again(workflow, targets[0])):
        raise refusal
    if action == RecoveryAction.CANCEL:
        revived = 0
        await session.run("cancel_step", {"workflow_id": workflow_id, "position": targets[0]["position"]})
    elif targets[0]["state"] in FAILED:
        revived = await _revive(session, workflow_id, targets, RecoveryAction(action), payload)
    else:
        revived = 0
        await _complete(session, workflow_id, targets[0], RecoveryAction(action), payload, payload_limit)
    return await _recovery(session, workflow_id, targets, revived)


async def hold(session: Session, workflow_id: WorkflowId, step: str | None, hold_for: timedelta, reason: str) -> int:
    """Keep a step, or every step, from starting; returns how many are held.

    Raises:
        WorkflowEndedError, IllegalTransitionError: There is nothing that has not started.
        WorkflowNotFoundError, StepNotFoundError, UnsupportedSemanticsError: As named.

    Locks: the family as settle; jobs that no other session is changing.
    """
    workflow = await lock_workflow(session, workflow_id)
    if (refusal := refuse_on_ended(workflow)) is not None:
        raise refusal
    target = (await read_steps(session, workflow_id, step))[0] if step is not None else None
    if target is not None and (refusal := refuse_hold(workflow_id, target)) is not None:
        raise refusal
    position = target["position"] if target else None
    args = {"workflow_id": workflow_id, "position": position, "hold_for": hold_for, "reason": reason}
    row = await session.one("hold", args)
    held = row["held"] if row else 0
    if target is None and (refusal := refuse_hold_of_all(workflow_id, held)) is not None:
        raise refusal
    if target and not held:
        raise IllegalTransitionError(workflow_id, step, "hold", "its job is being changed", legal_recoveries(target))
    return held


async def release(session: Session, workflow_id: WorkflowId, step: str | None) -> int:
    """End the hold of a step, or of every step; returns how many were held.

    Raises:
        WorkflowNotFoundError, StepNotFoundError, UnsupportedSemanticsError: As named.
    """
    await lock_workflow(session, workflow_id)
    position = (await read_steps(session, workflow_id, step))[0]["position"] if step is not None else None
    row = await session.one("unhold", {"workflow_id": workflow_id, "position": position})
    return row["released"] if row else 0


def _refuse_illegal(workflow_id: WorkflowId, step: str | None, action: RecoveryAction, targets: Sequence[Row]) -> None:
    if step is None and action != RecoveryAction.RETRY:
        raise IllegalTransitionError(workflow_id, None, action, "name the step", [RecoveryAction.RETRY])
    all_at_once = refuse_retry_of_all(workflow_id, len(targets))
    refusal = refuse_recovery(workflow_id, targets[0], action) if step is not None else all_at_once
    if refusal is not None:
        raise refusal


async def _refuse_revival(session: Session, workflow_id: WorkflowId, action: str) -> None:
    row = await session.one("revival_refusal", {"workflow_id": workflow_id})
    refusal = refuse_revival(workflow_id, None, action, row["refusal"] if row else None)
    if refusal is not None:
        raise refusal


async def _revive(
    session: Session,
    workflow_id: WorkflowId,
    targets: Sequence[Row],
    action: RecoveryAction,
    payload: Any,
) -> int:
    completed = action != RecoveryAction.RETRY
    args = {
        "workflow_id": workflow_id,
        "positions": [row["position"] for row in targets],
        "completed": completed,
        "payload": _payload_text(action, payload),
        "cause": _cause(action) if completed else None,
    }
    row = await session.one("revive_steps", args)
    return row["revived"] if row else 0


async def _complete(
    session: Session,
    workflow_id: WorkflowId,
    target: Row,
    action: RecoveryAction,
    payload: Any,
    payload_limit: int,
) -> None:
    args = {"workflow_id": workflow_id, "position": target["position"], "cause": _cause(action)}
    if target["job_id"] is None or target["state"] == StepState.AWAITING_SIGNAL:
        await session.run("complete_waiting_step", {**args, "payload": _payload_text(action, payload)})
        return
    result = payload if action == RecoveryAction.COMPLETE else None
    await complete_step(
        session, workflow_id, target["name"], status="completed", payload=result, payload_limit=payload_limit
    )
    await session.run("note_cause", args)


def _payload_text(action: RecoveryAction, payload: Any) -> str | None:
    return json_border.dumps(payload) if action == RecoveryAction.COMPLETE and payload is not None else None


def _cause(action: RecoveryAction) -> Cause:
    return Cause.COMPLETED_BY_OPERATOR if action == RecoveryAction.COMPLETE else Cause.SKIPPED


async def _recovery(session: Session, workflow_id: WorkflowId, targets: Sequence[Row], revived: int) -> Recovery:
    workflow = await session.one("command_workflow", {"workflow_id": workflow_id})
    assert workflow is not None
    args = {"workflow_id": workflow_id, "positions": [row["position"] for row in targets]}
    return Recovery(
        generation=workflow["generation"],
        before={row["name"]: _snapshot(row) for row in targets},
        after={row["name"]: _snapshot(row) for row in await session.all("steps_at", args)},
        revived=revived,
    )


def _snapshot(row: Row) -> dict[str, Any]:
    return {key: row[key] for key in _SNAPSHOT}
