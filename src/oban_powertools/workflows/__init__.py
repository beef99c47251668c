"""Workflows: defined in Python, stored as rows, moved by the database."""

from .builder import Workflow
from .finding_signals import OpenWait, StoredSignal, WaitAlike
from .handle import Waits, WorkflowHandle
from .history import History, HistoryEntry, StepTimes
from .inputs import Deps, EffectsName, PolicyName, StepName
from .outlines import StepOutline, StepSpell
from .records import CallbackRecord, Recovered, SignalRecord, StepPage, StepRecord, WorkflowRecord
from .references import Part, PlaceOfValue, Reference, StepHandle, place_of
from .typed_job import MakesJobs, TypedJob
from .workflows import Workflows

__all__ = [
    "CallbackRecord",
    "Deps",
    "EffectsName",
    "History",
    "HistoryEntry",
    "MakesJobs",
    "OpenWait",
    "Part",
    "PlaceOfValue",
    "PolicyName",
    "Recovered",
    "Reference",
    "SignalRecord",
    "StepHandle",
    "StepName",
    "StepOutline",
    "StepPage",
    "StepRecord",
    "StepSpell",
    "StepTimes",
    "StoredSignal",
    "TypedJob",
    "WaitAlike",
    "Waits",
    "Workflow",
    "WorkflowHandle",
    "WorkflowRecord",
    "Workflows",
    "place_of",
]
