"""Connections and named queries: how every module reaches PostgreSQL.

Not for SQL itself, which lives in ``sql/*.sql``. The rule that must never break: connections of
our own always have timeouts, so that no loop of ours waits for a kernel's TCP limit (O8, F15).
"""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from . import json_border
from .config import Names
from .errors import DatabaseUnavailableError

type Connection = AsyncConnection[Any]

CONNECTION_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "powertools",
}
"""libpq parameters of our connections: seconds, but tcp_user_timeout in milliseconds."""

_ASYNC_OPTIONS: Final = frozenset({"context", "cursor_factory", "row_factory"})
"""What a pool's connections may be given that only fits asynchronous ones."""

_SESSION: Final = b"SET statement_timeout = '60s'; SET lock_timeout = '5s'; SET TimeZone = 'UTC'"


def render(text: str, names: Names) -> bytes:
    """SQL text with the default schema names replaced by the configured ones.

    Files are written for ``powertools`` and ``public.oban_*``; both names were checked by Names.
    """
    if names.schema != "powertools":
        text = re.sub(r"\bpowertools\.", f"{names.schema}.", text)
        text = re.sub(r"\bSCHEMA (IF NOT EXISTS )?powertools\b", rf"SCHEMA \1{names.schema}", text)
        text = re.sub(r"\bpowertools_jobs_", f"{names.schema}_jobs_", text)
    if names.prefix != "public":
        text = re.sub(r"\bpublic\.(oban_\w+)", rf"{names.prefix}.\1", text)
    return text.encode()


class Queries:
    """The named queries of ``sql/queries/*.sql`` for one pair of schema names."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._rendered = {name: render(text, names) for name, text in _read_queries().items()}

    def __getitem__(self, name: str) -> bytes:
        """The text of a query.

        Raises:
            KeyError: No query has this name.
        """
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rendered)


@cache
def _read_queries() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(files("oban_powertools.sql").joinpath("queries").iterdir(), key=lambda f: f.name):
        for block in file.read_text("utf-8").split("-- name: ")[1:]:
            name, _, text = block.partition("\n")
            found[name.strip()] = text.strip()
    return found


async def fetch_all(conn: Connection, query: bytes, args: dict[str, Any] | None = None) -> list[DictRow]:
    """All rows of one statement as dicts."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, args)
        return await cursor.fetchall()


async def fetch_one(conn: Connection, query: bytes, args: dict[str, Any] | None = None) -> DictRow | None:
    """The first row of one statement as a dict; None when there is none."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, args)
        return await cursor.fetchone()


@asynccontextmanager
async def joined(conn: Connection) -> AsyncGenerator[None]:
    """A savepoint inside the caller's transaction, which stays the caller's to commit.

    psycopg's ``transaction()`` would commit on its own where none is open yet, so an implicit
    transaction is begun first; on an autocommit connection it is a transaction of its own.
    """
    if not conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE:
        await conn.execute(b"SELECT")
    async with conn.transaction():
        yield


@asynccontextmanager
async def bounded(conn: Connection, queries: Queries, limit: str = "5s") -> AsyncGenerator[None]:
    """A transaction for reading what may be a lot: by index, and given up in time.

    Args:
        limit: PostgreSQL's statement_timeout.
    """
    async with conn.transaction():
        await conn.execute(queries["bound_reading"], {"limit": limit})
        yield


async def configure(conn: Connection) -> None:
    """Give a connection of ours its timeouts, UTC and exact JSON."""
    set_json_dumps(json_border.dumps, conn)
    set_json_loads(json_border.loads, conn)
    if conn.autocommit:
        await conn.execute(_SESSION)
    else:
        await conn.set_autocommit(True)
        await conn.execute(_SESSION)
        await conn.set_autocommit(False)


async def read_json_fast(conn: Connection) -> None:
    """Have jobs' args and meta read by orjson, as Oban's own command does."""
    set_json_loads(json_border.loads, conn)


def describe(dsn: str) -> str:
    """Where a DSN points, without its password: ``myapp at localhost:5432``."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return "(unreadable DSN)"
    host, port = parts.get("host") or "the local socket", parts.get("port") or 5432
    return f"{parts.get('dbname') or '(default database)'} at {host}:{port}"


async def connect(dsn: str) -> Connection:
    """One autocommit connection of ours, with timeouts.

    Raises:
        DatabaseUnavailableError: The server did not answer or refused; the reason says which.
    """
    try:
        conn = await AsyncConnection.connect(make_conninfo(dsn, **CONNECTION_OPTIONS), autocommit=True)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise DatabaseUnavailableError(describe(dsn), _reason(error)) from error
    await configure(conn)
    return conn


def _reason(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].removeprefix("connection failed: ").strip() if lines else type(error).__name__


async def own_pool(source: AsyncConnectionPool[Any], size: int) -> AsyncConnectionPool[Any]:
    """A small autocommit pool of our own to the database another pool reaches; not yet open.

    Engine progress must not need a connection of the user's pool (P14, F14).
    """
    options = {**CONNECTION_OPTIONS, **await _kwargs(source), "autocommit": True}
    return AsyncConnectionPool(
        await _conninfo(source), kwargs=options, min_size=1, max_size=size, configure=configure, open=False,
        name="powertools", timeout=10,
    )  # fmt: skip


async def own_connection(source: AsyncConnectionPool[Any], dsn: str | None = None) -> Connection:
    """An autocommit connection outside every pool, to the database a pool reaches or to another DSN of it."""
    options: dict[str, Any] = {**CONNECTION_OPTIONS, **({} if dsn else await _kwargs(source)), "autocommit": True}
    return await AsyncConnection.connect(dsn or await _conninfo(source), **options)


async def blocking_connection(source: AsyncConnectionPool[Any], *, hangs_for: float) -> psycopg.Connection[Any]:
    """An autocommit connection for a thread of ours, to the database a pool reaches.

    Args:
        hangs_for: Seconds after which the operating system gives it up when nothing is answered.
    """
    options: dict[str, Any] = {k: v for k, v in (await _kwargs(source)).items() if k not in _ASYNC_OPTIONS}
    options |= {"connect_timeout": max(2, round(hangs_for)), "tcp_user_timeout": round(hangs_for * 1000)}
    merged: dict[str, Any] = {**CONNECTION_OPTIONS, **options, "autocommit": True}
    return psycopg.connect(await _conninfo(source), **merged)


async def _conninfo(source: AsyncConnectionPool[Any]) -> str:
    if isinstance(source.conninfo, str):
        return source.conninfo
    resolved = source.conninfo()
    return resolved if isinstance(resolved, str) else await resolved


async def _kwargs(source: AsyncConnectionPool[Any]) -> dict[str, Any]:
    kwargs = source.kwargs or {}
    if not callable(kwargs):
        return dict(kwargs)
    resolved = kwargs()
    return dict(resolved) if isinstance(resolved, dict) else dict(await resolved)
