"""Explain a step, a workflow or a job: why is it as it is, and what may be done?

Not for changing anything. The rule that must never break: an explanation is computed from the rows
of one snapshot when it is asked for, and never stored.
"""

from .explain import Explain
from .explanations import (
    Blocker,
    BlockerCode,
    Dependency,
    ExplainedAction,
    ExplainedIncident,
    ExplainedRepair,
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
