"""The history of a workflow: everything that happened to it in one timeline, and how its steps spent their time.

Runs in the caller's transaction and locks nothing. It tells what is kept: what the retention or Oban's pruner removed
is named as unknown, never left out silently.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..arguments import refuse
from ..database import Session, record
from ..errors import WorkflowNotFoundError
from ..states import HistoryKind, JobId, OperatorStatus, StepPhase, WorkflowId
from ..wire import AsDict
from .unknown_steps import unknown_step

MAX_PAGE: Final = 1000
"""Most entries of a page."""

_CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9])\.(-?[0-9]{1,18})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry(AsDict):
    """One thing that happened."""

    at: datetime
    """When; database clock."""

    kind: HistoryKind
    """What it is about."""

    change: str
    """What happened: of a step and its workflow the change as events have it, of a command the act, of a signal its
    status, of an incident the entry of its timeline, of a rescue what became of the job. ``lost`` of a step: its
    executor sent its last heartbeat then."""

    step: str | None
    """The step; None where it is not about one."""

    status: OperatorStatus | None
    """The operator's word of that state."""

    state: str | None
    """The state of the step, or of the workflow that ended, after it."""

    generation: int | None
    """Which run of the step or workflow, from 1: each retry of one that failed begins another."""

    attempt: int | None
    """Which attempt of the job: each run begins with the first again."""

    job_id: JobId | None
    """The job."""

    phase: StepPhase | None
    """What the step did from then on."""

    lasts_for: timedelta | None
    """How long that went on, so far where it still does; of a signal, until it was taken; None where nothing began."""

    goes_on: bool
    """Whether it still does."""

    node: str | None
    """Where the attempt ran; known of the last one of each job while its row is kept, and of rescued ones."""

    actor: str | None
    """Who acted; None for Powertools itself."""

    outcome: str | None
    """Of a command: whether it was carried out."""

    reason: str | None
    """Why, as the actor said."""

    error: str | None
    """Class and text of the error, in one line."""

    detail: Mapping[str, Any]
    """More: of an incident ``incident_id``, ``class`` and ``title``, of a signal its name and key, of a command its
    details."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes(AsDict):
    """How a step spent its time until now, waiting told apart from working; zero where it never did."""

    step: str
    """The step."""

    dependencies_for: timedelta
    """It waited for what it depends on."""

    time_for: timedelta
    """It waited for its time: scheduled, or a later one that its worker asked for."""

    queue_for: timedelta
    """It waited in its queue: before its first attempt, and again after a rescue."""

    signal_for: timedelta
    """It waited for its signal."""

    work_for: timedelta
    """It worked, in all attempts together, each until the last heartbeat of its executor at most."""

    rescue_for: timedelta
    """Its executor was gone, and its job not rescued yet."""

    retry_for: timedelta
    """It waited for a next attempt."""

    attempts: int
    """Attempts that are known."""

    phase: StepPhase | None
    """What it does now; None when it has ended."""

    since: datetime | None
    """Since when."""

    whole: bool
    """Whether every event of it is kept; else only its last run is known, from the step itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History(AsDict):
    """A page of a workflow's history."""

    workflow_id: WorkflowId
    """The workflow."""

    began_at: datetime
    """When the workflow was inserted; an incident that was open by then stands before it."""

    entries: tuple[HistoryEntry, ...]
    """In the order of time."""

    times: tuple[StepTimes, ...]
    """Of the steps in these entries, by position."""

    known_from: datetime | None
    """When the oldest event that is kept happened, where older ones were removed; None when all are kept."""

    jobs_gone: int
    """Steps whose job was removed: where its attempts ran is no longer known, and of a lost job not what it said."""

    next_after: str | None
    """Pass it as ``after`` for the next page; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place in a history: after an entry."""

    at: datetime
    """When that happened."""

    rank: int
    """Of those at one instant: its kind's."""

    id: int
    """Its number in its kind."""

    def __str__(self) -> str:
        """As callers get it."""
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1)}.{self.rank}.{self.id}"


def as_place(argument: str, value: object) -> Place:
    """Where a page ended, from what it said.

    Raises:
        InvalidArgumentError: It is none.
    """
    match = _CURSOR.fullmatch(value) if isinstance(value, str) else None
    try:
        if match:
            at = _EPOCH + timedelta(microseconds=int(match[1]))
            return Place(at=at, rank=int(match[2]), id=int(match[3]))
    except OverflowError:
        pass
    raise refuse(argument, value, "the next_after of a page before")


async def read_history(
    session: Session, workflow_id: WorkflowId, *, step: str | None, after: Place | None, limit: int
) -> History:
    """A page of the history of a workflow, or of one of its steps; in three statements, however many there are.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    whose: dict[str, Any] = {"workflow_id": workflow_id, "step": step}
    bounds = await session.one("history_bounds", whose)
    if bounds is None:
        raise WorkflowNotFoundError(workflow_id)
    if not bounds["known_step"]:
        raise await unknown_step(session, workflow_id, step or "")
    page = min(limit, MAX_PAGE)
    place = {"at": after and after.at, "rank": after and after.rank, "id": after and after.id}
    rows = await session.all("history_entries", {**whose, **place, "page": page + 1})
    entries = tuple(record(HistoryEntry, row) for row in rows[:page])
    steps = sorted({entry.step for entry in entries if entry.step})
    args = {"workflow_id": workflow_id, "steps": steps}
    times = await session.records(StepTimes, "history_times", args) if steps else []
    return History(
        workflow_id=workflow_id,
        began_at=bounds["began_at"],
        entries=entries,
        times=tuple(times),
        known_from=None if bounds["first_number"] == 1 else bounds["known_from"],
        jobs_gone=bounds["jobs_gone"],
        next_after=str(record(Place, rows[page - 1])) if len(rows) > page else None,
    )
