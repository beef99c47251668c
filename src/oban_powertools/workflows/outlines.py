"""Read of the steps of a workflow only what a drawing needs: their places, states and times, and how they spent these.

Runs in the caller's transaction and locks nothing. No args, results or errors: a workflow of 10,000 steps stays small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..database import Session, record
from ..errors import WorkflowNotFoundError
from ..states import JobId, OperatorStatus, Policy, Position, StepKind, StepPhase, StepState, WorkflowId
from ..wire import AsDict


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutline(AsDict):
    """One step as it is now, without what its author stored in it."""

    workflow_id: WorkflowId
    """The workflow it belongs to."""

    position: Position
    """0, 1, 2 ... in the order the steps were added."""

    name: str
    """Unique in the workflow."""

    kind: StepKind
    """What it runs on."""

    worker: str | None
    """Oban's path of the worker class; None where no job runs."""

    status: OperatorStatus
    """The operator's word, as its explanation says."""

    state: StepState
    """The raw state."""

    blocker: str | None
    """The code of what is in its way, as in explanations; None when nothing is, or it has ended."""

    cause: str | None
    """Why it ended, where its job's own outcome is not the reason."""

    parents: Mapping[int, Policy]
    """Position of a parent -> policy, in the order of positions."""

    child_id: WorkflowId | None
    """The workflow it runs: a nested one, or the items of a map."""

    job_id: JobId | None
    """Its job, once released."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    signal: str | None
    """The signal of its last wait."""

    held_until: datetime | None
    """It does not start before; None when it is not held."""

    started_at: datetime | None
    """When its last attempt began."""

    finished_at: datetime | None
    """When it got its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpell(AsDict):
    """What a step did for a time."""

    step: str
    """The step."""

    phase: StepPhase
    """Whether it worked, or what it waited for."""

    at: datetime
    """Since when; database clock."""

    lasts_for: timedelta
    """For how long, so far where it goes on."""

    goes_on: bool
    """Whether it still does."""

    attempt: int | None
    """Of work: which attempt."""

    failed: bool
    """Of work: whether it ended without success."""


async def list_outlines(session: Session, workflow_id: WorkflowId) -> list[StepOutline]:
    """All steps of a workflow, in position order.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    rows = await session.all("outline_steps", {"workflow_id": workflow_id})
    if not rows:
        raise WorkflowNotFoundError(workflow_id)
    return [record(StepOutline, row, parents=_parents(row["parents"], row["continue_parents"])) for row in rows]


async def list_spells(session: Session, workflow_id: WorkflowId, steps: Sequence[str] | None) -> list[StepSpell]:
    """How these steps spent their time; None for all. Empty for what does not exist."""
    return await session.records(StepSpell, "step_spells", {"workflow_id": workflow_id, "steps": steps})


def _parents(cancel: Sequence[int], go_on: Sequence[int] | None) -> dict[int, Policy]:
    policies = dict.fromkeys(cancel, Policy.CANCEL)
    if go_on:
        policies |= dict.fromkeys(go_on, Policy.CONTINUE)
    return {place: policies[place] for place in sorted(policies)}
