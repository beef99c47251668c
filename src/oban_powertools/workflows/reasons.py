"""Say in a few words why a workflow or a step is as it is, from its record alone: a line below a row of a list.

Pure. The whole diagnosis is an explanation's (``explain``).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ..states import OperatorStatus, StepState
from ..times import instant
from .failures import summary
from .records import StepRecord, WorkflowRecord

_SHOWN_NAMES: Final = 3


def workflow_reason(workflow: WorkflowRecord) -> str:
    """What gives it its status: the step, and the blocker in words; empty when nothing is in the way."""
    if workflow.blocker is not None:
        return ": ".join(part for part in (workflow.held_up_by, workflow.blocker.replace("_", " ")) if part)
    how = next(iter(uncompleted_steps(workflow)), "")
    return f"{workflow.held_up_by}: {how}" if workflow.held_up_by and workflow.finished_at else ""


def uncompleted_steps(workflow: WorkflowRecord) -> dict[str, int]:
    """Word -> how many steps ended so instead of completing."""
    numbers = {"failed": workflow.failed, "cancelled": workflow.cancelled, "expired": workflow.expired}
    return {word: number for word, number in numbers.items() if number}


def step_reason(step: StepRecord, states: Mapping[str, StepState]) -> str:
    """What a step waits for, or failed of; empty when nothing is in the way.

    Args:
        states: Step name -> state, at least of its parents.
    """
    if step.state.terminal:
        error = "" if step.state is StepState.COMPLETED else summary(step.error)
        return ": ".join(part for part in ((step.cause or "").replace("_", " "), error) if part)
    hold = f"held until {instant(step.held_until)}: {step.hold_reason}" if step.held_until else ""
    stop = "asked to stop" if step.cancel_requested_at else ""
    why = "; ".join(part for part in (hold, stop, _waits(step, states)) if part)
    moves = step.status in (OperatorStatus.RUNNING, OperatorStatus.RUNNABLE)
    blocker = "" if step.blocker is None or moves else step.blocker.replace("_", " ")
    # The blocker says what a sentence of the raw state cannot: that a queue is paused, an executor is lost.
    said = (
        step.state in (StepState.PENDING, StepState.AWAITING_SIGNAL) and step.status is not OperatorStatus.NEEDS_REVIEW
    )
    return why if said and why else ": ".join(part for part in (blocker, why) if part)


def _waits(step: StepRecord, states: Mapping[str, StepState]) -> str:
    if step.state is StepState.AWAITING_SIGNAL:
        until = f" until {instant(step.deadline_at)}" if step.deadline_at else ""
        return f"waits for signal {step.signal} with key {step.correlation_key}{until}"
    if step.state is StepState.PENDING:
        parents = [parent for parent in step.deps if not states[parent].terminal]
        unstarted = "waits for its workflow to start" if step.pending else ""
        return f"waits for {names(parents)}" if parents else unstarted
    if step.child_id is not None:
        return f"runs workflow {step.child_id}"
    return summary(step.error)


def names(all_names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(all_names) - _SHOWN_NAMES
    return ", ".join(all_names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
