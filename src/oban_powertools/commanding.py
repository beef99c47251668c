"""How a command on a workflow runs: asked of the host's policy, in one transaction with its evidence.

The rule that must never break: what is refused changes nothing and is written down all the same, on a connection of its
own, though everything else rolls back.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import psycopg

from . import telemetry
from .authorization import Guard
from .database import Connection, Queries, joined
from .display import DisplayPolicy
from .errors import CommandRefusedError, NotFoundError
from .oban_hooks import caller_connection
from .telemetry import ACTIONS, Name
from .workflow import evidence
from .workflow.evidence import Command


class Commander:
    """Carries commands out.

    Args:
        connect: An autocommit connection of our own pool.
        guard: Decides whether an operator may do it.
        display: Decides what of it is kept.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Connection]],
        queries: Queries,
        guard: Guard,
        display: DisplayPolicy,
    ) -> None:
        self._connect = connect
        self._queries = queries
        self._guard = guard
        self._display = display

    @asynccontextmanager
    async def commanded(self, command: Command, conn: Any) -> AsyncGenerator[Connection]:
        """The transaction in which the caller carries a command out; it is recorded in the end.

        Args:
            conn: The caller's connection to join, in any form that ``insert`` takes; None for one of our own.

        Raises:
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Refused before anything was done.
        """
        outcome = "failed"
        try:
            if not command.by_host:
                await self._ask(command, conn)
            async with self.transaction(conn) as inside:
                before = None if command.by_host else await self._before(inside, command)
                yield inside
                await evidence.record(inside, self._queries, self._display, command, before=before)
            outcome = "accepted"
        except (CommandRefusedError, NotFoundError) as refusal:
            outcome = "rejected"
            async with self._connect() as own, own.transaction():
                await evidence.record(own, self._queries, self._display, command, refusal=refusal)
            raise
        except Exception as error:
            if not command.by_host:
                await self._note_failure(command, error)
            raise
        finally:
            action = command.action if command.action in ACTIONS else "unknown"
            telemetry.execute(Name.COMMAND, action=action, outcome=outcome)

    @asynccontextmanager
    async def transaction(self, conn: Any) -> AsyncGenerator[Connection]:
        """A transaction of our own, or a savepoint in the caller's."""
        if conn is not None:
            callers = await caller_connection(conn)
            async with joined(callers):
                yield callers
            return
        async with self._connect() as own, own.transaction():
            yield own

    async def _ask(self, command: Command, conn: Any) -> None:
        action = evidence.check_asked(command)
        assert command.actor is not None
        async with self.transaction(conn) as inside:
            target, _ = await evidence.find_target(inside, self._queries, command)
        # Outside of any transaction of ours: the host may take its time.
        await self._guard.check(command.actor, target, action)

    async def _before(self, conn: Connection, command: Command) -> Any:
        await evidence.lock_target(conn, self._queries, command)
        return (await evidence.find_target(conn, self._queries, command))[1]

    async def _note_failure(self, command: Command, error: Exception) -> None:
        # The caller gets the error itself; a database that is away takes no record of it either.
        with suppress(psycopg.Error):
            async with self._connect() as own, own.transaction():
                await evidence.record_failure(own, self._queries, self._display, command, error)
