"""Publish events that the host reports of a step running elsewhere.

The rule that must never break: a published event moves no step; only ``workflows.complete_step`` ends one.
"""

from typing import Final

from ..arguments import as_count, as_text, check_text
from ..database import Session
from ..database.json_border import check_payload
from ..errors import (
    AlreadyTerminalError,
    StepNotReleasedError,
    UnpublishableChangeError,
    UnsupportedSemanticsError,
    WorkflowNotFoundError,
)
from ..privacy.shortening import shortened
from ..states import SEMANTICS_VERSION, TERMINAL_STEP_STATES, StepState, WorkflowId
from ..workflows.unknown_steps import unknown_step
from .types import StepChange

PUBLISHABLE: Final = {
    StepChange.STARTED: StepState.EXECUTING,
    StepChange.RETRYING: StepState.RETRYABLE,
    StepChange.SNOOZED: StepState.SCHEDULED,
}
"""What a host may publish -> the state in the event."""

_MOST_ATTEMPTS: Final = 2**31 - 1


async def publish_change(
    session: Session,
    workflow_id: WorkflowId,
    step: str,
    change: StepChange | str,
    *,
    attempt: int | None,
    error: str | None,
) -> int:
    """Write the event of a step that runs elsewhere; returns the event's number.

    Args:
        attempt: None for the attempt its job is at.
        error: Its class and its text are kept in one line, at most 500 characters, without what looks like a secret.

    Raises:
        UnpublishableChangeError: Only the engine, or ``workflows.complete_step``, makes this change.
        InvalidArgumentError: The attempt is out of range, or the error is no text.
        UnstorableValueError: The error has characters that cannot be stored.
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
        StepNotReleasedError: It still waits for its dependencies.
        AlreadyTerminalError: It has its outcome already.
        UnsupportedSemanticsError: The workflow follows the rules of another release.

    Locks: the workflow's family, to the end of the caller's transaction.
    """
    if as_text("change", change) not in PUBLISHABLE:
        raise UnpublishableChangeError(str(change), [published.value for published in PUBLISHABLE])
    if attempt is not None:
        as_count("attempt", attempt, most=_MOST_ATTEMPTS)
    check_text("error", error)
    published = StepChange(change)
    check_payload("the error", error, 1024 * 1024)
    await session.run("lock_workflow", {"workflow_id": workflow_id})
    row = await session.one("step_to_publish", {"workflow_id": workflow_id, "step": step})
    if row is None:
        raise WorkflowNotFoundError(workflow_id)
    if row["position"] is None:
        raise await unknown_step(session, workflow_id, step)
    if row["semantics_version"] != SEMANTICS_VERSION:
        raise UnsupportedSemanticsError(workflow_id, row["semantics_version"])
    if row["state"] in TERMINAL_STEP_STATES:
        raise AlreadyTerminalError(workflow_id, step, row["state"])
    if row["state"] == StepState.PENDING:
        raise StepNotReleasedError(workflow_id, step, row["waiting_on"])
    args = {
        "workflow_id": workflow_id,
        "position": row["position"],
        "job_id": row["job_id"],
        "change": published.value,
        "state": PUBLISHABLE[published].value,
        "attempt": row["attempt"] if attempt is None else attempt,
        "error": error and shortened(error),
    }
    await session.run("publish_change", args)
    written = await session.one("mark_published", {"workflow_id": workflow_id})
    assert written is not None
    return written["number"]
