"""Load the named queries and run them: every module reaches PostgreSQL through here.

The SQL is in ``sql/*.sql``, the settings of a session in ``session_settings``. The rule that must never break: our
statements read and write values in one way, whatever the host configured on its connection.
"""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import AdaptContext
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from ..config import Names
from ..errors import DatabaseUnavailableError, InvalidSettingError
from ..privacy.logs import first_line
from .session_settings import configure, parameters
from .values import ADAPTERS

type Connection = AsyncConnection[Any]

_SCHEMES: Final = ("postgresql://", "postgres://")

_A_DSN: Final = (
    "postgresql://user@host/database (without +driver) with @ : / # % in a password percent-encoded, or key=value pairs"
)


def render(text: str, names: Names) -> bytes:
    """SQL text with the default schema names replaced by the configured ones.

    The files use ``powertools`` and ``public.oban_*``; ``Names`` has checked the configured ones.
    """
    if names.schema != "powertools":
        text = re.sub(r"\bpowertools\.", f"{names.schema}.", text)
        text = re.sub(r"\bSCHEMA (IF NOT EXISTS )?powertools\b", rf"SCHEMA \1{names.schema}", text)
        text = re.sub(r"\bpowertools_jobs_", f"{names.schema}_jobs_", text)
    if names.prefix != "public":
        text = re.sub(r"\bpublic\.(oban_\w+)", rf"{names.prefix}.\1", text)
        text = re.sub(r"\bSCHEMA public\b", f"SCHEMA {names.prefix}", text)
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
    texts: dict[str, str] = {}
    for file in sorted(files("oban_powertools.database.sql").joinpath("queries").iterdir(), key=lambda f: f.name):
        for block in file.read_text("utf-8").split("-- name: ")[1:]:
            name, _, text = block.partition("\n")
            texts[name.strip()] = text.strip()
    return texts


class OwnCursor(AsyncCursor[DictRow]):
    """A cursor for our statements, on any connection.

    The server binds parameters, results come back in binary, and both use our adapters: nothing depends on the
    connection's cursors, rows, adapters and JSON, or on its session's styles.

    Args:
        adapters: Other than ours.
    """

    def __init__(self, conn: Connection, adapters: AdaptContext = ADAPTERS) -> None:
        self._of = adapters.adapters
        super().__init__(conn, row_factory=dict_row)

    @property
    def adapters(self) -> AdaptersMap:
        """The adapters of its values."""
        return self._of


async def fetch_all(
    conn: Connection, query: bytes, args: dict[str, Any] | None = None, *, adapters: AdaptContext = ADAPTERS
) -> list[DictRow]:
    """All rows of one statement as dicts.

    Args:
        adapters: Other than ours.
    """
    async with OwnCursor(conn, adapters) as cursor:
        await cursor.execute(query, args, binary=True)
        return await cursor.fetchall()


async def fetch_one(conn: Connection, query: bytes, args: dict[str, Any] | None = None) -> DictRow | None:
    """The first row of one statement as a dict; None when there is none."""
    async with OwnCursor(conn) as cursor:
        await cursor.execute(query, args, binary=True)
        return await cursor.fetchone()


async def execute_query(conn: Connection, query: bytes, args: dict[str, Any] | None = None) -> None:
    """Run one statement whose rows, if any, nobody reads."""
    async with OwnCursor(conn) as cursor:
        await cursor.execute(query, args)


@asynccontextmanager
async def joined(conn: Connection) -> AsyncGenerator[None]:
    """A savepoint inside the caller's transaction, which stays the caller's to commit.

    On an autocommit connection it is a transaction of its own.
    """
    await begin_callers(conn)
    async with conn.transaction():
        yield


async def begin_callers(conn: Connection) -> None:
    """Begin the caller's transaction where nothing was sent yet: psycopg's ``transaction()`` would commit it."""
    if not conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE:
        await conn.execute(b"SELECT")


def check_dsn(dsn: str) -> str:
    """The DSN, as it was given.

    Raises:
        InvalidSettingError: It cannot be read; the message does not show it, because a password may stand in it.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise InvalidSettingError("the DSN", "unreadable", _A_DSN) from None
    # libpq takes what follows an unescaped @ or / of a password for a host, a port or a database.
    host, port, database = (str(parts.get(part) or "") for part in ("host", "port", "dbname"))
    misread = "@" in host[1:] or ("@" in database and "%40" not in dsn) or not re.fullmatch(r"[0-9,]*", port)
    if misread and dsn.startswith(_SCHEMES):
        raise InvalidSettingError("the DSN", "split inside its password", _A_DSN)
    return dsn


def describe_dsn(dsn: str) -> str:
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
        conn = await AsyncConnection.connect(**parameters(dsn), autocommit=True)
        await configure(conn)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise DatabaseUnavailableError(describe_dsn(dsn), _reason(error)) from error
    return conn


def _reason(error: psycopg.Error) -> str:
    return first_line(error).removeprefix("connection failed: ").strip()
