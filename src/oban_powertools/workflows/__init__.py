"""Workflows: defined in Python, stored as rows, moved by the database."""

from .builder import Workflow
from .handle import Waits, WorkflowHandle
from .inputs import Deps, EffectsName, PolicyName, StepName
from .records import CallbackRecord, Recovered, SignalRecord, StepRecord, WorkflowRecord
from .references import Part, Reference, StepHandle
from .workflows import Workflows

__all__ = [
    "CallbackRecord",
    "Deps",
    "EffectsName",
    "Part",
    "PolicyName",
    "Recovered",
    "Reference",
    "SignalRecord",
    "StepHandle",
    "StepName",
    "StepRecord",
    "Waits",
    "Workflow",
    "WorkflowHandle",
    "WorkflowRecord",
    "Workflows",
]
