"""Explain a step, a workflow or a job: why it is in its state, and what may be done about it.

Changes nothing. The rule that must never break: an explanation is computed from one snapshot of the rows when it is
asked for, and never stored.
"""

from .explain import Explain
from .explained_incidents import ExplainedIncident, ExplainedRepair
from .explanations import (
    Blocker,
    BlockerCode,
    Dependency,
    ExplainedAction,
    JobExplanation,
    RootCause,
    RootCauseGroup,
    Scope,
    StepExplanation,
    WorkflowExplanation,
)

__all__ = [
    "Blocker",
    "BlockerCode",
    "Dependency",
    "Explain",
    "ExplainedAction",
    "ExplainedIncident",
    "ExplainedRepair",
    "JobExplanation",
    "RootCause",
    "RootCauseGroup",
    "Scope",
    "StepExplanation",
    "WorkflowExplanation",
]
