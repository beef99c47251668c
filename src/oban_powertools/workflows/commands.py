"""Complete or cancel a step from outside, as the host reports it.

Runs in the caller's transaction. The rule that must never break: a terminal step keeps its outcome; a later one is
refused.
"""

from typing import Any, Final

from ..database import Session, json_border
from ..database.json_border import check_payload
from ..errors import UnknownStatusError
from ..states import StepState, WorkflowId
from .reads import get_workflow
from .rules import refuse_change, refuse_completion
from .unknown_steps import unknown_step

COMPLETION_STATUSES: Final = ("completed", "discarded", "cancelled")
"""The outcomes of a step that runs elsewhere."""


async def complete_step(
    session: Session,
    workflow_id: WorkflowId,
    step: str,
    *,
    status: str,
    payload: Any,
    payload_limit: int,
) -> None:
    """End a released step that ran outside Oban; its job ends with it.

    Args:
        status: ``completed`` (payload is the result), ``discarded`` or ``cancelled`` (payload is the error).
        payload: JSON-safe; None for none.

    Raises:
        UnknownStatusError: None of the three.
        UnstorableValueError: The payload is not JSON-safe or above the limit.
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
        UnsupportedSemanticsError: The workflow follows the rules of another release.
        StepNotReleasedError: It still waits for its dependencies.
        IllegalTransitionError: It runs on no job: it waits for a signal, or runs a workflow.
        AlreadyTerminalError: It has its outcome already, perhaps since a moment ago.

    Locks: the job first, then the workflow and its steps, as settle.
    """
    if status not in COMPLETION_STATUSES:
        raise UnknownStatusError(status, COMPLETION_STATUSES)
    check_payload("the payload", payload, payload_limit)
    job_id = await _completable_job(session, workflow_id, step, ended=False)
    stored = json_border.dumps(payload) if payload is not None else None
    completed = status == StepState.COMPLETED
    args = {
        "workflow_id": workflow_id,
        "step": step,
        "job_id": job_id,
        "state": status,
        "result": stored if completed else None,
        "error": json_border.dumps([{"error": payload}]) if stored and not completed else None,
    }
    if await session.one("complete_job", args) is None:
        await _completable_job(session, workflow_id, step, ended=True)


async def _completable_job(session: Session, workflow_id: WorkflowId, step: str, *, ended: bool) -> int:
    row = await session.one("step_for_completion", {"workflow_id": workflow_id, "step": step})
    if row is None:
        await get_workflow(session, workflow_id)
        raise await unknown_step(session, workflow_id, step)
    workflow = {"id": workflow_id, "semantics_version": row["semantics_version"]}
    refusal = refuse_change(workflow) or refuse_completion(workflow_id, {**row, "job_ended": ended})
    if refusal is not None:
        raise refusal
    return row["job_id"]
