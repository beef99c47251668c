"""What happens next by itself, if nobody acts: rescues, jobs that become due, deadlines, ends of holds.

Not a promise: whatever happens before may change it. Reads only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from ..acts import TargetType
from ..arguments import as_count, refuse, unless_none
from ..database import record
from ..operators.services import Facade
from ..states import JobId, WorkflowId
from ..wire import AsDict
from .incidents.records import Incident

_MOST: Final = 100
"""Of one answer."""


class UpcomingKind(StrEnum):
    """What happens."""

    RESCUE = "rescue"
    """The jobs of a silent executor run again."""

    RETRY = "retry"
    """A job is tried again."""

    START = "start"
    """A job that was scheduled becomes due."""

    DEADLINE = "deadline"
    """A step that waits for a signal expires."""

    HOLD_END = "hold_end"
    """The hold of a step ends."""

    EXPIRY = "expiry"
    """A workflow expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming(AsDict):
    """One thing that happens by itself."""

    kind: UpcomingKind
    """What happens."""

    at: datetime
    """When at the earliest, by the database's clock; in the past: as soon as a process sweeps."""

    jobs: int
    """Of a rescue: how many jobs run again. 0 of others."""

    executor_id: str | None
    """Of a rescue: whose jobs these are."""

    node: str | None
    """Of a rescue: where that executor ran."""

    queue: str | None
    """The queue of the executor, or of the job."""

    job_id: JobId | None
    """The job, of a retry or a start."""

    worker: str | None
    """Its worker."""

    attempt: int | None
    """Of a retry: which attempt it will be."""

    max_attempts: int | None
    """How many attempts the job has."""

    workflow_id: WorkflowId | None
    """The workflow; None of a job that is no step's."""

    workflow_name: str | None
    """Its name."""

    step: str | None
    """The step; None of a workflow."""


class Coming(Facade):
    """Read what happens next by itself."""

    async def list_upcoming(self, *, concerning: Incident | None = None, limit: int = 50) -> list[Upcoming]:
        """What happens next if nobody acts, the soonest first.

        Args:
            concerning: Only what happens to the subject of this incident and to what it affects, as ``get_incident``
                read it.
            limit: At most 100.
        """
        page = min(as_count("limit", limit), _MOST)
        concerned = unless_none(_as_concerned, "concerning", concerning)
        args = concerned.args() if concerned else _EVERYTHING
        async with self._connect() as session:
            rows = await session.all("list_upcoming", {"page": _MOST if concerned else page, **args})
        found = [record(Upcoming, row) for row in rows]
        return [entry for entry in found if concerned is None or concerned.includes(entry)][:page]


_EVERYTHING: Final[Mapping[str, Any]] = {"executor_ids": None, "job_ids": None, "workflow_ids": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Concerned:
    """What an incident is about."""

    executors: frozenset[str]
    jobs: frozenset[int]
    workflows: frozenset[int]
    steps: frozenset[tuple[int, str]]
    whole: bool
    """Whether it is about a workflow, so about whichever step of it."""

    def args(self) -> Mapping[str, Any]:
        """The arguments of the query."""
        return {
            "executor_ids": sorted(self.executors),
            "job_ids": sorted(self.jobs),
            "workflow_ids": sorted(self.workflows),
        }

    def includes(self, entry: Upcoming) -> bool:
        """Whether it is one of these: of a workflow the query brings every step."""
        if entry.workflow_id is None or entry.step is None or entry.job_id is not None:
            return True
        return self.whole or (int(entry.workflow_id), entry.step) in self.steps


def _as_concerned(argument: str, value: object) -> _Concerned:
    if not isinstance(value, Incident):
        raise refuse(argument, value, "an Incident, as get_incident returns it")
    whole = value.subject_type == TargetType.WORKFLOW and value.subject_id.isdigit()
    workflows = {int(each.workflow_id) for each in value.affected if each.workflow_id is not None}
    return _Concerned(
        executors=frozenset([value.subject_id] if value.subject_type == TargetType.EXECUTOR else []),
        jobs=frozenset(int(each.job_id) for each in value.affected if each.job_id is not None),
        workflows=frozenset(workflows | ({int(value.subject_id)} if whole else set())),
        steps=frozenset(
            (int(each.workflow_id), each.step)
            for each in value.affected
            if each.workflow_id is not None and each.step is not None
        ),
        whole=whole,
    )
