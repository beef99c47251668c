"""Commands as evidence: who asked for what, and what came of it.

A row of ``commands`` for every command; for those of operators also a record of the audit, with the state before and
after. The rule that must never break: no operator's change without an actor and a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..database import Session, json_border
from ..errors import CommandRefusedError, NotFoundError, UnsupportedRecoveryActionError
from ..privacy.display import DisplayPolicy, Kind
from ..states import RecoveryAction, WorkflowId
from .audit import Entry, Outcome, check_attributed
from .audit import record as audit
from .authorization import Action, Actor, ActorType, Surface, Target

HOST: Final = Actor(id="host", type=ActorType.SERVICE)
"""The host's own program, which tells what happened rather than asks for a repair."""

_OF_A_STEP: Final = {
    "hold": Action.STEP_HOLD,
    "release": Action.STEP_RELEASE,
    "complete_step": Action.STEP_COMPLETE,
    "publish": Action.STEP_PUBLISH,
    "recover_retry": Action.STEP_RETRY,
    "recover_cancel": Action.STEP_CANCEL,
    "recover_complete": Action.STEP_COMPLETE,
    "recover_skip": Action.STEP_SKIP,
}
_OF_A_WORKFLOW: Final = {
    "request_cancel": Action.WORKFLOW_CANCEL,
    "hold": Action.WORKFLOW_HOLD,
    "release": Action.WORKFLOW_RELEASE,
    "recover_retry": Action.WORKFLOW_RETRY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that was asked of a workflow."""

    action: str
    """request_cancel, recover_retry, hold, release, complete_step, publish ..."""

    workflow_id: WorkflowId
    """Which workflow."""

    actor: Actor | None
    """Who asked; None when nobody is named, which is refused."""

    source: Surface = Surface.API
    """Through which door."""

    step: str | None = None
    """Which step; None for the workflow."""

    reason: str | None = None
    """Why; None where no reason is asked for."""

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else was asked."""

    refusal: CommandRefusedError | None = None
    """Why who asked is not taken for who they say they are."""

    @property
    def by_host(self) -> bool:
        """Whether the host's own program tells what happened: nobody is asked, and the audit is not for it."""
        return self.actor is HOST

    @property
    def asks_for(self) -> Action | None:
        """The action as the host's policy and the audit know it; None when there is none of this name."""
        if self.action == "complete_step" and self.details.get("status") != "completed":
            return Action.STEP_CANCEL
        of_a_step = _OF_A_STEP.get(self.action)
        return of_a_step if self.step is not None else _OF_A_WORKFLOW.get(self.action, of_a_step)


def check_asked(command: Command) -> tuple[Actor, Action]:
    """Refuse what nobody asked for, nobody gave a reason for, or nobody knows how to do.

    Raises:
        UnattributedActorError, ReservedActorError, ReasonRequiredError, UnsupportedRecoveryActionError: As named.
    """
    if command.refusal is not None:
        raise command.refusal
    action = command.asks_for
    actor = check_attributed(command.actor, command.reason, action)
    if action is None:
        raise UnsupportedRecoveryActionError(command.action.removeprefix("recover_"), list(RecoveryAction))
    return actor, action


async def find_target(session: Session, command: Command) -> tuple[Target, Any]:
    """What a command is about, with what is known of it; and its state as it is now, None when it does not exist."""
    target = Target.of_workflow(command.workflow_id, command.step)
    args = {"workflow_id": command.workflow_id, "step": command.step}
    row = await session.one("command_target", args)
    if row is None:
        return target, None
    known = replace(
        target, workflow_name=row["workflow_name"], workflow_tags=tuple(row["tags"]), queue=row["queue"],
        worker=row["worker"],
    )  # fmt: skip
    return known, row["snapshot"]


async def lock_target(session: Session, command: Command) -> None:
    """Lock what the command itself locks first, so that its state before is read under the lock.

    Locks: the step's job, unless the command passes over jobs that others change; then the family as settle.
    """
    if command.step is not None and command.action not in ("hold", "release", "publish"):
        await session.run("lock_step_job", {"workflow_id": command.workflow_id, "step": command.step})
    await session.run("lock_workflow", {"workflow_id": command.workflow_id})


async def record(
    session: Session,
    display: DisplayPolicy,
    command: Command,
    *,
    before: Any = None,
    refusal: CommandRefusedError | NotFoundError | None = None,
) -> None:
    """Write a command down, in the caller's transaction: its row, and the audit's record of an operator's command.

    Args:
        before: Its target's state before it was carried out.
        refusal: Why it was refused; None when it was carried out.
    """
    legal: Sequence[str] = refusal.legal_next_steps if refusal else ()
    details = {**command.details, **({"message": str(refusal)} if refusal else {})}
    args = {
        "workflow_id": command.workflow_id,
        "step": command.step,
        "action": command.action,
        "actor": command.actor.id if command.actor else "",
        "source": command.source,
        "reason": command.reason,
        "outcome": "rejected" if refusal else "accepted",
        "reason_code": refusal.code if refusal else None,
        "legal_next_steps": list(legal),
        "details": json_border.dumps(json_border.storable(display.render(Kind.DETAILS, details))),
    }
    # The audit first: a caller may have its constraints checked at once (0021_audited.sql).
    if not command.by_host:
        target, after = await find_target(session, command)
        if refusal is None:
            await _audit(session, display, command, target, Outcome.EXECUTED, before=before, after=after)
        else:
            told = {"code": refusal.code, "message": str(refusal), "legal_next_steps": list(legal)}
            await _audit(session, display, command, target, Outcome.REFUSED, **told)
    await session.run("record_command", args)


async def note(display: DisplayPolicy, command: Command, session: Session, error: Exception) -> None:
    """Write down that a command was refused; or, to the audit, that an operator's was allowed and failed."""
    if isinstance(error, CommandRefusedError | NotFoundError):
        await record(session, display, command, refusal=error)
        return
    target, _ = await find_target(session, command)
    await _audit(session, display, command, target, Outcome.FAILED, error_type=type(error).__name__)


async def _audit(
    session: Session,
    display: DisplayPolicy,
    command: Command,
    target: Target,
    outcome: Outcome,
    *,
    before: Any = None,
    after: Any = None,
    **details: Any,
) -> None:
    action = command.asks_for
    if action is None:
        return
    entry = Entry(
        actor=command.actor, action=action, target=target, outcome=outcome, reason=command.reason, before=before,
        after=after, surface=command.source, details={"command": command.action, **command.details, **details},
    )  # fmt: skip
    await audit(session, display, [entry])
