"""Run a command on a workflow: ask the host's policy, then change and record in one transaction.

The rule that must never break: a command and its audit record are one transaction, also in the caller's own.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psycopg

from ..acts import Action
from ..arguments import as_reason, as_text, as_workflow_id, unless_none
from ..database import Session
from ..database.json_border import storable_text
from ..database.oban import caller_connection
from ..database.sqlstates import Trouble, find_trouble
from ..errors import ReservedActorError
from ..privacy.display import Kind
from ..states import WorkflowId
from . import evidence
from .audit import Operations
from .authorization import Actor, ActorLike, as_surface, find_actor
from .evidence import HOST, Command
from .services import Services

_MOST_TRIES: Final = 5
_RANDOM: Final = random.SystemRandom()


@dataclass(slots=True, kw_only=True)
class Commanded:
    """A command while it is carried out, and its record afterwards."""

    session: Session
    """In its transaction."""

    before: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further facts of the state before, for its record."""

    after: dict[str, Any] = field(default_factory=dict[str, Any])
    """Further facts of the state after."""

    record_id: int = 0
    """Its record in the audit; 0 until it is carried out."""


class Commander:
    """Carries commands out."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._display = services.display
        self._operations = Operations(services)

    def command(
        self,
        act: Action | None,
        workflow_id: WorkflowId | str,
        step: str | None,
        actor: ActorLike,
        reason: str | None,
        source: str,
        **details: Any,
    ) -> Command:
        """Build a command, with its reason as the display policy shows it.

        Args:
            act: None when there is no such act; it is refused.
            actor: ``HOST`` for the host's own program, which reports what happened.
            details: Further arguments, for the record.

        Raises:
            InvalidArgumentError: An argument is not what it should be.
        """
        text = as_reason(reason)
        acting, refusal = _find(actor)
        name = unless_none(as_text, "step", step)
        return Command(
            act=act,
            workflow_id=as_workflow_id(workflow_id),
            step=None if name is None else storable_text(name),
            actor=acting,
            reason=None if text is None else str(self._display.render(Kind.REASON, storable_text(text))),
            source=as_surface(source),
            details=details,
            refusal=refusal,
        )

    @asynccontextmanager
    async def commanded(self, command: Command, conn: Any) -> AsyncGenerator["Commanded"]:
        """Authorize a command and open the transaction in which the caller carries it out; it is recorded at the end.

        Args:
            conn: The caller's connection to join, in any form that ``insert`` takes; None for one of our own.

        Raises:
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Refused before anything was done.
        """
        note = partial(evidence.note, self._display, command)
        async with self._operations.recording_refusals(note, lambda: command.act, failures=not command.by_host):
            if not command.by_host:
                await self._ask(command, conn)
            async with self.transaction(conn) as inside:
                before = None if command.by_host else await self._before(inside, command)
                doing = Commanded(session=inside)
                yield doing
                before = before and {**before, **doing.before}
                doing.record_id = await evidence.record(
                    inside, self._display, command, before=before, after=doing.after
                )

    @asynccontextmanager
    async def transaction(self, conn: Any) -> AsyncGenerator[Session]:
        """A transaction of our own, or a savepoint in the caller's."""
        if conn is not None:
            callers = await caller_connection(conn)
            inside = self._services.session_on(callers)
            async with inside.joined():
                yield inside
            return
        async with self._services.connect() as own, own.transaction():
            yield own

    async def carry_out[T](self, conn: Any, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction; one of our own begins again when another session got in its way.

        Args:
            work: Called with the session; a repetition must do the same.
        """
        for tries in range(0 if conn is not None else _MOST_TRIES):
            try:
                async with self.transaction(None) as inside:
                    return await work(inside)
            except psycopg.Error as error:
                # A lock timeout is not retried: the caller has waited long enough.
                if find_trouble(error) is not Trouble.CONTENDED or isinstance(error, psycopg.errors.LockNotAvailable):
                    raise
                await asyncio.sleep(_RANDOM.uniform(0.01, 0.05) * tries)
        async with self.transaction(conn) as inside:
            return await work(inside)

    async def _ask(self, command: Command, conn: Any) -> None:
        actor, action = evidence.check_command(command)
        async with self.transaction(conn) as inside:
            target, _ = await evidence.find_target(inside, command)
        # Outside of any transaction of ours: the host may take its time.
        await self._operations.guard.check(actor, target, action)

    async def _before(self, session: Session, command: Command) -> Any:
        await evidence.lock_target(session, command)
        return (await evidence.find_target(session, command))[1]


def _find(value: ActorLike) -> tuple[Actor | None, ReservedActorError | None]:
    """The actor, or the refusal of a reserved one, which is recorded as soon as there is a transaction."""
    try:
        return (HOST if value is HOST else find_actor(value)), None
    except ReservedActorError as refusal:
        return None, refusal
