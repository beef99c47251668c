"""The lifeline: which executors live, and what becomes of the jobs of those that do not."""

from .executors import ExecutorHealth, ExecutorState
from .incidents import Incident, IncidentClass, IncidentState, IncidentSubstatus, SuggestedBulk, TimelineEntry
from .lifeline import Lifeline

__all__ = [
    "ExecutorHealth",
    "ExecutorState",
    "Incident",
    "IncidentClass",
    "IncidentState",
    "IncidentSubstatus",
    "Lifeline",
    "SuggestedBulk",
    "TimelineEntry",
]
