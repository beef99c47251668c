"""A connection with the queries of its schema: ``Session`` runs our statements.

Not for the settings of a PostgreSQL session (``session_settings``).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from psycopg import AsyncTransaction
from psycopg.abc import AdaptContext
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from .queries import Connection, Queries, execute_query, fetch_all, fetch_one, joined
from .records import record
from .values import ADAPTERS

type Connect = Callable[[], AbstractAsyncContextManager[Session]]
"""Gives a session, for as long as its context lasts."""

type ConnectListener = Callable[[], Awaitable[Connection]]
"""Makes a connection for listening alone."""


class Session:
    """A connection and the queries of its schema.

    Args:
        conn: Any connection: its own cursors, rows and adapters have no effect.
        queries: By name.
    """

    __slots__ = ("conn", "queries")

    def __init__(self, conn: Connection, queries: Queries) -> None:
        self.conn: Connection = conn
        self.queries: Queries = queries

    async def all(
        self, name: str, args: dict[str, Any] | None = None, *, adapters: AdaptContext = ADAPTERS
    ) -> list[DictRow]:
        """All rows of a query as dicts.

        Args:
            adapters: Other than ours.
        """
        return await fetch_all(self.conn, self.queries[name], args, adapters=adapters)

    async def one(self, name: str, args: dict[str, Any] | None = None) -> DictRow | None:
        """The first row of a query as a dict; None when there is none."""
        return await fetch_one(self.conn, self.queries[name], args)

    async def records[R](self, kind: type[R], name: str, args: dict[str, Any] | None = None) -> list[R]:
        """All rows of a query as records of this kind, as ``record`` makes them."""
        return [record(kind, row) for row in await self.all(name, args)]

    async def record[R](self, kind: type[R], name: str, args: dict[str, Any] | None = None) -> R | None:
        """The first row of a query as a record of this kind; None when there is none."""
        row = await self.one(name, args)
        return None if row is None else record(kind, row)

    async def run(self, name: str, args: dict[str, Any] | None = None) -> None:
        """Run a query whose rows, if any, nobody reads."""
        await execute_query(self.conn, self.queries[name], args)

    def transaction(self, *, force_rollback: bool = False) -> AbstractAsyncContextManager[AsyncTransaction]:
        """A transaction, or a savepoint inside one, as psycopg's."""
        return self.conn.transaction(force_rollback=force_rollback)

    def joined(self) -> AbstractAsyncContextManager[None]:
        """A savepoint inside the caller's transaction, which stays the caller's to commit."""
        return joined(self.conn)

    @asynccontextmanager
    async def bounded(self, limit: str = "5s") -> AsyncGenerator[None]:
        """A transaction for large reads: by index only, and cancelled after ``limit``.

        Args:
            limit: PostgreSQL's statement_timeout.
        """
        # A setting for the rest of the transaction outlives a savepoint that is released.
        async with self.conn.transaction(force_rollback=self._is_inside):
            await self.run("bound_reading", {"limit": limit})
            yield

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[None]:
        """A transaction that reads one moment and writes nothing; within a caller's, it reads what that one reads."""
        inside = self._is_inside
        async with self.conn.transaction(force_rollback=inside):
            if not inside:
                await self.conn.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    @property
    def _is_inside(self) -> bool:
        return self.conn.info.transaction_status != TransactionStatus.IDLE
