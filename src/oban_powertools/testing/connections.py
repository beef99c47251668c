"""Pools without tasks of their own: they need no event loop to be opened or closed, and work in whichever calls.

So a fixture that is a plain function makes them, and the tests of every plug-in for asyncio can use them. Not for
programs: nothing bounds how many connections are open.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Dumper
from psycopg.adapt import AdaptersMap, PyFormat
from psycopg.pq import TransactionStatus
from psycopg.types.json import Json, Jsonb, JsonDumpsFunction, set_json_dumps
from psycopg_pool import AsyncConnectionPool, PoolClosed

from ..database.session_settings import is_pooled

type Configure = Callable[[AsyncConnection[Any]], Awaitable[None]]


class Sessions:
    """Connections to one database that its pools share.

    The first statement of each kind is what takes time in a database that nobody has used before: the server reads its
    catalog and plans, in each session anew.

    Args:
        dsn: Their database.
        configure: Called with each new one.
        options: Of each new one.
    """

    def __init__(self, dsn: str, *, configure: Configure, **options: Any) -> None:
        self._dsn = dsn
        self._options = options
        self._configure = configure
        self._idle: list[AsyncConnection[Any]] = []
        self._all: list[AsyncConnection[Any]] = []

    async def take(self) -> AsyncConnection[Any]:
        """A connection that nobody uses."""
        while self._idle:
            conn = self._idle.pop()
            if not conn.closed:
                return conn
        conn = await AsyncConnection.connect(self._dsn, autocommit=True, **self._options)
        self._all.append(conn)
        await self._configure(conn)
        if not is_pooled(conn):
            # A session of a test is short: a plan for each value is never worth its time.
            conn.prepare_threshold = 1
            await conn.execute("SET plan_cache_mode = force_generic_plan")
        return conn

    async def give_back(self, conn: AsyncConnection[Any]) -> None:
        """Take a connection back."""
        if not conn.closed and conn.info.transaction_status is not TransactionStatus.IDLE:
            await conn.rollback()
        if not conn.closed:
            self._idle.append(conn)

    def finish(self) -> None:
        """Close every connection, now."""
        for conn in self._all:
            conn.pgconn.finish()
        self._all.clear()
        self._idle.clear()


def _json_dumpers(dumps: JsonDumpsFunction | None) -> Sequence[tuple[type, type[Dumper]]]:
    # Of a map of its own, because psycopg derives each from the one that is registered.
    adapters = AdaptersMap(psycopg.adapters)
    if dumps is not None:
        set_json_dumps(dumps, adapters)
    forms = (PyFormat.BINARY, PyFormat.TEXT)
    return [(kind, adapters.get_dumper(kind, form)) for kind in (Json, Jsonb) for form in forms]


class LooselyPooled(AsyncConnectionPool[AsyncConnection[Any]]):
    """Connections that are opened when asked for, and kept.

    Args:
        sessions: What they are taken from.
        autocommit: Whether each statement is a transaction.
        dumps: Writes their JSON; None for psycopg's own.
    """

    def __init__(self, sessions: Sessions, *, autocommit: bool, dumps: JsonDumpsFunction | None = None) -> None:
        super().__init__("", min_size=0, max_size=1, open=False)
        self._sessions = sessions
        self._autocommit = autocommit
        self._dumpers = _json_dumpers(dumps)
        self._finished = False

    @property
    def closed(self) -> bool:
        """Whether it was finished."""
        return self._finished

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncGenerator[AsyncConnection[Any]]:
        """A connection, committed at the end, as psycopg's pool does."""
        conn = await self.getconn(timeout)
        try:
            yield conn
        except BaseException:
            await conn.rollback()
            raise
        else:
            await conn.commit()
        finally:
            await self.putconn(conn)

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:  # noqa: ARG002 - psycopg's signature
        """A connection that nobody uses.

        Raises:
            PoolClosed: It was finished.
        """
        if self._finished:
            raise PoolClosed("the runner is closed")
        conn = await self._sessions.take()
        await conn.set_autocommit(self._autocommit)
        for kind, dumper in self._dumpers:
            conn.adapters.register_dumper(kind, dumper)
        return conn

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        """Take a connection back."""
        await self._sessions.give_back(conn)

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Nothing is to be done."""

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ARG002 - psycopg's signature
        """As ``finish``."""
        self.finish()

    def finish(self) -> None:
        """Close every connection, now, of those who share them too."""
        self._finished = True
        self._sessions.finish()
