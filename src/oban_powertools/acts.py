"""The one registry of acts: each row is one thing an operator can do.

Derived from a row: the permission that the host's policy checks, whether a reason is required, the confirmation in a
script, what previews and bulk repairs accept, the warnings, and the name in records, explanations, telemetry and the
reference pages. ``workflows.rules`` and ``workflows.job_rules`` decide whether an act is legal on the current rows;
the room that owns the rows carries it out. No I/O.

The rule that must never break: an act has one name, through whichever door it comes and wherever it is recorded.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

__all__ = ["Act", "Action", "Severity", "TargetType"]


class TargetType(StrEnum):
    """What an act is about."""

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
    SETTING = "setting"
    QUEUE = "queue"
    SIGNAL = "signal"


class Severity(StrEnum):
    """How much harm a mistake does; ``severe`` acts are confirmed, by a person or by the script."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    SEVERE = "severe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """The row of an act."""

    targets: tuple[TargetType, ...]
    """The types of target that it accepts."""

    permission: str
    """The permission that ``permissions_policy`` requires."""

    severity: Severity
    """How much harm a mistake does."""

    needs_reason: bool
    """Whether it requires a reason."""

    previewed: bool = False
    """Whether it is a repair: previewed, then executed exactly so."""

    in_bulk: bool = False
    """Whether a bulk repair may do it."""

    takes_away: bool = False
    """Whether it takes an executing job from its executor."""

    tells: bool = False
    """Whether it asks an executing job to stop, which may still complete."""

    runs_again: bool = False
    """Whether work that ran before runs again."""

    aimed: bool = False
    """Whether it needs ``to``: the step that it gives something to."""

    timeline: str | None = None
    """Its name in an incident's timeline; only for acts on incidents."""

    does: str = ""
    """What it does in a sentence, for whoever chooses it; empty of acts that nobody chooses from a list."""


_REPAIRABLE: Final = (
    TargetType.JOB,
    TargetType.STEP,
    TargetType.LATE_RESULT,
    TargetType.WORKFLOW,
    TargetType.EXECUTOR,
    TargetType.CALLBACK,
    TargetType.SIGNAL,
)
_EXECUTE: Final = "execute_repair"
_IN_BULK: Final = frozenset(
    {TargetType.JOB, TargetType.CALLBACK, TargetType.STEP, TargetType.WORKFLOW, TargetType.SIGNAL}
)


def _repair(
    target: TargetType,
    severity: Severity = Severity.MEDIUM,
    *,
    takes_away: bool = False,
    tells: bool = False,
    runs_again: bool = False,
    aimed: bool = False,
    does: str = "",
) -> Act:
    return Act(
        targets=(target,),
        permission=_EXECUTE,
        severity=severity,
        needs_reason=True,
        previewed=True,
        in_bulk=target in _IN_BULK and not aimed,
        aimed=aimed,
        takes_away=takes_away,
        tells=tells,
        runs_again=runs_again,
        does=does,
    )


def _act(
    *targets: TargetType,
    permission: str,
    severity: Severity = Severity.MEDIUM,
    needs_reason: bool = True,
    does: str = "",
) -> Act:
    return Act(targets=targets, permission=permission, severity=severity, needs_reason=needs_reason, does=does)


def _harmless(*targets: TargetType, permission: str) -> Act:
    return _act(*targets, permission=permission, severity=Severity.LOW, needs_reason=False)


def _of_incidents(
    timeline: str, severity: Severity = Severity.LOW, *, needs_reason: bool = False, does: str = ""
) -> Act:
    return Act(
        targets=(TargetType.INCIDENT,),
        permission="manage_incidents",
        severity=severity,
        needs_reason=needs_reason,
        timeline=timeline,
        does=does,
    )


_WITH_IT: Final = "Steps that depend on it are cancelled, where the edge does not say otherwise."


