"""Counts statements where they are executed: what PostgreSQL runs, and what a client sends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import Diagnostic

_WATCHED: WeakKeyDictionary[AsyncConnection[Any], list[str]] = WeakKeyDictionary()
_EXECUTE = AsyncCursor.execute
_COPY = AsyncCursor.copy


async def _execute(cursor: AsyncCursor[Any], query: Any, *args: Any, **options: Any) -> Any:
    _WATCHED.get(cursor.connection, []).append(_text(query))
    return await _EXECUTE(cursor, query, *args, **options)


def _copy(cursor: AsyncCursor[Any], statement: Any, *args: Any, **options: Any) -> Any:
    _WATCHED.get(cursor.connection, []).append(_text(statement))
    return _COPY(cursor, statement, *args, **options)


# Not a cursor_factory: our statements do not ask the connection for its cursors.
for name, watching in (("execute", _execute), ("copy", _copy)):
    setattr(AsyncCursor, name, watching)


def count_sent(conn: AsyncConnection[Any]) -> list[str]:
    """Everything this connection sends from now on, BEGIN and COMMIT aside."""
    sent: list[str] = []
    _WATCHED[conn] = sent
    return sent


@asynccontextmanager
async def count_executed(conn: AsyncConnection[Any]) -> AsyncIterator[list[str]]:
    """Plans of the statements that run on this connection meanwhile, those inside functions and triggers too.

    Superuser only; utility statements (COPY, BEGIN) have no plan.
    """
    plans: list[str] = []

    def remember(notice: Diagnostic) -> None:
        if notice.message_primary and "plan:" in notice.message_primary:
            plans.append(notice.message_primary)

    await conn.execute("LOAD 'auto_explain'")
    if conn.info.server_version >= 16_00_00:  # else there is no such setting, and parameters are not shown
        await conn.execute("SET auto_explain.log_parameter_max_length = 0")
    await conn.execute(
        "SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on; "
        "SET auto_explain.log_level = notice; SET client_min_messages = notice"
    )
    conn.add_notice_handler(remember)
    try:
        yield plans
    finally:
        await conn.execute("SET auto_explain.log_min_duration = -1")
        conn.remove_notice_handler(remember)


def _text(query: Any) -> str:
    return query.decode() if isinstance(query, bytes) else str(query)
