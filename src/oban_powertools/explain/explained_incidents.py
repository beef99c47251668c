"""The records of an explanation about open incidents, and what may be done about them. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from ..states import IncidentStatus, WorkflowId
from ..wire import AsDict


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRepair(AsDict):
    """A repair that ``lifeline.preview_repair`` would accept now, or an act on a queue, which has no preview."""

    action: str
    """Such as ``job_rescue``."""

    target_type: str
    """Such as ``job``."""

    target_id: str
    """Which one; of a step ``workflow id/step name``."""

    to: str | None = None
    """The step that takes it, of ``signal_redirect``; None of all others."""

    limit: int | None = None
    """Jobs that each executor may run then, of ``queue_scale``: twice as many as now. None of all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedIncident(AsDict):
    """An open incident that concerns the explained step, workflow or job, or what it waits for."""

    id: int
    """Its id."""

    fingerprint: str
    """Its fingerprint, for ``preview_repair``."""

    incident_class: str
    """An ``IncidentClass``."""

    status: IncidentStatus
    """The operator's word."""

    state: str
    """``active`` or ``acknowledged``."""

    title: str
    """One sentence."""

    opened_at: datetime
    """When it was detected, or came back."""

    workflow_id: WorkflowId | None
    """The workflow of the step that it concerns; None for a plain job."""

    step: str | None
    """The step that it concerns: the explained one, or a root cause; None for a plain job or a whole workflow."""

    repairs: tuple[ExplainedRepair, ...]
    """Repairs that are legal for it now, as far as it concerns that step; empty for a failed root cause: explain that
    step instead."""
