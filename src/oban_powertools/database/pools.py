"""Open pools and connections of our own to the database of the host's pool.

A process opens at most, beside the host's pool and Oban's notifier: ``Settings.pool_size`` (4) in our pool, 1 for the
heartbeats, 1 that listens when there are subscribers. A host that calls ``powertools.connect()`` gets its own from
another pool, of the same size.

A host's pool may give its parameters as functions; each new connection calls them, because passwords and tokens
change. The rule that must never break: workflows move on without a connection of the host's pool (property/P14,
fault/F14).
"""

import asyncio
import random
import select
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from ..errors import AnotherLoopError, PowertoolsClosedError
from ..privacy.logs import find_logger
from .session_settings import configure, configure_blocking, configure_obans, parameters
from .sqlstates import Trouble, find_trouble

logger: Final = find_logger(__name__)

type HostPool = AsyncConnectionPool[Any]

_FIRST_PAUSE: Final = 0.02
_PAUSE: Final = 0.25
"""The longest pause between two tries of a pool to connect, in seconds; jittered, so that processes do not all come at
once."""

_AGAIN_AFTER: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.4, 0.4)
"""Seconds, at most, until what lost its connection, or met another's change, is tried again; jittered. The first ones
are for a pool full of connections to a server that was restarted."""

_RANDOM: Final = random.SystemRandom()


class Pool(AsyncConnectionPool[AsyncConnection[Any]]):
    """A pool that reconnects as soon as its server is back, and logs the loss and the return once each.

    It connects again after short pauses, for as long as the server is away, and gives out no connection that the
    server has closed, which costs no round trip. Two of psycopg's own steps are taken over for that, because there
    each failed try is a warning in the host's log; tests/database/test_pools.py names them.
    """

    def __init__(self, conninfo: Any = "", **options: Any) -> None:
        super().__init__(conninfo, open=False, **options)
        self._lost_at: float | None = None
        self._asking = asyncio.Lock()
        self._home: asyncio.AbstractEventLoop | None = None

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:
        """As psycopg's; belongs to the running event loop from now on."""
        self._home = asyncio.get_running_loop()
        await super().open(wait=wait, timeout=timeout)

    async def getconn(self, timeout: float | None = None) -> AsyncConnection[Any]:
        """As psycopg's, but of a connection that lives as far as this machine knows.

        Raises:
            AnotherLoopError: The pool was opened in another event loop; in this one its locks work only by luck.
        """
        if self._home is not None and asyncio.get_running_loop() is not self._home:
            raise AnotherLoopError
        while True:
            conn = await super().getconn(timeout)
            if lives(conn):
                return conn
            await conn.close()
            await self.putconn(conn)

    async def _putconn(self, conn: AsyncConnection[Any], from_getconn: bool) -> None:
        # A connection that was broken before its use is replaced without a warning.
        await super()._putconn(conn, from_getconn=from_getconn or conn.closed)

    async def _connect(self, timeout: float | None = None) -> AsyncConnection[Any]:
        try:
            return await super()._connect(timeout)
        except Exception as error:
            if self.closed:
                raise
            self._lose(error)
        # Only one task at a time tries whether the server is back.
        async with self._asking:
            return await self._connect_again(timeout)

    async def _connect_again(self, timeout: float | None) -> AsyncConnection[Any]:
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause * _RANDOM.uniform(0.4, 1))
            pause = min(_PAUSE, pause * 2)
            try:
                conn = await super()._connect(timeout)
            except Exception as error:
                if self.closed:
                    raise
                self._lose(error)
            else:
                self._find()
                return conn

    def _lose(self, error: Exception) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            logger.warning("the pool %s cannot connect, and tries until it can: %s", self.name, error)

    def _find(self) -> None:
        if self._lost_at is not None:
            logger.warning("the pool %s connects again, after %.1f s", self.name, time.monotonic() - self._lost_at)
            self._lost_at = None


