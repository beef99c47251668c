"""Everything an operator can do, and for each action one row of policy.

The rule that must never break: an action without its row does not pass the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ...arguments import as_word, refuse


class Action(StrEnum):
    """What is asked for."""

    JOB_RESCUE = "job_rescue"
    JOB_RETRY = "job_retry"
    JOB_CANCEL = "job_cancel"
    JOB_DISCARD = "job_discard"
    STEP_RETRY = "step_retry"
    STEP_CANCEL = "step_cancel"
    STEP_COMPLETE = "step_complete"
    STEP_SKIP = "step_skip"
    STEP_HOLD = "step_hold"
    STEP_RELEASE = "step_release"
    STEP_PUBLISH = "step_publish"
    LATE_RESULT_ADOPT = "late_result_adopt"
    LATE_RESULT_DISMISS = "late_result_dismiss"
    WORKFLOW_CANCEL = "workflow_cancel"
    WORKFLOW_RETRY = "workflow_retry"
    WORKFLOW_HOLD = "workflow_hold"
    WORKFLOW_RELEASE = "workflow_release"
    EXECUTOR_RESCUE_ALL = "executor_rescue_all"
    CALLBACK_RETRY = "callback_retry"
    PREVIEW_REPAIR = "preview_repair"
    EXECUTE_REPAIR = "execute_repair"
    PREVIEW_BULK = "preview_bulk"
    EXECUTE_BULK = "execute_bulk"
    INCIDENT_ACKNOWLEDGE = "incident_acknowledge"
    INCIDENT_ASSIGN = "incident_assign"
    INCIDENT_NOTE = "incident_note"
    INCIDENT_MUTE = "incident_mute"
    ARCHIVE_PRUNE = "archive_prune"
    AUDIT_EXPORT = "audit_export"
    MANAGE_WEBHOOKS = "manage_webhooks"


class TargetType(StrEnum):
    """What an action is about."""

    JOB = "job"
    STEP = "step"
    LATE_RESULT = "late_result"
    WORKFLOW = "workflow"
    EXECUTOR = "executor"
    CALLBACK = "callback"
    INCIDENT = "incident"
    BULK = "bulk"
    RECORDS = "records"
    AUDIT = "audit"
    WEBHOOK = "webhook"


class Severity(StrEnum):
    """How much harm a mistake does; the doors ask for confirmation accordingly."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    SEVERE = "severe"


class Surface(StrEnum):
    """Through which door somebody acted."""

    API = "api"
    CLI = "cli"
    WEB = "web"
    SYSTEM = "system"


def as_surface(source: str) -> Surface:
    """The door that a caller names.

    Raises:
        InvalidArgumentError: There is no such door, or it is that of Powertools itself.
    """
    surface = as_word("source", source, Surface)
    if surface is Surface.SYSTEM:
        raise refuse("source", "system", "api, cli or web: 'system' is Powertools itself")
    return surface


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPolicy:
    """The row of an action."""

    targets: tuple[TargetType, ...]
    """What it can be about."""

    permission: str
    """What ``permissions_policy`` looks for in an actor's permissions."""

    severity: Severity
    """How much harm a mistake does."""

    needs_reason: bool
    """Whether somebody has to say why."""


_REPAIRABLE: Final = (
    TargetType.JOB, TargetType.STEP, TargetType.LATE_RESULT, TargetType.WORKFLOW, TargetType.EXECUTOR,
    TargetType.CALLBACK,
)  # fmt: skip
_EXECUTE: Final = "execute_repair"
_INCIDENTS: Final = "manage_incidents"


def _row(
    *targets: TargetType, permission: str = _EXECUTE, severity: Severity = Severity.MEDIUM, needs_reason: bool = True
) -> ActionPolicy:
    return ActionPolicy(targets=targets, permission=permission, severity=severity, needs_reason=needs_reason)


POLICY: Final[Mapping[Action, ActionPolicy]] = {
    Action.JOB_RESCUE: _row(TargetType.JOB),
    Action.JOB_RETRY: _row(TargetType.JOB),
    Action.JOB_CANCEL: _row(TargetType.JOB, severity=Severity.HIGH),
    Action.JOB_DISCARD: _row(TargetType.JOB, severity=Severity.HIGH),
    Action.STEP_RETRY: _row(TargetType.STEP),
    Action.STEP_CANCEL: _row(TargetType.STEP, severity=Severity.HIGH),
    Action.STEP_COMPLETE: _row(TargetType.STEP, severity=Severity.HIGH),
    Action.STEP_SKIP: _row(TargetType.STEP, severity=Severity.HIGH),
    Action.STEP_HOLD: _row(TargetType.STEP),
    Action.STEP_RELEASE: _row(TargetType.STEP),
    Action.STEP_PUBLISH: _row(TargetType.STEP, severity=Severity.LOW),
    Action.LATE_RESULT_ADOPT: _row(TargetType.LATE_RESULT),
    Action.LATE_RESULT_DISMISS: _row(TargetType.LATE_RESULT, severity=Severity.HIGH),
    Action.WORKFLOW_CANCEL: _row(TargetType.WORKFLOW, severity=Severity.SEVERE),
    Action.WORKFLOW_RETRY: _row(TargetType.WORKFLOW, severity=Severity.HIGH),
    Action.WORKFLOW_HOLD: _row(TargetType.WORKFLOW),
    Action.WORKFLOW_RELEASE: _row(TargetType.WORKFLOW),
    Action.EXECUTOR_RESCUE_ALL: _row(TargetType.EXECUTOR, severity=Severity.HIGH),
    Action.CALLBACK_RETRY: _row(TargetType.CALLBACK),
    Action.PREVIEW_REPAIR: _row(*_REPAIRABLE, permission="preview_repair", severity=Severity.LOW, needs_reason=False),
    Action.EXECUTE_REPAIR: _row(*_REPAIRABLE),
    Action.PREVIEW_BULK: _row(TargetType.BULK, permission="preview_bulk", severity=Severity.LOW, needs_reason=False),
    Action.EXECUTE_BULK: _row(TargetType.BULK, permission="execute_bulk", severity=Severity.SEVERE),
    Action.INCIDENT_ACKNOWLEDGE: _row(
        TargetType.INCIDENT, permission=_INCIDENTS, severity=Severity.LOW, needs_reason=False
    ),
    Action.INCIDENT_ASSIGN: _row(TargetType.INCIDENT, permission=_INCIDENTS, severity=Severity.LOW, needs_reason=False),
    Action.INCIDENT_NOTE: _row(TargetType.INCIDENT, permission=_INCIDENTS, severity=Severity.LOW, needs_reason=False),
    Action.INCIDENT_MUTE: _row(TargetType.INCIDENT, permission=_INCIDENTS),
    Action.ARCHIVE_PRUNE: _row(TargetType.RECORDS, permission="archive_prune", severity=Severity.SEVERE),
    Action.AUDIT_EXPORT: _row(TargetType.AUDIT, permission="audit_export", severity=Severity.LOW, needs_reason=False),
    Action.MANAGE_WEBHOOKS: _row(TargetType.WEBHOOK, permission="manage_webhooks"),
}
"""Every action -> its row."""


def permission_for(action: Action) -> str:
    """The permission that ``permissions_policy`` asks for."""
    return POLICY[action].permission
