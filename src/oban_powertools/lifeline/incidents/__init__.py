"""Incidents: what is broken, one incident per cause, until the evidence shows that it is over.

SQL detects them (``sql/functions/incidents.sql``, ``incident_classes.sql``).
"""

from ...incident_classes import IncidentClass
from ...states import IncidentId, IncidentState, IncidentSubstatus
from .incidents import Incidents
from .projecting import Projector
from .records import (
    Affected,
    Fact,
    Incident,
    IncidentCounts,
    IncidentDiagnosis,
    SuggestedBulk,
    TimelineEntry,
    incident_key,
)

__all__ = [
    "Affected",
    "Fact",
    "Incident",
    "IncidentClass",
    "IncidentCounts",
    "IncidentDiagnosis",
    "IncidentId",
    "IncidentState",
    "IncidentSubstatus",
    "Incidents",
    "Projector",
    "SuggestedBulk",
    "TimelineEntry",
    "incident_key",
]