class Action(StrEnum):
    """The name of an act, with its ``row``."""

    row: Act

    def __new__(cls, name: str, row: Act) -> Self:
        """One line is the name and the row."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.row = row
        return member

    JOB_RESCUE = (
        "job_rescue",
        _repair(
            TargetType.JOB, takes_away=True, runs_again=True, does="The job is taken from its executor, and runs again."
        ),
    )
    JOB_RETRY = (
        "job_retry",
        _repair(TargetType.JOB, runs_again=True, does="The job runs again, with an attempt left for it."),
    )
    JOB_CANCEL = (
        "job_cancel",
        _repair(
            TargetType.JOB,
            Severity.HIGH,
            tells=True,
            does=f"An idle job is cancelled; an executing one is asked to stop. {_WITH_IT}",
        ),
    )
    JOB_DISCARD = (
        "job_discard",
        _repair(
            TargetType.JOB,
            Severity.HIGH,
            takes_away=True,
            does=f"The job ends, discarded: it does not run again. {_WITH_IT}",
        ),
    )
    STEP_RETRY = (
        "step_retry",
        _repair(
            TargetType.STEP,
            runs_again=True,
            does="The step runs again, and what was cancelled because of it waits for it again.",
        ),
    )
    STEP_CANCEL = (
        "step_cancel",
        _repair(
            TargetType.STEP,
            Severity.HIGH,
            tells=True,
            does=f"The step is cancelled; its executing job is asked to stop. {_WITH_IT}",
        ),
    )
    STEP_COMPLETE = (
        "step_complete",
        _repair(
            TargetType.STEP, Severity.HIGH, does="The step is completed with a result that you give; nothing runs."
        ),
    )
    STEP_SKIP = (
        "step_skip",
        _repair(TargetType.STEP, Severity.HIGH, does="The step is passed over, and what depends on it goes on."),
    )
    STEP_HOLD = "step_hold", _repair(TargetType.STEP, does="The step does not start before the hold ends.")
    STEP_RELEASE = "step_release", _repair(TargetType.STEP, does="The hold ends, and the step starts when it is ready.")
    STEP_PUBLISH = "step_publish", _act(TargetType.STEP, permission=_EXECUTE, severity=Severity.LOW)
    LATE_RESULT_ADOPT = (
        "late_result_adopt",
        _repair(TargetType.LATE_RESULT, does="The late result becomes the job's own."),
    )
    LATE_RESULT_DISMISS = (
        "late_result_dismiss",
        _repair(TargetType.LATE_RESULT, Severity.HIGH, does="The late result is put aside; nothing else changes."),
    )
    WORKFLOW_CANCEL = (
        "workflow_cancel",
        _repair(
            TargetType.WORKFLOW,
            Severity.SEVERE,
            tells=True,
            does="Steps that wait are cancelled; executing jobs are asked to stop.",
        ),
    )
    WORKFLOW_RETRY = (
        "workflow_retry",
        _repair(
            TargetType.WORKFLOW,
            Severity.HIGH,
            runs_again=True,
            does="Every failed step runs again, and what was cancelled because of it waits for it again.",
        ),
    )
    WORKFLOW_HOLD = "workflow_hold", _repair(TargetType.WORKFLOW, does="No step of it starts before the hold ends.")
    WORKFLOW_RELEASE = (
        "workflow_release",
        _repair(TargetType.WORKFLOW, does="The hold of each step ends, and those that are ready start."),
    )
    EXECUTOR_RESCUE_ALL = (
        "executor_rescue_all",
        _repair(
            TargetType.EXECUTOR,
            Severity.HIGH,
            takes_away=True,
            runs_again=True,
            does="Each job that it had in hand runs again, except those that must never run twice.",
        ),
    )
    CALLBACK_RETRY = (
        "callback_retry",
        _repair(TargetType.CALLBACK, runs_again=True, does="The callback is called again."),
    )
    SIGNAL_REDIRECT = (
        "signal_redirect",
        _repair(
            TargetType.SIGNAL,
            Severity.HIGH,
            aimed=True,
            does="The waiting step takes the signal, whatever name and key it waits for.",
        ),
    )
    SIGNAL_DISCARD = "signal_discard", _repair(TargetType.SIGNAL, does="No later wait takes the signal.")
    PREVIEW_REPAIR = "preview_repair", _harmless(*_REPAIRABLE, permission="preview_repair")
    EXECUTE_REPAIR = "execute_repair", _act(*_REPAIRABLE, permission=_EXECUTE)
    REPAIR_APPROVE = (
        "repair_approve",
        _act(
            *_REPAIRABLE,
            permission="approve_repair",
            severity=Severity.HIGH,
            does="Whoever previewed it may execute exactly what you have read.",
        ),
    )
    PREVIEW_BULK = "preview_bulk", _harmless(TargetType.BULK, permission="preview_bulk")
    EXECUTE_BULK = "execute_bulk", _act(TargetType.BULK, permission="execute_bulk", severity=Severity.SEVERE)
    INCIDENT_ACKNOWLEDGE = (
        "incident_acknowledge",
        _of_incidents("acknowledged", does="Others see that you have seen it."),
    )
    INCIDENT_ASSIGN = "incident_assign", _of_incidents("assigned", does="Others see who takes care of it.")
    INCIDENT_NOTE = "incident_note", _of_incidents("noted", does="The note stands in its timeline.")
    INCIDENT_MUTE = (
        "incident_mute",
        _of_incidents("muted", Severity.MEDIUM, needs_reason=True, does="No message is sent about it until then."),
    )
    ARCHIVE_PRUNE = (
        "archive_prune",
        _act(TargetType.RECORDS, permission="archive_prune", severity=Severity.SEVERE),
    )
    AUDIT_EXPORT = "audit_export", _harmless(TargetType.AUDIT, permission="audit_export")
    MANAGE_WEBHOOKS = "manage_webhooks", _act(TargetType.WEBHOOK, permission="manage_webhooks")
    QUEUE_PAUSE = (
        "queue_pause",
        _act(
            TargetType.QUEUE,
            permission="manage_queues",
            severity=Severity.HIGH,
            does="Its executors take no more jobs; what runs goes on.",
        ),
    )
    QUEUE_RESUME = (
        "queue_resume",
        _act(TargetType.QUEUE, permission="manage_queues", does="Its executors take jobs again."),
    )
    QUEUE_SCALE = (
        "queue_scale",
        _act(
            TargetType.QUEUE,
            permission="manage_queues",
            does="Each of its executors may run so many jobs at once, until it is started anew.",
        ),
    )
    REVEAL_VALUE = (
        "reveal_value",
        _act(
            TargetType.JOB,
            TargetType.STEP,
            TargetType.WORKFLOW,
            permission="reveal_value",
            severity=Severity.HIGH,
            does="You see the value as it is stored, with what the display policy hides of it.",
        ),
    )
    SETTINGS_CHANGE = "settings_change", _act(TargetType.SETTING, permission="settings_change", severity=Severity.HIGH)


SHORTEST_REASON: Final = 8
"""Characters of a reason, after trimming, of every act that needs one."""

UNKNOWN: Final = "unknown"
"""The name recorded for an act that does not exist."""

REPAIRS: Final = tuple(act for act in Action if act.row.previewed)
"""What can be previewed and executed."""

IN_BULK: Final = tuple(act for act in Action if act.row.in_bulk)
"""What a bulk repair can do."""


def repairs_of(target: TargetType) -> tuple[Action, ...]:
    """The repairs whose target is of this type."""
    return tuple(act for act in REPAIRS if target in act.row.targets)
