"""The connections of synchronous calls: the caller's, and a pool of our own.

Not for running anything on them (``calls``).
"""

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final, cast

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed

from ..database import Queries, Session, check_dsn
from ..database.blocking import BlockingConnection
from ..database.pools import lives
from ..database.session_settings import OWN_BOUNDS, configure_blocking, parameters
from ..errors import PowertoolsClosedError

_MOST_LAYERS: Final = 5
"""Objects around psycopg's connection, with itself."""

type SyncSource = str | ConnectionPool[Any]
"""A DSN, or the host's pool, whose database and parameters are used."""

type SyncOptions = Callable[[], dict[str, Any]]
"""Asks for the libpq parameters of the next connection."""


def callers_connection(conn: object) -> BlockingConnection:
    """The psycopg connection behind what a caller passed as ``conn``.

    Args:
        conn: A synchronous psycopg connection or cursor; SQLAlchemy's session or connection; Django's connection.

    Raises:
        TypeError: It is none of these, or not on psycopg.
    """
    found = _unwrap(conn)
    if found is None:
        kind = f"{type(conn).__module__.partition('.')[0]}'s {type(conn).__qualname__}"
        message = (
            f"conn needs a synchronous connection on psycopg 3 (postgresql+psycopg:// in SQLAlchemy), found {kind}; "
            "inside asyncio call oban_powertools' asynchronous calls"
        )
        raise TypeError(message)
    return BlockingConnection(found, prepares=False)


def _unwrap(conn: Any) -> psycopg.Connection[Any] | None:
    found: Any = conn
    # SQLAlchemy's session makes its connection in a call; its connection has the driver's below two others.
    for _ in range(_MOST_LAYERS):
        if isinstance(found, psycopg.Connection):
            return cast("Any", found)
        if ensure := getattr(found, "ensure_connection", None):  # Django's connects late
            ensure()
        below: Any = getattr(found, "driver_connection", None) or getattr(found, "connection", None)
        found = below() if inspect.ismethod(below) else below
    return None


class _OwnConnection(psycopg.Connection[Any]):
    """A connection of our pool, with the one that our calls see."""

    blocking: BlockingConnection


def blocking_pool(options: SyncOptions, size: int) -> ConnectionPool[_OwnConnection]:
    """A pool of our own, open; it connects when it is first used."""
    return ConnectionPool(
        kwargs=lambda: {**options(), "autocommit": True},
        connection_class=_OwnConnection,
        configure=_configure,
        check=_check,
        min_size=0,
        max_size=size,
        timeout=10,
        name="powertools-sync",
        open=True,
    )


def options_of(source: SyncSource) -> dict[str, Any]:
    """The libpq parameters of our connections.

    Raises:
        InvalidSettingError: The DSN cannot be read.
    """
    if isinstance(source, str):
        return parameters(check_dsn(source))
    return parameters(_value(source.conninfo), _value(source.kwargs))


def _value(given: Any) -> Any:
    return cast("Callable[[], Any]", given)() if callable(given) else given


def _configure(conn: _OwnConnection) -> None:
    direct = configure_blocking(conn, statement_timeout=OWN_BOUNDS["statement_timeout"])
    conn.blocking = BlockingConnection(conn, prepares=direct)


def _check(conn: _OwnConnection) -> None:
    if not lives(conn):
        raise psycopg.OperationalError("the server has closed this connection")


@asynccontextmanager
async def connecting(pool: ConnectionPool[_OwnConnection], queries: Queries) -> AsyncGenerator[Session]:
    """A session on a connection of the pool; without a loop, getting one blocks this thread."""
    with ExitStack() as stack:
        try:
            conn = stack.enter_context(pool.connection())
        except PoolClosed as error:  # by another thread, meanwhile
            raise PowertoolsClosedError from error
        yield Session(conn.blocking, queries)
