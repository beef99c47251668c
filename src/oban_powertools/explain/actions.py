"""Which acts are legal on a step or a workflow now, and why the others are refused.

Pure. The rule that must never break: an act is listed as legal only if the command would accept it on the same rows. A
refusal has the words of the error that the command raises.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ..acts import Action, TargetType, repairs_of
from ..database import Row
from ..errors import CommandRefusedError
from ..states import StepState
from ..workflows.job_rules import JOB_REPAIRS, find_way_through, refuse_job
from ..workflows.rules import STEP_RULES, WORKFLOW_RULES, refuse_change, refuse_completion
from .explanations import ExplainedAction
from .facts import RecoveryFacts, StepFacts, WorkflowFacts
from .job_facts import JobFacts

type Actions = tuple[tuple[ExplainedAction, ...], tuple[ExplainedAction, ...]]
"""The legal ones and the illegal ones."""


CALLS_OF_PROGRAMS: Final = frozenset({"complete_step"})
"""Calls that only a program makes, which has the step's result; an operator's act is ``step_complete``."""


def step_actions(step: StepFacts, waiting_on: Sequence[str], recovery: RecoveryFacts) -> Actions:
    """Which acts are legal on a step.

    Args:
        waiting_on: Names of the parents without an outcome.
    """
    workflow_id, row = step.workflow.id, {**step.row, **recovery.row}
    frozen = refuse_change(step.workflow.row)
    job_ended = step.own_state == StepState.AVAILABLE and (step.job is None or step.job.ended)
    completion = {**row, "state": step.own_state, "waiting_on": waiting_on, "job_ended": job_ended}
    refusals: dict[str, CommandRefusedError | None] = {
        "complete_step": refuse_completion(workflow_id, completion),
        **{
            act: STEP_RULES[act](step.workflow.row, row)
            for act in repairs_of(TargetType.STEP)
            if act is not Action.STEP_RELEASE or step.held_until is not None
        },
    }
    if step.own_state == StepState.AWAITING_SIGNAL and frozen is None:
        refusals["signal"] = None
    if step.job is not None and frozen is None:
        refusals |= _refuse_job_of_step(step, step.job, row)
    return _sorted({name: frozen or refusal for name, refusal in refusals.items()})


def _refuse_job_of_step(step: StepFacts, job: JobFacts, row: Row) -> dict[str, CommandRefusedError | None]:
    """The same of its job: cancelling it, or running it again when the step failed, is done to the step."""
    refusals: dict[str, CommandRefusedError | None] = {}
    for action in JOB_REPAIRS:
        through = find_way_through(action, step.own_state)
        of_step = STEP_RULES[through](step.workflow.row, row) if through is not None else None
        refusals[action] = refuse_job(action, job.row) or of_step
    return refusals


def job_actions(job: JobFacts) -> Actions:
    """Which repairs are legal on a job."""
    return _sorted({action: refuse_job(action, job.row) for action in JOB_REPAIRS})


def workflow_actions(workflow: WorkflowFacts, held: int, holdable: int, recovery: RecoveryFacts) -> Actions:
    """Which acts are legal on a workflow as a whole.

    Args:
        held: Its steps that are held.
        holdable: Its steps that are, or that have not started.
    """
    row = {**workflow.row, **recovery.row, "holdable": holdable}
    return _sorted(
        {
            act: WORKFLOW_RULES[act](row)
            for act in repairs_of(TargetType.WORKFLOW)
            if act is not Action.WORKFLOW_RELEASE or held
        }
    )


def _sorted(refusals: Mapping[str, CommandRefusedError | None]) -> Actions:
    legal = tuple(ExplainedAction(name=str(name)) for name, refusal in refusals.items() if refusal is None)
    illegal = (
        ExplainedAction(name=str(name), refusal=refusal.code, reason=str(refusal))
        for name, refusal in refusals.items()
        if refusal is not None
    )
    return legal, tuple(illegal)
