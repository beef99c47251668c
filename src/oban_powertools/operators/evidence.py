"""Record commands in the audit: who asked for what on which workflow, and the outcome.

The rule that must never break: no operator's change without an actor and a reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ..database import Session
from ..errors import CommandRefusedError, NotFoundError, UnsupportedRecoveryActionError
from ..privacy.display import DisplayPolicy
from ..states import RecoveryAction, WorkflowId
from .audit import Entry, Outcome, check_attributed
from .audit import record as audit
from .authorization import Action, Actor, ActorType, Surface, Target

HOST: Final = Actor(id="host", type=ActorType.SERVICE)
"""The host's own program, which reports what happened instead of asking for a change."""

_PASS_OVER_JOBS: Final = (Action.STEP_HOLD, Action.STEP_RELEASE, Action.STEP_PUBLISH)
"""Acts on a step that skip a job which another session is changing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command on a workflow."""

    act: Action | None
    """The act; None when there is no such act."""

    workflow_id: WorkflowId
    """Its workflow."""

    actor: Actor | None
    """The actor; None when none is given, which is refused."""

    source: Surface = Surface.API
    """The door that it came through."""

    step: str | None = None
    """Its step; None for the whole workflow."""

    reason: str | None = None
    """The reason; None where none is required."""

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further arguments."""

    refusal: CommandRefusedError | None = None
    """Set when the actor claims a reserved identity; the command is refused with it."""

    @property
    def by_host(self) -> bool:
        """Whether the host's own program reports it: no policy is asked."""
        return self.actor is HOST


def check_command(command: Command) -> tuple[Actor, Action]:
    """Refuse a command without an actor, without a required reason, or without a known act.

    Raises:
        UnattributedActorError, ReservedActorError, ReasonRequiredError, UnsupportedRecoveryActionError: As named.
    """
    if command.refusal is not None:
        raise command.refusal
    actor = check_attributed(command.actor, command.reason, command.act)
    if command.act is None:
        raise UnsupportedRecoveryActionError(command.details["asked"], list(RecoveryAction))
    return actor, command.act


async def find_target(session: Session, command: Command) -> tuple[Target, Any]:
    """The command's target with its facts, and its current state; None when it does not exist."""
    target = Target.of_workflow(command.workflow_id, command.step)
    args = {"workflow_id": command.workflow_id, "step": command.step}
    row = await session.one("command_target", args)
    if row is None:
        return target, None
    full_target = replace(
        target,
        workflow_name=row["workflow_name"],
        workflow_tags=tuple(row["tags"]),
        queue=row["queue"],
        worker=row["worker"],
    )
    return full_target, row["snapshot"]


async def lock_target(session: Session, command: Command) -> None:
    """Lock the rows that the command will lock, so that its state before is read under the lock.

    Locks: the step's job, unless the command passes over jobs that others change; then the family as settle.
    """
    if command.step is not None and command.act not in _PASS_OVER_JOBS:
        await session.run("lock_step_job", {"workflow_id": command.workflow_id, "step": command.step})
    await session.run("lock_workflow", {"workflow_id": command.workflow_id})


async def record(
    session: Session,
    display: DisplayPolicy,
    command: Command,
    *,
    before: Any = None,
    after: Mapping[str, Any] | None = None,
    refusal: CommandRefusedError | NotFoundError | None = None,
) -> int:
    """Record a command in the caller's transaction; returns the record's id.

    Args:
        before: Its target's state before it was carried out; None for a report of the host's program.
        after: Further facts of the state after.
        refusal: Why it was refused; None when it was carried out.
    """
    if command.by_host:
        # Hosts report often: nothing is read, the target is recorded by name alone.
        target, state = Target.of_workflow(command.workflow_id, command.step), None
    else:
        target, state = await find_target(session, command)
    if refusal is None:
        now = state if after is None or state is None else {**state, **after}
        return await _audit(session, display, command, target, Outcome.EXECUTED, before=before, after=now)
    facts = {"code": refusal.code, "message": str(refusal), "legal_next_steps": list(refusal.legal_next_steps)}
    return await _audit(session, display, command, target, Outcome.REFUSED, **facts)


async def note(display: DisplayPolicy, command: Command, session: Session, error: Exception) -> None:
    """Record that a command was refused, or that it was allowed and failed."""
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
) -> int:
    entry = Entry(
        actor=command.actor,
        action=command.act,
        target=target,
        outcome=outcome,
        reason=command.reason,
        before=before,
        after=after,
        surface=command.source,
        details={**command.details, **details},
    )
    [record_id] = await audit(session, display, [entry])
    return record_id
