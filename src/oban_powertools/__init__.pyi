"""What ``__init__.py`` imports when it is asked for, for type checkers; a test compares the two."""

from .calls import Calls, open_calls
from .config import Settings
from .errors import PowertoolsError
from .events import Cursor, Event, Events, StepChange, StepUpdated, WorkflowFinished
from .explain import Explain, JobExplanation, StepExplanation, WorkflowExplanation
from .lifeline import (
    ExecutorHealth,
    ExecutorState,
    Incident,
    IncidentClass,
    IncidentState,
    IncidentSubstatus,
    Lifeline,
    TimelineEntry,
)
from .operators.audit import Audit, AuditFilter, AuditFinding, AuditRecord, FindingKind, Outcome, Verification
from .operators.authorization import (
    Action,
    Actor,
    ActorLike,
    ActorType,
    AllowAll,
    Authorize,
    Severity,
    Surface,
    Target,
    TargetType,
    permissions_policy,
)
from .powertools import Powertools
from .privacy.display import DisplayPolicy
from .runtime.step import AwaitSignal, FinishedWorkflow, StepContext, current_step, current_workflow
from .states import Effects, JobId, OperatorStatus, Policy, SignalStatus, StepState, WorkflowId, WorkflowState
from .workflows import WorkflowHandle, Workflows
from .workflows.builder import Workflow
from .workflows.records import Recovered, SignalRecord, StepRecord, WorkflowRecord
from .workflows.references import Reference, StepHandle

__all__ = [
    "Action",
    "Actor",
    "ActorLike",
    "ActorType",
    "AllowAll",
    "Audit",
    "AuditFilter",
    "AuditFinding",
    "AuditRecord",
    "Authorize",
    "AwaitSignal",
    "Calls",
    "Cursor",
    "DisplayPolicy",
    "Effects",
    "Event",
    "Events",
    "ExecutorHealth",
    "ExecutorState",
    "Explain",
    "FindingKind",
    "FinishedWorkflow",
    "Incident",
    "IncidentClass",
    "IncidentState",
    "IncidentSubstatus",
    "JobExplanation",
    "JobId",
    "Lifeline",
    "OperatorStatus",
    "Outcome",
    "Policy",
    "Powertools",
    "PowertoolsError",
    "Recovered",
    "Reference",
    "Settings",
    "Severity",
    "SignalRecord",
    "SignalStatus",
    "StepChange",
    "StepContext",
    "StepExplanation",
    "StepHandle",
    "StepRecord",
    "StepState",
    "StepUpdated",
    "Surface",
    "Target",
    "TargetType",
    "TimelineEntry",
    "Verification",
    "Workflow",
    "WorkflowExplanation",
    "WorkflowFinished",
    "WorkflowHandle",
    "WorkflowId",
    "WorkflowRecord",
    "WorkflowState",
    "Workflows",
    "current_step",
    "current_workflow",
    "open_calls",
    "permissions_policy",
]
