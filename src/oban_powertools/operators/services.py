"""The services that every call needs, built once by the composition root and passed down as one object.

Nothing below the root has a default of its own: a missing service fails at the root.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ..config import Settings
from ..database import Connect, Connection, ConnectListener, Queries, Session
from ..database.oban import caller_connection
from ..privacy.display import DisplayPolicy
from .authorization import Guard


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
