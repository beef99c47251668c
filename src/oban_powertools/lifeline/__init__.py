"""The lifeline: which executors live, and what becomes of the jobs of those that do not."""

from ..runtime.executors import ExecutorHealth
from ..states import ExecutorState, IncidentClass, IncidentState, IncidentSubstatus
from .incidents import Incident, SuggestedBulk, TimelineEntry
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
