"""The records of incidents. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ...explain import ExplainedAction, ExplainedRepair
from ...incident_classes import IncidentClass
from ...states import IncidentId, IncidentState, IncidentStatus, IncidentSubstatus, JobId, WorkflowId
from ...wire import AsDict


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry(AsDict):
    """One thing that happened to an incident."""

    at: datetime
    """When, by the database's clock."""

    kind: str
    """``detected``, ``reopened``, ``changed``, ``resolved``, ``acknowledged``, ``assigned``, ``noted``, ``muted``,
    ``rescued``, ``left`` (to an operator), or an ``Action`` from the audit."""

    actor: str | None
    """Who did it; None for Powertools itself."""

    detail: Mapping[str, Any]
    """Further facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(AsDict):
    """One thing that was seen."""

    sentence: str
    """What was seen."""

    source: str
    """Where: ``executors``, ``jobs``, ``steps``, ``workflows``, ``waits``, ``signals``, ``late results``, or
    ``rescues``."""

    at: datetime | None
    """When it was so; None where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentDiagnosis(AsDict):
    """What is known about an incident, and what is not."""

    saw: tuple[Fact, ...]
    """What was seen."""

    means: str
    """What is concluded from that; empty of a class that only a newer release knows, as the next two."""

    unknown: str
    """What nobody can read from the database."""

    unattended: str
    """What happens if nobody acts; empty when the incident is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected(AsDict):
    """One thing that an incident names, as it is now."""

    target_type: str
    """``job``, ``step``, ``workflow``, ``late_result`` or ``signal``."""

    target_id: str
    """Which one, as repairs take it; of a step ``workflow id/step name``."""

    state: str | None
    """Its raw state; None of a late result or a signal."""

    worker: str | None
    """Oban's path of its worker class, where it has one."""

    queue: str | None
    """The queue of its job, where it has one."""

    attempt: int | None
    """Attempts made so far, where it has a job."""

    max_attempts: int | None
    """Attempts allowed, likewise."""

    effects: str | None
    """Whether a step may run twice."""

    workflow_id: WorkflowId | None
    """Its workflow."""

    step: str | None
    """Its step."""

    job_id: JobId | None
    """Its job."""

    repairs: tuple[ExplainedRepair, ...]
    """What can be previewed for it now."""

    refused: tuple[ExplainedAction, ...]
    """Repairs that end such an incident, and why they do not fit it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestedBulk(AsDict):
    """A bulk repair of the targets that an incident names."""

    action: str
    """The repair."""

    ids: tuple[str, ...]
    """Its targets, as ``preview_bulk`` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident(AsDict):
    """One cause of trouble."""

    id: IncidentId
    """Its id; it never changes."""

    fingerprint: str
    """Its class, then what distinguishes it from others of the class; it never changes."""

    incident_class: IncidentClass | str
    """What kind of cause it has; text where only a newer release knows it."""

    status: IncidentStatus
    """The operator's word: it needs a review, is acknowledged, or is resolved."""

    state: IncidentState
    """Whether a person has to look at it."""

    substatus: IncidentSubstatus
    """Whether it is known."""

    subject_type: str
    """What it is about: ``executor``, ``node``, ``queue``, ``workflow``, ``job``, ``worker``, ``signal``, ``sqlstate``
    or ``semantics``."""

    subject_id: str
    """Which one."""

    title: str
    """One sentence."""

    count: int
    """How many jobs, steps, waits or workflows it has hit; at least so many."""

    evidence: Mapping[str, Any]
    """``ids`` of at most 50 of them, ``id_type`` says of what, and what else is known; ``code`` as in explanations."""

    waiting_workflows: int
    """Workflows that are concerned, at most 1,000."""

    waiting_steps: int
    """Steps of these workflows without an outcome."""

    first_detected_at: datetime
    """When it was detected for the first time ever."""

    opened_at: datetime
    """When it was detected, or came back."""

    last_detected_at: datetime
    """When it was last seen, within a minute."""

    holds_until: datetime | None
    """Until when at least it stays open, whatever is repaired; None of one that is over as soon as its evidence is."""

    resolved_at: datetime | None
    """When it was over; None while it is open."""

    reopened: int
    """How many times it came back."""

    acknowledged_by: str | None
    """Who has seen it."""

    acknowledged_at: datetime | None
    """When they said so."""

    assignee: str | None
    """Who takes care of it."""

    muted_until: datetime | None
    """No messages are sent about it before then."""

    repairs: tuple[ExplainedRepair, ...] = ()
    """Repairs that an operator can preview for it now, those that repair all of it first; empty when it is over or has
    no repair. A
    list looks at the first 5 ids of each incident only, ``get_incident`` at all 50."""

    bulk: tuple[SuggestedBulk, ...] = ()
    """The same repair for several of them at once; empty for fewer than two."""

    advice: str = ""
    """What to look at first; empty when nothing of it is left, and of a class that only a newer release knows."""

    kept_open: str = ""
    """What keeps it open and until when; empty when it is over, and of a class that only a newer release knows."""

    commands: tuple[str, ...] = ()
    """Commands of a shell that end it where no repair can, such as one that starts a worker; empty when it is over."""

    timeline: tuple[TimelineEntry, ...] = ()
    """What happened to it, oldest first; only ``get_incident`` fills it, with the newest 1,000 entries of each kind."""

    diagnosis: IncidentDiagnosis | None = None
    """What is known about it, and what is not; only ``get_incident`` fills it."""

    affected: tuple[Affected, ...] = ()
    """What its evidence names, as it is now, in that order, at most 50; what is gone is left out. Only ``get_incident``
    fills it; empty when it is over."""

    @property
    def muted(self) -> bool:
        """Whether it is muted now, by this process's clock."""
        return self.muted_until is not None and self.muted_until > datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentCounts(AsDict):
    """How many incidents there are; each number ends at 10,000."""

    needs_review: int
    """That nobody has taken, and that are not muted."""

    acknowledged: int
    """That a person has seen."""

    muted: int
    """Open, and muted."""

    resolved: int
    """That are over."""

    resolved_lately: int
    """That were over in the last 24 hours."""

    last_resolved_at: datetime | None
    """When the last one was over; None when none ever was."""

    oldest_at: datetime | None
    """Since when the oldest of those needs a review; None when none does."""

    waiting_steps: int
    """Steps without an outcome of the workflows that those which need a review concern; a step may count twice."""

    waiting_workflows: int
    """Their workflows, likewise."""

    by_class: Mapping[str, int]
    """Class -> how many of it need a review."""


def incident_key(text: int | str) -> int | str:
    """What names an incident: its id, when it is a number, or its fingerprint."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and int(text) < 2**63 else text
