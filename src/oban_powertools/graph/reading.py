"""Read what is drawn of a stored workflow: its steps and their history, and the root causes of a step.

It asks ``Calls`` and decides nothing. What a step's own words are comes from its record, its root causes from its
explanation.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Final, assert_never

from ..calls import Calls
from ..errors import StepNotFoundError
from ..explain.phrases import spell_span
from ..states import HistoryKind, StepPhase, StepState, WorkflowId
from ..workflows.history import HistoryEntry
from ..workflows.records import StepRecord
from .gantt import Chart, Spell, StepSpells, arrange
from .steps import Step

MOST_ENTRIES: Final = 50_000
"""Entries of a history that a chart is made of; the first ones."""

_FAILURES: Final = frozenset({"retrying", "discarded", "expired", "cancelled"})
"""What follows work that ended without success."""


async def read_drawn_steps(calls: Calls, workflow_id: WorkflowId, opened: Collection[str] = ()) -> list[Step]:
    """The steps of a workflow to draw, in position order.

    Args:
        opened: Names of its steps, or keys of steps at any depth, whose nested workflow or map is read too.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    # A name can look like a key: then both are meant.
    return await _read(calls, workflow_id, {*opened, *(f"{workflow_id}/{name}" for name in opened)})


async def read_causes(calls: Calls, key: str) -> frozenset[str]:
    """The keys of the root causes of a step; empty when nothing holds it up.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    workflow_id, step = key.split("/", 1)
    explanation = await calls.explain.workflow_step(workflow_id, step)
    return frozenset(f"{cause.workflow_id}/{cause.step}" for cause in explanation.root_causes)


async def read_chart(calls: Calls, workflow_id: WorkflowId) -> Chart:
    """How the steps of a workflow spent their time, from its history, as far as that is kept.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    workflow = await calls.workflows.get(workflow_id)
    records = await calls.workflows.steps(workflow_id)
    entries: list[HistoryEntry] = []
    after: str | None = None
    while len(entries) < MOST_ENTRIES:
        page = await calls.workflows.history(workflow_id, after=after, limit=1000)
        entries += page.entries
        after = page.next_after
        if after is None:
            break
    by_step: dict[str, list[HistoryEntry]] = {record.name: [] for record in records}
    now = workflow.finished_at or workflow.inserted_at
    for entry in entries:
        if entry.goes_on and entry.lasts_for is not None:
            now = max(now, entry.at + entry.lasts_for)
        if entry.kind is HistoryKind.STEP and entry.step in by_step:
            by_step[entry.step].append(entry)
    steps = [
        StepSpells(
            name=record.name,
            status=record.status,
            state=record.state,
            spells=_spells(workflow.inserted_at, by_step[record.name], record),
        )
        for record in records
    ]
    return arrange(steps, now=now)


def _spells(inserted_at: datetime, entries: Sequence[HistoryEntry], record: StepRecord) -> list[Spell]:
    """What a step did, beginning with the wait for what it depends on."""
    first = entries[0].at if entries else record.finished_at
    spells = [Spell(phase=StepPhase.DEPENDENCIES, begins_at=inserted_at, ends_at=first)]
    for entry, following in zip_longest(entries, entries[1:]):
        if entry is not None and entry.phase is not None:
            spells.append(
                Spell(
                    phase=entry.phase,
                    begins_at=entry.at,
                    ends_at=None if entry.goes_on or entry.lasts_for is None else entry.at + entry.lasts_for,
                    attempt=entry.attempt or 0,
                    failed=following is not None and following.change in _FAILURES,
                )
            )
    return spells


def find_key(steps: Sequence[Step], name: str) -> str:
    """The key of a step by its name, or by ``workflow id/step name`` of one inside another.

    Raises:
        StepNotFoundError: There is no such step.
    """
    for step in steps:
        if step.name == name:
            return step.key
    for step in steps:
        if any(part.key == name for part in step.walk()):
            return name
    raise StepNotFoundError(WorkflowId(steps[0].workflow_id), name)


async def _read(calls: Calls, workflow_id: WorkflowId, opened: Collection[str]) -> list[Step]:
    records = await calls.workflows.steps(workflow_id)
    position_of = {record.name: record.position for record in records}
    steps: list[Step] = []
    for record in records:
        parents = {int(position_of[name]): str(policy) for name, policy in record.deps.items()}
        inside: Sequence[Step] = ()
        if record.child_id is not None and f"{workflow_id}/{record.name}" in opened:
            inside = await _read(calls, record.child_id, opened)
        steps.append(_step(record, parents, inside))
    return steps


def _step(record: StepRecord, parents: dict[int, str], inside: Sequence[Step]) -> Step:
    return Step(
        workflow_id=record.workflow_id,
        position=record.position,
        name=record.name,
        parents=parents,
        status=record.status,
        state=record.state,
        kind=record.kind,
        worker=record.worker,
        remark=_remark(record),
        child_id=record.child_id,
        inside=inside,
    )


def _remark(record: StepRecord) -> str:
    """What follows the operator's word; empty where the raw state says enough."""
    attempt = f"attempt {record.attempt} of {record.max_attempts}"
    if record.held_until is not None and not record.state.terminal:
        return "held"
    match record.state:
        case StepState.COMPLETED:
            return (
                spell_span(record.finished_at - record.started_at) if record.finished_at and record.started_at else ""
            )
        case StepState.RETRYABLE:
            return f"{attempt} failed"
        case StepState.EXECUTING:
            if record.child_id is not None:
                return f"workflow {record.child_id}"
            return attempt if record.attempt > 1 else ""
        case StepState.AWAITING_SIGNAL:
            return f"signal {record.signal}"
        case (
            StepState.PENDING
            | StepState.AVAILABLE
            | StepState.SCHEDULED
            | StepState.SUSPENDED
            | StepState.DISCARDED
            | StepState.CANCELLED
            | StepState.EXPIRED
        ):
            return ""
        case _:
            assert_never(record.state)
