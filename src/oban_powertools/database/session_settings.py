"""The settings and timeouts of every session that we open, and which of the host's parameters it keeps.

Not for the caller's sessions: there our SQL works with whatever settings it finds. The rule that must never break: our
sessions have timeouts, so that no loop waits for the kernel's TCP limit (oban/O8, fault/F15), and the locks of a
machine that was cut off are released.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import orjson
from psycopg import AsyncConnection, AsyncCursor, Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_dumps, set_json_loads

from . import json_border

SESSION_SETTINGS: Final[Mapping[str, str]] = {
    # psycopg and our SQL rely on these formats.
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "transform_null_equals": "off",
    # A statement that follows a lock sees what was committed before it.
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # A session that vanishes releases its locks: through the server's probes, and through timeouts where something
    # still answers those.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    # A session that only listens, or waits in a pool, stays.
    "idle_session_timeout": "0",
}
"""Setting -> its value in every session that we open, in those of the pools that we make for Oban too.

``client_encoding`` comes with the connection (``CONNECTION_OPTIONS``).
"""

OWN_BOUNDS: Final[Mapping[str, str]] = {"statement_timeout": "60s", "lock_timeout": "5s"}
"""Setting -> its value in the sessions that only we use; the host's statements have no such limit."""

FOLLOWED_BY_POOLERS: Final = ("TimeZone", "DateStyle", "standard_conforming_strings")
"""Settings that pgbouncer restores for each of its clients. Any other would stay in the session and reach the pooler's
next client."""

CONNECTION_OPTIONS: Final[Mapping[str, Any]] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "client_encoding": "UTF8",
}
"""libpq parameters of our connections: seconds, but tcp_user_timeout in milliseconds."""

APPLICATION: Final = "powertools"
"""Appended to the host's ``application_name``, or the whole name where it has none."""

_LONGEST_NAME: Final = 63
"""Bytes of an ``application_name`` that PostgreSQL keeps."""

_OF_PSYCOPG: Final = frozenset({"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"})
"""Options of psycopg that a host may set on its connections and that are not libpq's; ours do not take them over."""

_SET: Final = """
SELECT set_config(s.key, s.value, false)
FROM jsonb_each_text(%(settings)s::jsonb) AS s (key, value)
WHERE s.key = ANY (%(followed)s::text[]) OR pg_backend_pid() = %(pid)s::int
"""
"""A pooler answers the protocol's key request itself, with a number of its own: that tells it from a server."""


def parameters(dsn: str, host_options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The libpq parameters of a connection of ours, from those of the host's.

    Args:
        dsn: The host's.
        host_options: Further parameters of the host's connections; they win over ours.
    """
    hosts = {name: value for name, value in (host_options or {}).items() if name not in _OF_PSYCOPG}
    merged: dict[str, Any] = {**conninfo_to_dict(dsn), **CONNECTION_OPTIONS, **hosts}
    if name := merged.get("application_name") or os.environ.get("PGAPPNAME"):
        merged["application_name"] = _appended(name)
    else:
        # A service file may still set the name.
        merged["fallback_application_name"] = APPLICATION
    return merged


def _appended(name: str) -> str:
    suffix = f" {APPLICATION}"
    if name == APPLICATION or name.endswith(suffix):
        return name
    prefix = name.encode()[: _LONGEST_NAME - len(suffix)].decode(errors="ignore")
    return prefix + suffix


async def configure(conn: AsyncConnection[Any]) -> None:
    """Set the settings, timeouts and exact JSON of a connection of ours; autocommit stays as it is."""
    set_json_dumps(json_border.dumps, conn)
    set_json_loads(json_border.loads, conn)
    await _set(conn, {**SESSION_SETTINGS, **OWN_BOUNDS})


async def configure_obans(conn: AsyncConnection[Any]) -> None:
    """Set the settings of a connection of a pool that we make for Oban; args and meta are read as by Oban's command."""
    set_json_loads(json_border.loads, conn)
    await _set(conn, SESSION_SETTINGS)


def configure_blocking(conn: Connection[Any], *, statement_timeout: str) -> bool:
    """Give a connection of a thread of ours, in autocommit, its settings and bounds.

    Args:
        statement_timeout: Of its statements.
    """
    settings = {**SESSION_SETTINGS, **OWN_BOUNDS, "statement_timeout": statement_timeout}
    try:
        cursor = conn.execute(_SET, _set_args(conn, settings))
    except BaseException:
        conn.close()
        raise
    return _is_direct(conn, cursor.rowcount, settings)


async def _set(conn: AsyncConnection[Any], settings: Mapping[str, str]) -> None:
    try:
        await _set_all(conn, settings)
    except BaseException:  # when cancelled, too: the caller does not have the connection yet and could not close it
        await conn.close()
        raise


async def _set_all(conn: AsyncConnection[Any], settings: Mapping[str, str]) -> None:
    autocommit = conn.autocommit
    await conn.set_autocommit(True)
    async with AsyncCursor(conn, row_factory=tuple_row) as cursor:
        await cursor.execute(_SET, _set_args(conn, settings))
        direct = _is_direct(conn, cursor.rowcount, settings)
    if not direct:
        # It is sent with each BEGIN, so it does not stay in the session.
        await conn.set_isolation_level(IsolationLevel.READ_COMMITTED)
    await conn.set_autocommit(autocommit)


def is_pooled(conn: AsyncConnection[Any]) -> bool:
    """Whether a pooler stands between a connection of ours and the server, so that its session is not ours alone."""
    return conn.prepare_threshold is None


def _set_args(conn: AsyncConnection[Any] | Connection[Any], settings: Mapping[str, str]) -> dict[str, Any]:
    return {
        "settings": orjson.dumps(settings).decode(),
        "followed": list(FOLLOWED_BY_POOLERS),
        "pid": conn.info.backend_pid,
    }


def _is_direct(conn: AsyncConnection[Any] | Connection[Any], rows: int, settings: Mapping[str, str]) -> bool:
    direct = rows == len(settings)
    if not direct:
        # A statement prepared in one session is missing in the next one that a pooler hands out.
        conn.prepare_threshold = None
    return direct
