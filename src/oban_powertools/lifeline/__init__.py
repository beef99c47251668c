"""The lifeline: the health of executors, incidents, and repairs."""

from ..incident_classes import IncidentClass
from ..runtime.executors import ExecutorCounts, ExecutorHealth
from ..states import ExecutorState, ExecutorStatus, IncidentState, IncidentStatus, IncidentSubstatus
from ..upkeep.retention import PruneRun, RecordClass, RetainedClass, RetentionStatus
from .incidents import Affected, Fact, Incident, IncidentCounts, IncidentDiagnosis, SuggestedBulk, TimelineEntry
from .lifeline import Lifeline
from .repairs import (
    Bulk,
    BulkItem,
    BulkPreview,
    Change,
    Effect,
    ListedPreview,
    MovedRow,
    PreviewCheck,
    PreviewStatus,
    RepairDone,
    RepairPreview,
)
from .upcoming import Upcoming, UpcomingKind

__all__ = [
    "Affected",
    "Bulk",
    "BulkItem",
    "BulkPreview",
    "Change",
    "Effect",
    "ExecutorCounts",
    "ExecutorHealth",
    "ExecutorState",
    "ExecutorStatus",
    "Fact",
    "Incident",
    "IncidentClass",
    "IncidentCounts",
    "IncidentDiagnosis",
    "IncidentState",
    "IncidentStatus",
    "IncidentSubstatus",
    "Lifeline",
    "ListedPreview",
    "MovedRow",
    "PreviewCheck",
    "PreviewStatus",
    "PruneRun",
    "RecordClass",
    "RepairDone",
    "RepairPreview",
    "RetainedClass",
    "RetentionStatus",
    "SuggestedBulk",
    "TimelineEntry",
    "Upcoming",
    "UpcomingKind",
]
