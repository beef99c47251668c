"""The facts of a job and of its queue that explanations are computed from.

No I/O. A state stays the text that was read.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ..states import TERMINAL_STEP_STATES, JobId, WorkflowId
from ..workflows.job_rules import LOST, SILENT


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFacts:
    """Another session that holds a row in its transaction."""

    pid: int
    """The server's process."""

    session: str
    """Its application_name, or its role."""

    since: datetime
    """When its transaction began."""

    @property
    def details(self) -> dict[str, Any]:
        """The details of a blocker."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFacts:
    """A settle fault that is not repaired yet."""

    state: str
    """The state in which the job ended."""

    message: str
    """PostgreSQL's own."""

    sqlstate: str
    """PostgreSQL's code of it."""

    faults: int
    """Tries so far."""

    first_fault_at: datetime
    """When it was found."""

    last_fault_at: datetime
    """When it was tried last."""

    @property
    def details(self) -> dict[str, Any]:
        """The details of a blocker."""
        return {name: value for name, value in asdict(self).items() if name != "state"}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFacts:
    """Why a job is kept from running."""

    at: datetime
    """Since when."""

    crashes: int
    """Executors that died while they ran it."""

    executor_id: str
    """The last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One row of Oban's jobs."""

    id: JobId
    """Its id."""

    state: str
    """Oban's state."""

    queue: str
    """Where it runs."""

    worker: str
    """Oban's path of the worker class."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    error: Any
    """The last entry of its errors; None when there was none."""

    scheduled_at: datetime
    """When it is due."""

    attempted_at: datetime | None
    """When its last attempt began."""

    node: str | None
    """The node of its last executor."""

    executor_id: str | None
    """While it executes: its executor; None for one that sends no heartbeats."""

    executor_state: str | None
    """While it executes: as ``list_executor_health`` has it, or ``gone``, ``silent`` (late, and no sign of its
    process) or ``unknown``."""

    executor_seen_at: datetime | None
    """When that executor sent its last heartbeat, or was stopped; None when it is unknown."""

    beat_seconds: int | None
    """The age of its last heartbeat, in seconds."""

    missing_in: int | None
    """Seconds until it counts as missing, if no heartbeat comes; None of an unknown one."""

    aside: int
    """While it executes: outcomes that its executor holds because the database does not take them, perhaps its own."""

    aside_since: datetime | None
    """Since when it holds the oldest of them."""

    left_to_operator: bool
    """Whether the rescue has left this attempt to an operator."""

    quarantine: QuarantineFacts | None
    """Why it is kept from running."""

    of_a_step: bool
    """Whether its meta says that it is a step's."""

    workflow_id: WorkflowId | None
    """The workflow whose step names this job; None for a plain job."""

    step: str | None
    """That step."""

    effects: str | None
    """May that step run twice?"""

    held_until: datetime | None
    """That step does not start before."""

    lock: LockFacts | None
    """The session that keeps it from being fetched and acknowledged."""

    fault: FaultFacts | None
    """What keeps its outcome from being settled."""

    now: datetime
    """Database clock."""

    @property
    def orphaned(self) -> bool:
        """Whether it is marked executing, but its executor has left it behind, or has fallen silent."""
        return self.executor_state in LOST or self.executor_state == SILENT

    @property
    def row(self) -> dict[str, Any]:
        """The row that the rules of a job's repairs take."""
        names = "id state queue of_a_step step effects held_until executor_state executor_id beat_seconds missing_in"
        return {name: getattr(self, name) for name in names.split()}

    @property
    def ended(self) -> bool:
        """Whether Oban will not run it again by itself."""
        return self.state in TERMINAL_STEP_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """What Oban's producers report of one queue."""

    queue: str
    """Its name."""

    executors: int
    """Executors that send heartbeats, or that Oban refreshed within 60 s."""

    paused: int
    """Executors of these that are paused."""

    places: int | None
    """Jobs that the others may run at once; None when one of them does not report its limit."""

    running: int
    """Jobs that these executors run."""

    paused_by: str | None = None
    """Who paused it; None when it is not paused, or nobody did by Powertools."""

    pause_reason: str | None = None
    """Why."""

    paused_at: datetime | None = None
    """When."""
