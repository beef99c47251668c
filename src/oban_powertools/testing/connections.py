"""Pools without tasks of their own: they need no event loop to be opened or closed, and work in whichever calls.

So a fixture that is a plain function makes them, and the tests of every plug-in for asyncio can use them. Not for
programs: nothing bounds how many connections are open.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

type Configure = Callable[[AsyncConnection[Any]], Awaitable[None]]


class LooselyPooled(AsyncConnectionPool[AsyncConnection[Any]]):
    """Connections that are opened when asked for, kept, and closed by ``finish``.

    Args:
        dsn: Their database.
        configure: Called with each new one.
        options: Of each new one.
    """

    def __init__(self, dsn: str, *, configure: Configure, **options: Any) -> None:
        super().__init__(dsn, kwargs=options, min_size=0, max_size=1, open=False)
        self._dsn = dsn
        self._options = options
        self._configured = configure
        self._idle: list[AsyncConnection[Any]] = []
        self._all: list[AsyncConnection[Any]] = []
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
        """A connection that nobody uses."""
        while self._idle:
            conn = self._idle.pop()
            if not conn.closed:
                return conn
        conn = await AsyncConnection.connect(self._dsn, **self._options)
        self._all.append(conn)
        await self._configured(conn)
        return conn

    async def putconn(self, conn: AsyncConnection[Any]) -> None:
        """Take a connection back."""
        if not conn.closed:
            self._idle.append(conn)

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """Nothing is to be done."""

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ARG002 - psycopg's signature
        """As ``finish``."""
        self.finish()

    def finish(self) -> None:
        """Close every connection, now."""
        self._finished = True
        for conn in self._all:
            conn.pgconn.finish()
        self._all.clear()
        self._idle.clear()
