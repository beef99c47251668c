"""The services that every call needs, built once by the composition root and passed down as one object.

Nothing below the root has a default of its own: a missing service fails at the root.
"""

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from ..config import Settings
from ..database import Connect, Connection, ConnectListener, Queries, Session
from ..database.oban import caller_connection
from ..database.sqlstates import Trouble, find_trouble
from ..driving import pause
from ..privacy.display import DisplayPolicy
from .authorization import Guard

_MOST_TRIES: Final = 5
_RANDOM: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """How to connect, and the policies that decide."""

    connect: Connect
    """A session on an autocommit connection, on which one statement is one transaction."""

    connect_listener: ConnectListener
    """A connection for listening alone, outside every pool."""

    queries: Queries
    """The named queries of this database's schemas."""

    settings: Settings
    """What the process was started with."""

    guard: Guard
    """Decides what operators may do."""

    display: DisplayPolicy
    """Decides what is shown and kept of values that may hold secrets."""

    @asynccontextmanager
    async def transaction(self, conn: Any = None) -> AsyncGenerator[Session]:
        """A transaction of our own, or a savepoint in the caller's.

        Args:
            conn: The caller's connection to join, in any form that ``insert`` takes; None for one of our own.
        """
        if conn is None:
            async with self.connect() as session, session.transaction():
                yield session
            return
        session = self.session_on(await caller_connection(conn))
        async with session.joined():
            yield session

    async def run_in_transaction[T](self, conn: Any, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``work`` in one transaction; one of our own begins again when another session got in its way.

        Args:
            work: Called with the session; a repetition must do the same.
        """
        for tries in range(0 if conn is not None else _MOST_TRIES):
            try:
                async with self.transaction() as session:
                    return await work(session)
            except psycopg.Error as error:
                # A lock timeout is not retried: the caller has waited long enough.
                if find_trouble(error) is not Trouble.CONTENDED or isinstance(error, psycopg.errors.LockNotAvailable):
                    raise
                await pause(_RANDOM.uniform(0.01, 0.05) * tries)
        async with self.transaction(conn) as session:
            return await work(session)

    def session_on(self, conn: Connection) -> Session:
        """A session on the caller's connection."""
        return Session(conn, self.queries)


class Facade:
    """The base of a group of calls. A group of several parts passes the same services to each of them.

    A part says ``super().__init__(services)`` first; no two parts of one facade use one attribute for two things.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._connect = services.connect
        self._settings = services.settings
        self._display = services.display
