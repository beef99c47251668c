"""The classes of records, how long each is kept, and the reports about it. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from ...wire import AsDict


class RecordClass(StrEnum):
    """What is kept for a time of its own. In this order it is pruned: the audit before what it refers to."""

    WORKFLOWS = "workflows"
    """Ended workflows with all that is nested in them: steps, waits, consumed signals."""

    SIGNALS = "signals"
    """Deliveries that no workflow took: late, ambiguous, duplicate. Stored ones are kept: a wait may come."""

    RESCUES = "rescues"
    LATE_RESULTS = "late_results"
    """Those that were adopted or dismissed."""

    AUDIT = "audit"
    INCIDENTS = "incidents"
    """Resolved ones."""

    PREVIEWS = "previews"
    BULKS = "bulks"
    """Manifests of bulk repairs, with the outcome of every item."""

    EXECUTORS = "executors"
    """Heartbeats of executors that are gone and left nothing behind."""

    SETTLE_FAULTS = "settle_faults"
    """Repaired ones."""

    ARCHIVE = "archive"
    PRUNE_RUNS = "prune_runs"
    """Runs of the retention of which the archive holds nothing any more."""

    @property
    def is_archived(self) -> bool:
        """Whether something of a record is kept in the archive."""
        match self:
            case (
                RecordClass.PREVIEWS
                | RecordClass.BULKS
                | RecordClass.EXECUTORS
                | RecordClass.SETTLE_FAULTS
                | RecordClass.ARCHIVE
                | RecordClass.PRUNE_RUNS
            ):
                return False
            case (
                RecordClass.WORKFLOWS
                | RecordClass.SIGNALS
                | RecordClass.RESCUES
                | RecordClass.LATE_RESULTS
                | RecordClass.AUDIT
                | RecordClass.INCIDENTS
            ):
                return True
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetainedClass(AsDict):
    """One class of records as it is kept."""

    name: RecordClass
    """The class."""

    kept_for: timedelta | None
    """How long, from its end; None for ever."""

    is_archived: bool
    """Whether something of a record is kept in the archive when it is removed."""

    rows: int | None
    """About how many rows there are, live ones too, as the planner has it; None until the table has been analyzed."""

    bytes: int
    """What they take with their indexes."""

    oldest_at: datetime | None
    """Since when the oldest of them is there, about; None without any."""

    due: int | None
    """How many records are due (workflows: outermost ones that ended before the events that are kept), counted up to
    10,000; None where that is not cheap. What something else still needs is counted too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRun(AsDict):
    """One run of the retention, or what one would do."""

    id: int | None
    """Its number; None of a dry run, of which nothing is left."""

    dry_run: bool = False
    """Whether it was rolled back. Then the counts are those of the first batch of each class."""

    started_at: datetime
    """By the database's clock."""

    finished_at: datetime | None
    """None: under way, or its process died."""

    actor: str | None
    """Who asked for it; None: the sweep."""

    reason: str
    """Why."""

    outcome: str | None
    """``done``, ``failed``, or None: under way."""

    error: str | None
    """Of a failed run: the class and what the database said. That batch removed nothing; other classes went on."""

    archived: Mapping[str, int]
    """Class -> rows written to the archive."""

    pruned: Mapping[str, int]
    """Class -> rows removed, in all its tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionStatus(AsDict):
    """What is kept for how long, and when records were last removed."""

    classes: tuple[RetainedClass, ...]
    """Every class, in the order in which they are pruned."""

    events_kept_for: timedelta
    """The event log's own policy, which the sweep carries out all the time."""

    swept_at: datetime | None
    """When the sweep last looked at every class, which it does about every 10 minutes; None when it never did."""

    last_run: PruneRun | None
    """The newest run that removed something or failed, by the sweep or by somebody; None when there was none."""