def lives(conn: AsyncConnection[Any] | psycopg.Connection[Any]) -> bool:
    """Whether the connection still lives, as far as this machine has heard: a server that ends one says so unasked."""
    try:
        poll = select.poll()
        poll.register(conn.fileno(), select.POLLIN)
        # The server's last message comes first, then the end of the stream.
        while poll.poll(0):
            conn.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return conn.pgconn.status == psycopg.pq.ConnStatus.OK


async def soon_again[T](ask: Callable[[], Awaitable[T]], stopping: asyncio.Event) -> T:
    """What ``ask`` answers on some connection of a host's pool, tried again for a second or two.

    Raises:
        psycopg.OperationalError: It went on failing, or the pool has waited long enough by itself.
    """
    for pause in _AGAIN_AFTER:
        try:
            return await ask()
        except (PoolTimeout, PoolClosed):
            raise
        except psycopg.Error as error:
            if stopping.is_set() or find_trouble(error) is Trouble.REFUSED:
                raise
            logger.debug("asking again: %s", error)
            await asyncio.sleep(pause * _RANDOM.uniform(0.5, 1))
    return await ask()


@asynccontextmanager
async def taken(pool: HostPool) -> AsyncGenerator[AsyncConnection[Any]]:
    """A connection of a pool, committed at the end.

    Raises:
        PowertoolsClosedError: The pool is closed, or not open yet.
    """
    async with AsyncExitStack() as stack:
        try:
            conn = await stack.enter_async_context(pool.connection())
        except PoolClosed as error:
            raise PowertoolsClosedError from error
        yield conn


async def resolve(source: HostPool) -> dict[str, Any]:
    """The parameters of a new connection to the pool's database, as the pool's functions return them now."""
    return parameters(await _conninfo(source), await _kwargs(source))


def may_change(source: HostPool) -> bool:
    """Whether a pool asks functions how to connect."""
    return callable(source.conninfo) or callable(source.kwargs)


def own_pool(source: HostPool, size: int, *, min_size: int = 1, name: str = "powertools") -> Pool:
    """A small autocommit pool of our own to the database another pool reaches; not yet open.

    Args:
        min_size: Connections that stay open while nothing uses them.
        name: For the log.
    """

    async def options() -> dict[str, Any]:
        return {**await resolve(source), "autocommit": True}

    return Pool(kwargs=options, min_size=min_size, max_size=size, configure=configure, name=name, timeout=10)


def obans_pool(dsn: str, **options: Any) -> Pool:
    """A pool that we make for Oban; not yet open.

    Args:
        options: As ``AsyncConnectionPool``'s: its sizes and times.
    """
    return Pool(make_conninfo("", **parameters(dsn)), configure=configure_obans, name="oban", **options)


async def own_connection(source: HostPool, dsn: str | None = None) -> AsyncConnection[Any]:
    """An autocommit connection outside every pool, to the database a pool reaches or to another DSN of it."""
    options = parameters(dsn) if dsn else await resolve(source)
    conn = await AsyncConnection.connect(**options, autocommit=True)
    await configure(conn)
    return conn


def blocking_connection(options: dict[str, Any], *, hangs_for: float) -> psycopg.Connection[Any]:
    """An autocommit connection for a thread of ours.

    Args:
        options: As ``resolve`` found them.
        hangs_for: Seconds after which the operating system gives it up when nothing is answered, and the server a
            statement.
    """
    bounds: dict[str, Any] = {"connect_timeout": max(2, round(hangs_for)), "tcp_user_timeout": round(hangs_for * 1000)}
    merged: dict[str, Any] = {**options, **bounds}
    conn = psycopg.connect(**merged, autocommit=True)
    configure_blocking(conn, statement_timeout=f"{round(hangs_for * 1000)}ms")
    return conn


async def _conninfo(source: HostPool) -> str:
    if isinstance(source.conninfo, str):
        return source.conninfo
    resolved = source.conninfo()
    return resolved if isinstance(resolved, str) else await resolved


async def _kwargs(source: HostPool) -> dict[str, Any]:
    kwargs = source.kwargs or {}
    if not callable(kwargs):
        return dict(kwargs)
    resolved = kwargs()
    return dict(resolved) if isinstance(resolved, dict) else dict(await resolved)
