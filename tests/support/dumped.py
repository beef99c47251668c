"""Every row of our tables and of Oban's jobs, to compare a database before and after."""

from typing import Any

from psycopg import AsyncConnection, sql

TABLES = """
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (n.nspname = 'powertools' OR c.relname IN ('oban_jobs', 'oban_producers', 'oban_leaders'))
ORDER BY 1, 2
"""


async def dumped(conn: AsyncConnection[Any]) -> dict[str, list[str]]:
    """Table -> its rows as text, sorted."""
    dump: dict[str, list[str]] = {}
    for row in await (await conn.execute(TABLES)).fetchall():
        schema, name = row if isinstance(row, tuple) else row.values()
        table = sql.Identifier(schema, name)
        rows = await (
            await conn.execute(sql.SQL("SELECT t::text AS line FROM {} t ORDER BY 1").format(table))
        ).fetchall()
        dump[f"{schema}.{name}"] = [line[0] if isinstance(line, tuple) else line["line"] for line in rows]
    return dump
