"""Carry out one operation of an operator: ask the host's policy, then change and record in one transaction.

Every feature goes through here. The rules that must never break: a change and its record are one transaction
(invariant/I4); a refusal changes nothing and is recorded on a connection of its own, so the record stays when
everything else rolls back.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

import psycopg

from ... import telemetry
from ...acts import SHORTEST_REASON, UNKNOWN
from ...arguments import as_reason
from ...database import Session
from ...database.json_border import storable_text
from ...errors import (
    CommandRefusedError,
    NotFoundError,
    ReasonRequiredError,
    ReasonTooShortError,
    UnattributedActorError,
)
from ...privacy.display import Kind
from ...telemetry import Name
from ..authorization import HOST, Action, Actor, ActorLike, Target, as_surface, find_actor
from ..services import Services
from .records import Entry, Outcome
from .writing import write_entries

_OUTCOMES: Final = {"preview_drifted": Outcome.DRIFTED, "preview_expired": Outcome.EXPIRED}
"""Code of an error -> the outcome to record, where it is not simply a refusal."""


def check_attributed(actor: Actor | None, reason: str | None, action: Action | None) -> Actor:
    """Refuse an operation without an actor, or without the reason that its action needs.

    Args:
        action: None for an action that does not exist; it needs a reason, as most do.

    Raises:
        UnattributedActorError, ReasonRequiredError, ReasonTooShortError: As named.
    """
    if actor is None:
        raise UnattributedActorError
    if action is None or action.row.needs_reason:
        check_reason(reason)
    return actor


def check_reason(reason: str | None) -> str:
    """The reason, without blanks around it; refused when it is empty or too short.

    Raises:
        ReasonRequiredError, ReasonTooShortError: It says nothing, or too little.
    """
    text = storable_text((reason or "").strip())
    if not text:
        raise ReasonRequiredError
    if len(text) < SHORTEST_REASON:
        raise ReasonTooShortError(len(text), SHORTEST_REASON)
    return text


class Operations:
    """Opens operations: one for each thing that an operator asks for."""

    def __init__(self, services: Services) -> None:
        self.services: Services = services

    @asynccontextmanager
    async def begin(
        self,
        actor: ActorLike | None,
        action: Action | None,
        target: Target,
        *,
        reason: str | None = None,
        source: str = "api",
        details: Mapping[str, Any] | None = None,
    ) -> "AsyncGenerator[Operation]":
        """Open one operation. An error that refuses or fails it in the block is recorded and raised again.

            async with operations.begin(actor, action, target, reason=reason) as operation:
                await operation.authorize()
                async with operation.transaction() as session:
                    ...

        Args:
            action: None when there is no such act.
            target: With the facts that are known so far; ``update`` adds what is read later.
            details: Further facts for the record, whatever the outcome.

        Raises:
            ReservedActorError: The actor claims to be Powertools itself; the attempt is recorded without an actor.
            InvalidArgumentError: The reason is no text, or there is no such source.
        """
        # The display policy comes first, so that the raw reason is stored nowhere.
        stripped = as_reason(reason)
        rendered = None if stripped is None else self.services.display.render_text(Kind.REASON, storable_text(stripped))
        entry = Entry(
            actor=None,
            action=action,
            target=target,
            outcome=Outcome.EXECUTED,
            reason=rendered,
            surface=as_surface(source),
            details=details or {},
        )
        operation = Operation(self, entry)
        async with self.recording_refusals(operation.note, lambda: operation.entry.action, failures=actor is not HOST):
            operation.update(actor=find_actor(actor))
            yield operation

    @asynccontextmanager
    async def recording_refusals(
        self,
        note: Callable[[Session, Exception], Awaitable[None]],
        find_act: Callable[[], Action | None],
        *,
        failures: bool,
    ) -> AsyncGenerator[None]:
        """Call ``note`` with an error that refuses the block, in a transaction of its own, and raise the error again.

        Emits the outcome as telemetry.

        Args:
            find_act: Returns the act when the block has ended; None when there is no such act.
            failures: Call ``note`` for all other errors, too.
        """
        outcome = "failed"
        try:
            yield
            outcome = "accepted"
        except (CommandRefusedError, NotFoundError) as refusal:
            outcome = "rejected"
            async with self.services.transaction() as own:
                await note(own, refusal)
            raise
        except Exception as error:
            if failures:
                # The caller gets the original error; while the database is away the failure cannot be recorded.
                with suppress(psycopg.Error):
                    async with self.services.transaction() as own:
                        await note(own, error)
            raise
        finally:
            telemetry.execute(Name.COMMAND, action=find_act() or UNKNOWN, outcome=outcome)


class Operation:
    """One operation of an operator, from its authorization to its record."""

    def __init__(self, operations: Operations, entry: Entry) -> None:
        self._operations = operations
        self._recorded: int | None = None
        self.entry: Entry = entry

    @property
    def actor(self) -> Actor:
        """The actor who asks for it.

        Raises:
            UnattributedActorError: No actor is given.
        """
        if self.entry.actor is None:
            raise UnattributedActorError
        return self.entry.actor

    @property
    def action(self) -> Action:
        """The action that they ask for."""
        assert self.entry.action is not None, "an operation is begun for an act"
        return self.entry.action

    @property
    def by_host(self) -> bool:
        """Whether the host's own program reports it: no policy is asked."""
        return self.entry.actor is HOST

    def update(self, **facts: Any) -> None:
        """Replace fields of its ``Entry``, with facts that are known by now."""
        self.entry = replace(self.entry, **facts)

    async def authorize(self, *also: Action, approved: bool = False) -> Actor:
        """Ask the host's policy, with all known facts of the target. Needs no transaction: the host may take its time.

        Args:
            also: Further actions that must be allowed; they are checked first.
            approved: Whether a second person has approved it.

        Returns: The actor.

        Raises:
            UnattributedActorError, ReasonRequiredError, NotAuthorizedError: As named.
        """
        entry = self.entry
        actor = check_attributed(entry.actor, entry.reason, self.action)
        await self._operations.services.guard.check(actor, entry.target, *also, self.action, approved=approved)
        return actor

    @asynccontextmanager
    async def transaction(self, conn: Any = None) -> AsyncGenerator[Session]:
        """Open the transaction in which the caller carries it out; at the end it is recorded, unless it already was.

        Args:
            conn: The caller's connection to join; None for one of our own.
        """
        self._recorded = None  # a retried transaction has rolled its record back
        async with self._operations.services.transaction(conn) as session:
            yield session
            if self._recorded is None:
                await self.record(session)

    @property
    def record_id(self) -> int:
        """Its record in the audit, once its transaction has ended."""
        assert self._recorded is not None, "it was carried out in its transaction"
        return self._recorded

    async def record(self, session: Session) -> None:
        """Record it in a transaction that the caller opened otherwise than by ``transaction``, or before its end."""
        self._recorded = await self._write(session, self.entry)

    async def note(self, session: Session, error: Exception) -> None:
        """Record that it was refused, or failed."""
        if isinstance(error, CommandRefusedError | NotFoundError):
            outcome = _OUTCOMES.get(error.code, Outcome.REFUSED)
            facts = {"code": error.code, "message": str(error), "legal_next_steps": list(error.legal_next_steps)}
        else:
            outcome, facts = Outcome.FAILED, {"error_type": type(error).__name__}
        details = {**self.entry.details, **facts}
        await self._write(session, replace(self.entry, outcome=outcome, before=None, after=None, details=details))

    async def _write(self, session: Session, entry: Entry) -> int:
        [record_id] = await write_entries(session, self._operations.services.display, [entry])
        return record_id
