"""What the package would do with a step now, and what it would refuse and why.

Pure. The rule that must never break: an action is called legal only if the command would accept it
on the same rows, and a refusal is told in the words of the error the command raises.
"""

from collections.abc import Sequence
from typing import Final

from ..errors import (
    AlreadyTerminalError,
    CommandRefusedError,
    StepNotReleasedError,
    UnsupportedSemanticsError,
)
from ..states import SEMANTICS_VERSION, StepState
from .explanations import Action
from .facts import StepFacts, WorkflowFacts

COMPLETE_STEP: Final = "complete_step"
"""``workflows.complete_step``: ends a released step from outside."""


def step_actions(
    workflow: WorkflowFacts, step: StepFacts, waiting_on: Sequence[str]
) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
    """The legal actions and the illegal ones.

    Args:
        waiting_on: Names of the parents without an outcome.
    """
    refusal = _completion_refusal(workflow, step, waiting_on)
    if refusal is None:
        return (Action(name=COMPLETE_STEP),), ()
    return (), (Action(name=COMPLETE_STEP, refusal=refusal.code, reason=str(refusal)),)


def _completion_refusal(
    workflow: WorkflowFacts, step: StepFacts, waiting_on: Sequence[str]
) -> CommandRefusedError | None:
    if workflow.semantics_version != SEMANTICS_VERSION:
        return UnsupportedSemanticsError(workflow.id, workflow.semantics_version)
    if step.own_state == StepState.PENDING:
        return StepNotReleasedError(workflow.id, step.name, waiting_on)
    if step.job is None or step.job.ended:
        return AlreadyTerminalError(workflow.id, step.name, step.own_state)
    return None
