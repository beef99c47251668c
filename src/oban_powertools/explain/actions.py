"""What the package would do with a step or a workflow now, and what it would refuse and why.

Pure. The rule that must never break: an action is called legal only if the command would accept it
on the same rows, and a refusal is told in the words of the error the command raises.
"""

from collections.abc import Mapping, Sequence

from ..errors import CommandRefusedError
from ..states import RecoveryAction, StepState
from ..workflows.job_rules import JOB_REPAIRS, refuse_job
from ..workflows.rules import (
    refuse_change,
    refuse_completion,
    refuse_hold,
    refuse_on_ended,
    refuse_recovery,
    refuse_retry_of_all,
    refuse_revival,
)
from .explanations import Action
from .facts import JobFacts, RecoveryFacts, StepFacts, WorkflowFacts

type Actions = tuple[tuple[Action, ...], tuple[Action, ...]]
"""The legal ones and the illegal ones."""


def step_actions(step: StepFacts, waiting_on: Sequence[str], recovery: RecoveryFacts) -> Actions:
    """What may be done with a step.

    Args:
        waiting_on: Names of the parents without an outcome.
    """
    workflow_id, row = step.workflow.id, {**step.row, "retry_refused": recovery.retry_refused}
    frozen = refuse_change(step.workflow.row)
    job_ended = step.own_state == StepState.AVAILABLE and (step.job is None or step.job.ended)
    completion = {**row, "state": step.own_state, "waiting_on": waiting_on, "job_ended": job_ended}
    refusals: dict[str, CommandRefusedError | None] = {
        "complete_step": refuse_completion(workflow_id, completion),
        **{
            action: refuse_recovery(workflow_id, row, action)
            or refuse_revival(workflow_id, step.name, action, recovery.revival_refused)
            for action in RecoveryAction
        },
        "hold": refuse_on_ended(step.workflow.row) or refuse_hold(workflow_id, row),
    }
    if step.held_until is not None:
        refusals["release"] = None
    if step.own_state == StepState.AWAITING_SIGNAL and frozen is None:
        refusals["signal"] = None
    legal, illegal = _sorted({name: frozen or refusal for name, refusal in refusals.items()})
    if step.job is None or frozen is not None:
        return legal, illegal
    of_job = job_actions(step.job)
    return legal + of_job[0], illegal + of_job[1]


def job_actions(job: JobFacts) -> Actions:
    """Which repairs of a job may be previewed."""
    return _sorted({action: refuse_job(action, job.row) for action in JOB_REPAIRS})


def workflow_actions(workflow: WorkflowFacts, held: int, recovery: RecoveryFacts) -> Actions:
    """What may be done with a workflow as a whole.

    Args:
        held: Its steps that are held.
    """
    frozen = refuse_change(workflow.row)
    refusals: dict[str, CommandRefusedError | None] = {
        "request_cancel": refuse_on_ended(workflow.row),
        RecoveryAction.RETRY: frozen
        or refuse_retry_of_all(workflow.id, recovery.retryable or 0)
        or refuse_revival(workflow.id, None, RecoveryAction.RETRY, recovery.revival_refused),
        "hold": refuse_on_ended(workflow.row),
    }
    if held:
        refusals["release"] = frozen
    return _sorted(refusals)


def _sorted(refusals: Mapping[str, CommandRefusedError | None]) -> Actions:
    legal = tuple(Action(name=str(name)) for name, refusal in refusals.items() if refusal is None)
    illegal = (
        Action(name=str(name), refusal=refusal.code, reason=str(refusal))
        for name, refusal in refusals.items()
        if refusal is not None
    )
    return legal, tuple(illegal)
