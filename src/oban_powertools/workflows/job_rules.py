"""Which acts are legal on a job in its current state: used by the repairs and by the explanations.

Pure: rows as dicts in, a refusal or None out. The rule that must never break: a job is taken from its executor only on
evidence that the executor is gone.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Final

from ..acts import Action, TargetType, repairs_of
from ..database import Row
from ..errors import CommandRefusedError, HeartbeatLateError, IllegalRepairError, RepairRequiresMissingExecutorError
from ..states import Effects, StepState
from .rules import FAILED

JOB_REPAIRS: Final = repairs_of(TargetType.JOB)
"""The repairs whose target is a job."""

LOST: Final = frozenset({"gone", "missing", "stopped", "unknown"})
"""The states of an executor that has left its jobs behind."""

SILENT: Final = "silent"
"""The state of one that sends no heartbeats any more, while nothing proves that it is gone."""

_ENDED: Final = frozenset({StepState.COMPLETED, StepState.DISCARDED, StepState.CANCELLED})


def refuse_job(action: Action, job: Row, subject: str = "") -> CommandRefusedError | None:
    """Why a repair is illegal on a job, or on the job of a callback; None when it is legal."""
    subject = subject or f"job {job['id']}"
    reason = _unfit(action, job)
    if reason is not None:
        return IllegalRepairError(action, subject, reason)
    if job["state"] == StepState.EXECUTING and action.row.takes_away:
        return refuse_alive(job)
    return None


def find_way_through(action: Action, step_state: str | None) -> Action | None:
    """The repair of its step that does what this one does to a job; None where it is done to the job itself.

    Args:
        step_state: Of the step that believes in the job; None without one.
    """
    if action is Action.JOB_CANCEL and step_state is not None:
        return Action.STEP_CANCEL
    return Action.STEP_RETRY if action is Action.JOB_RETRY and step_state in FAILED else None


def refuse_alive(job: Row) -> CommandRefusedError | None:
    """Why a job may not be taken from its executor; None when the executor is gone, missing, stopped or unknown."""
    if job["executor_state"] in LOST:
        return None
    missing_in = job["missing_in"]
    if late := _advise_about_late(job):
        return HeartbeatLateError(job["id"], job["executor_id"], job["beat_seconds"], missing_in, late)
    ended = "" if missing_in is None else f"; if its process has ended, it counts as missing in {missing_in} s"
    executor = job["executor_id"] or "of plain Oban"
    return RepairRequiresMissingExecutorError(
        f"job {job['id']}", executor, missing_in, f"cancel the job instead{ended}"
    )


def _advise_about_late(job: Row) -> str | None:
    """What to do about an executor of which nobody knows whether it lives; None where it does."""
    missing = f"it counts as missing in {job['missing_in']} s"
    queue = shlex.quote(job["queue"])
    start = f"start a process (powertools start --queues {queue}:10), which rescues the job by itself"
    match job["executor_state"]:
        case "silent":
            return f"{missing}: try again then, or {start}"
        case "unheard":
            # Cancelling needs a process that lives; and each new start of the server begins the countdown anew.
            return f"the database server has started since: {missing} if that stays up, or {start}"
        case "late":
            return "its process lives, but its event loop is blocked: end that process"
        case _:
            return None


def _unfit(action: Action, job: Row) -> str | None:
    if job["of_a_step"] and job["step"] is None:
        return "the step that it was made for goes on without it"
    return JOB_RULES[action](job)


def _unfit_for_rescue(job: Row) -> str | None:
    if job["state"] != StepState.EXECUTING:
        return f"it is {job['state']}"
    never = "its effects must never happen twice: discard it, then complete or skip its step"
    return never if job["effects"] == Effects.NEVER else None


def _unfit_for_retry(job: Row) -> str | None:
    if job["held_until"] is not None:
        return "its step is held: release that"
    return f"it is {job['state']}" if job["state"] in ("available", "executing", "completed") else None


def _unfit_for_end(job: Row) -> str | None:
    return f"it is {job['state']}" if job["state"] in _ENDED else None


JOB_RULES: Final[Mapping[Action, Callable[[Row], str | None]]] = {
    Action.JOB_RESCUE: _unfit_for_rescue,
    Action.JOB_RETRY: _unfit_for_retry,
    Action.JOB_CANCEL: _unfit_for_end,
    Action.JOB_DISCARD: _unfit_for_end,
    Action.CALLBACK_RETRY: _unfit_for_retry,
}
"""Repair of a job or a callback -> why it does not fit the job's state."""
