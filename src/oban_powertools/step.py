"""Where am I? What a worker may ask about the step, or the ended workflow, it runs for.

Reads the current Oban job; no I/O. The rule that must never break: the idempotency key of a step
is equal over all its attempts and differs between steps (P5).
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from oban import current_job

from .errors import NotInStepError
from .states import WorkflowId, WorkflowState


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """The step whose job runs here."""

    workflow_id: WorkflowId
    """The workflow."""

    workflow_name: str
    """Its label."""

    context: dict[str, Any]
    """What the workflow's author attached; empty when nothing."""

    step: str
    """The step's name."""

    attempt: int
    """1 for the first."""

    generation: int
    """Rises with each recovery of the workflow."""

    idempotency_key: str
    """32 hex digits for other systems: equal over all attempts and generations of this step, unique to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedWorkflow:
    """The ended workflow whose ``on_finished`` job runs here."""

    workflow_id: WorkflowId
    """The workflow."""

    workflow_name: str
    """Its label."""

    outcome: WorkflowState
    """completed, failed, cancelled or expired."""

    failed_steps: tuple[str, ...]
    """Names in position order, at most 1,000."""

    failures_handled: bool | None
    """Whether continue edges covered every failure; None without failures."""

    generation: int
    """Which generation ended."""


def current_step() -> StepContext:
    """The step that runs here.

    Raises:
        NotInStepError: No step's job runs in this task or thread.
    """
    job = current_job()
    meta: dict[str, Any] = job.meta if job else {}
    if job is None or "position" not in meta or "uid" not in meta:
        raise NotInStepError
    return StepContext(
        workflow_id=WorkflowId(meta["workflow_id"]),
        workflow_name=meta["workflow_name"],
        context=meta.get("context", {}),
        step=meta["step"],
        attempt=job.attempt,
        generation=meta.get("generation", 1),
        idempotency_key=_idempotency_key(meta),
    )


def _idempotency_key(meta: dict[str, Any]) -> str:
    # The uid tells apart the workflows of two databases that have the same id.
    identity = f"{meta['uid']}/{meta['workflow_id']}/{meta['step']}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def current_workflow() -> FinishedWorkflow:
    """The ended workflow this ``on_finished`` job was inserted for.

    Raises:
        NotInStepError: No such job runs in this task or thread.
    """
    job = current_job()
    meta: dict[str, Any] = job.meta if job else {}
    if "outcome" not in meta or "workflow_id" not in meta:
        raise NotInStepError
    return FinishedWorkflow(
        workflow_id=WorkflowId(meta["workflow_id"]),
        workflow_name=meta["workflow_name"],
        outcome=WorkflowState(meta["outcome"]),
        failed_steps=tuple(meta["failed_steps"]),
        failures_handled=meta["failures_handled"],
        generation=meta["generation"],
    )
