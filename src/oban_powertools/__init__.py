"""Durable workflows, live step events and an operator control plane for applications on Oban.

Start with ``Powertools`` and ``Workflow``; ``__all__`` lists every public name. A name's module is imported on first
use, so a command that only shows its help loads no driver; ``__init__.pyi`` declares the same names for type checkers.
"""
# pyright: reportUnsupportedDunderAll=false

import importlib
from typing import Any, Final

_HOMES: Final = {
    "calls": "Calls open_calls",
    "config": "Settings",
    "current": "current_powertools",
    "decorators": "Worker job worker",
    "errors": "PowertoolsError",
    "events": (
        "AnyEvent Cursor Event Events ExecutorChange ExecutorUpdated IncidentChange IncidentUpdated Notice RepairEnded "
        "RetentionRan StepChange StepUpdated WorkflowFinished"
    ),
    "explain": "Explain JobExplanation StepExplanation WorkflowExplanation",
    "lifeline": (
        "ExecutorHealth ExecutorState ExecutorStatus Incident IncidentClass IncidentState IncidentStatus "
        "IncidentSubstatus Lifeline TimelineEntry"
    ),
    "operators.audit": "Audit AuditFilter AuditFinding AuditRecord FindingKind Outcome Verification",
    "operators.authorization": (
        "Action Actor ActorLike ActorType AllowAll Authorize SecondPerson Severity Surface Target TargetType "
        "permissions_policy"
    ),
    "operators.revealing": "Revealable Revealed",
    "powertools": "Powertools",
    "privacy.display": "DisplayPolicy",
    "runtime.step": "AwaitSignal FinishedWorkflow StepContext current_step current_workflow",
    "states": (
        "CallbackState Effects HistoryKind JobId JobState OperatorStatus Policy SignalStatus StepPhase StepState "
        "WorkflowId WorkflowState"
    ),
    "workflows": "WorkflowHandle Workflows",
    "workflows.builder": "Workflow",
    "upkeep.jobs": "JobDetail JobError JobPage JobRecord Jobs",
    "workflows.finding_signals": "OpenWait StoredSignal WaitAlike",
    "workflows.history": "History HistoryEntry StepTimes",
    "workflows.outlines": "StepOutline StepSpell",
    "workflows.records": "CallbackRecord Recovered SignalRecord StepPage StepRecord WorkflowRecord",
    "workflows.references": "Reference StepHandle",
    "workflows.typed_job": "TypedJob",
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__: list[str] = []
__all__ += sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
