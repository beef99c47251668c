"""Run a command on a workflow: an operation on its rows, in a transaction of ours or in the caller's own.

A command is authorized, carried out and recorded as every operation (``audit.operations``); its record has the state of
its target before and after. The host's own program, which reports what happened, is asked for nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from ..acts import Action
from ..arguments import as_text, as_workflow_id, unless_none
from ..database import Session
from ..database.json_border import storable_text
from ..errors import UnsupportedRecoveryActionError
from ..states import RecoveryAction, WorkflowId
from .audit import Operation, Operations, check_attributed
from .authorization import ActorLike, Target
from .authorization.targets import with_facts
from .services import Services

_PASS_OVER_JOBS: Final = (Action.STEP_HOLD, Action.STEP_RELEASE, Action.STEP_PUBLISH)
"""Acts on a step that skip a job which another session is changing."""


@dataclass(slots=True, kw_only=True)
class Command:
    """A command while it is carried out."""

    operation: Operation
    """Its operation."""

    session: Session
    """In its transaction."""

    workflow_id: WorkflowId
    """Its workflow."""

    before: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further facts of the state before, for its record."""

    after: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further facts of the state after."""


class Commander:
    """Carries commands out."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._operations = Operations(services)

    @asynccontextmanager
    async def command(
        self,
        act: Action | None,
        workflow_id: int | str,
        step: str | None,
        actor: ActorLike,
        reason: str | None,
        source: str,
        *,
        conn: Any,
        **details: Any,
    ) -> AsyncGenerator[Command]:
        """Authorize a command and open the transaction in which the caller carries it out; it is recorded at the end.

        Args:
            act: None when there is no such act, but the one that ``details`` says was ``asked``; it is refused.
            actor: ``HOST`` for the host's own program, which reports what happened.
            conn: The caller's connection to join, in any form that ``insert`` takes; None for one of our own.
            details: Further arguments, for the record.

        Raises:
            InvalidArgumentError: An argument is not what it should be.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Refused before anything was done.
        """
        name = unless_none(as_text, "step", step)
        key = as_workflow_id(workflow_id)
        target = Target.of_workflow(key, None if name is None else storable_text(name))
        async with self._operations.begin(
            actor, act, target, reason=reason, source=source, details=details
        ) as operation:
            if operation.by_host:
                # Hosts report often: nothing is read, the target is recorded by name alone.
                async with operation.transaction(conn) as session:
                    yield Command(operation=operation, session=session, workflow_id=key)
                return
            await self._authorize(operation, conn)
            async with operation.transaction(conn) as session:
                await _lock_target(session, operation)
                _, before = await _find_target(session, target)
                command = Command(operation=operation, session=session, workflow_id=key)
                yield command
                _, after = await _find_target(session, target)
                operation.update(
                    before=before and {**before, **command.before}, after=after and {**after, **command.after}
                )

    async def _authorize(self, operation: Operation, conn: Any) -> None:
        entry = operation.entry
        check_attributed(entry.actor, entry.reason, entry.action)
        if entry.action is None:
            raise UnsupportedRecoveryActionError(entry.details["asked"], list(RecoveryAction))
        async with self._services.transaction(conn) as session:
            target, _ = await _find_target(session, entry.target)
        operation.update(target=target)
        # Outside of any transaction of ours: the host may take its time.
        await operation.authorize()


async def _find_target(session: Session, target: Target) -> tuple[Target, Any]:
    """The target with its facts, and its current state; None when it does not exist."""
    row = await session.one("command_target", {"workflow_id": target.workflow_id, "step": target.step})
    if row is None:
        return target, None
    return with_facts(target, row), row["snapshot"]


async def _lock_target(session: Session, operation: Operation) -> None:
    """Lock the rows that the command will lock, so that its state before is read under the lock.

    Locks: the step's job, unless the command passes over jobs that others change; then the family as settle.
    """
    target = operation.entry.target
    if target.step is not None and operation.action not in _PASS_OVER_JOBS:
        await session.run("lock_step_job", {"workflow_id": target.workflow_id, "step": target.step})
    await session.run("lock_workflow", {"workflow_id": target.workflow_id})
