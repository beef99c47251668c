"""What a job as it is allows: asked by the repairs that would change it and by the explanations that tell.

Pure: rows as dicts in, a refusal or None out. The rule that must never break: a job is taken from its executor only on
evidence that this is gone.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..errors import CommandRefusedError, HeartbeatLateError, IllegalRepairError, RepairRequiresMissingExecutorError
from ..operators.authorization import Action
from ..states import Effects, StepState

JOB_REPAIRS: Final = (Action.JOB_RESCUE, Action.JOB_RETRY, Action.JOB_CANCEL, Action.JOB_DISCARD)
"""The repairs whose target is a job."""

LOST: Final = frozenset({"gone", "missing", "stopped", "unknown"})
"""The states of an executor that has left its jobs behind."""

_ENDED: Final = frozenset({StepState.COMPLETED, StepState.DISCARDED, StepState.CANCELLED})

type Row = Mapping[str, Any]
"""A job: id, state, of_a_step, step, effects, held_until, executor_state, executor_id, beat_seconds."""


def refuse_job(action: Action, job: Row, subject: str = "") -> CommandRefusedError | None:
    """Why a repair may not be done to a job, or to the job of a callback, as it is."""
    subject = subject or f"job {job['id']}"
    found = _unfit(action, job)
    if found is not None:
        return IllegalRepairError(action, subject, found)
    if job["state"] == StepState.EXECUTING and action in (Action.JOB_RESCUE, Action.JOB_DISCARD):
        return refuse_alive(job)
    return None


def refuse_alive(job: Row) -> CommandRefusedError | None:
    """Why a job may not be taken from its executor; None when that is gone, missing, stopped or unknown."""
    if job["executor_state"] in LOST:
        return None
    if job["executor_state"] == "late":
        return HeartbeatLateError(job["id"], job["executor_id"], job["beat_seconds"])
    return RepairRequiresMissingExecutorError(f"job {job['id']}", job["executor_id"] or "of plain Oban")


def _unfit(action: Action, job: Row) -> str | None:
    state = job["state"]
    if job["of_a_step"] and job["step"] is None:
        return "the step that it was made for goes on without it"
    match action:
        case Action.JOB_RESCUE:
            if state != StepState.EXECUTING:
                return f"it is {state}"
            never = "its effects must never happen twice: discard it, then complete or skip its step"
            return never if job["effects"] == Effects.NEVER else None
        case Action.JOB_RETRY | Action.CALLBACK_RETRY:
            if job["held_until"] is not None:
                return "its step is held: release that"
            return f"it is {state}" if state in ("available", "executing", "completed") else None
        case _:
            return f"it is {state}" if state in _ENDED else None
