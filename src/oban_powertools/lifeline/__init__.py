"""The lifeline: the health of executors, incidents, and repairs."""

from ..incident_classes import IncidentClass
from ..runtime.executors import ExecutorHealth
from ..states import ExecutorState, ExecutorStatus, IncidentState, IncidentStatus, IncidentSubstatus
from ..upkeep.retention import PruneRun, RecordClass, RetainedClass, RetentionStatus
from .incidents import Incident, SuggestedBulk, TimelineEntry
from .lifeline import Lifeline
from .repairs import Bulk, BulkItem, BulkPreview, Change, Effect, RepairDone, RepairPreview

__all__ = [
    "Bulk",
    "BulkItem",
    "BulkPreview",
    "Change",
    "Effect",
    "ExecutorHealth",
    "ExecutorState",
    "ExecutorStatus",
    "Incident",
    "IncidentClass",
    "IncidentState",
    "IncidentStatus",
    "IncidentSubstatus",
    "Lifeline",
    "PruneRun",
    "RecordClass",
    "RepairDone",
    "RepairPreview",
    "RetainedClass",
    "RetentionStatus",
    "SuggestedBulk",
    "TimelineEntry",
]
