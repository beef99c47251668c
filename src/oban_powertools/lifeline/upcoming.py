"""What happens next by itself, if nobody acts: rescues, jobs that become due, deadlines, ends of holds.

Not a promise: whatever happens before may change it. Reads only.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ..arguments import as_count
from ..database import record
from ..operators.services import Facade
from ..states import JobId, WorkflowId
from ..wire import AsDict

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

    async def list_upcoming(self, *, limit: int = 50) -> list[Upcoming]:
        """What happens next if nobody acts, the soonest first.

        Args:
            limit: At most 100.
        """
        page = min(as_count("limit", limit), _MOST)
        async with self._connect() as session:
            return [record(Upcoming, row) for row in await session.all("list_upcoming", {"page": page})]
