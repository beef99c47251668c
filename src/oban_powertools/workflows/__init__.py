"""Workflows: defined in Python, stored as rows, moved by the database."""

from .builder import Workflow
from .handle import Waits, WorkflowHandle
from .history import History, HistoryEntry, StepTimes
from .inputs import Deps, EffectsName, PolicyName, StepName
from .records import CallbackRecord, Recovered, SignalRecord, StepPage, StepRecord, WorkflowRecord
from .references import Part, Reference, StepHandle
from .workflows import Workflows

__all__ = [
    "CallbackRecord",
    "Deps",
    "EffectsName",
    "History",
    "HistoryEntry",
    "Part",
    "PolicyName",
    "Recovered",
    "Reference",
    "SignalRecord",
    "StepHandle",
    "StepName",
    "StepPage",
    "StepRecord",
    "StepTimes",
    "Waits",
    "Workflow",
    "WorkflowHandle",
    "WorkflowRecord",
    "Workflows",
]
