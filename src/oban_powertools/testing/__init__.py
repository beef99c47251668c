"""Test workflows: to their end in this process, without waiting, on a real database."""

from .alone import StepAlone, step_context
from .checking import check
from .draining import NothingMovesError
from .fakes import Fakes, WrongFakeError
from .loading import UnreadableExportError
from .ran import WorkflowRun
from .runner import Runnable, WorkflowRunner, open_runner
from .sync_runner import SyncWorkflowRunner

__all__ = [
    "Fakes",
    "NothingMovesError",
    "Runnable",
    "StepAlone",
    "SyncWorkflowRunner",
    "UnreadableExportError",
    "WorkflowRun",
    "WorkflowRunner",
    "WrongFakeError",
    "check",
    "open_runner",
    "step_context",
]
