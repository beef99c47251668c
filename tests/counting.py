"""Counts statements where they are executed: what PostgreSQL runs, and what a client sends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import Diagnostic


class SendingCursor(AsyncCursor[Any]):
    """Remembers what goes to the server."""

    sent: list[str]

    async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        self.sent.append(_text(query))
        return await super().execute(query, *args, **options)

    def copy(self, statement: Any, *args: Any, **options: Any) -> Any:
        self.sent.append(_text(statement))
        return super().copy(statement, *args, **options)


def count_sent(conn: AsyncConnection[Any]) -> list[str]:
    """Everything this connection sends from now on, BEGIN and COMMIT aside."""
    sent: list[str] = []
    conn.cursor_factory = type("SendingCursor", (SendingCursor,), {"sent": sent})
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
