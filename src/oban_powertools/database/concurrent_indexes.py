"""Build and drop indexes beside running workers: statements outside a transaction, repeated after deadlocks.

Not for what a migration records (``schema``). The rule that must never break: an index that an interrupted build left
is dropped and built anew, as it answers nothing.
"""

from collections.abc import Awaitable, Callable

import psycopg

from ..driving import pause
from . import Connection, Queries, fetch_one, render
from .migrations import Index


async def build_index(conn: Connection, index: Index, queries: Queries) -> None:
    """Build an index that is not there yet; on tables in use, outside a transaction."""
    await _drop_unfinished(conn, index, queries)  # an interrupted build leaves an invalid one
    await wait_and_run(conn, render(index.text, queries.names))


async def wait_and_run(conn: Connection, statement: bytes) -> None:
    """Run what waits for the transactions of others, however long they take."""
    await conn.execute(b"SELECT set_config('lock_timeout', '0', false), set_config('statement_timeout', '0', false)")
    try:
        await conn.execute(statement)
    finally:
        await conn.execute(b"RESET statement_timeout")


async def repeat_after_deadlocks(step: Callable[[], Awaitable[None]]) -> None:
    """Another session is at the same index at the same moment, and one of them had to give way.

    PostgreSQL has no code of its own for two that drop the same index: "tuple concurrently updated" is internal_error.
    """
    while True:
        try:
            return await step()
        except psycopg.errors.DeadlockDetected:
            await pause(0.2)
        except psycopg.errors.InternalError_ as error:
            if "concurrently" not in str(error):
                raise
            await pause(0.2)


async def _drop_unfinished(conn: Connection, index: Index, queries: Queries) -> None:
    await _wait_for_builders(conn, index, queries)
    name = render(f"{index.table.partition('.')[0]}.{index.name}", queries.names).decode()
    row = await fetch_one(conn, queries["schema_index"], {"name": name})
    if row is not None and row["valid"] is False:
        await conn.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())


async def _wait_for_builders(conn: Connection, index: Index, queries: Queries) -> None:
    # A session that is building it holds this lock until it is done, and waits for transactions that began before: who
    # waits in one transaction for long is in a deadlock with it.
    while True:
        try:
            async with conn.transaction():
                await conn.execute(b"SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = 0")
                await conn.execute(render(f"LOCK TABLE {index.table} IN SHARE UPDATE EXCLUSIVE MODE", queries.names))
        except psycopg.errors.LockNotAvailable:
            await pause(0.2)
        else:
            return
