"""What a database's catalog says about our schema, to compare two ways of getting there."""

from typing import Any

from psycopg import AsyncConnection

CATALOG = """
SELECT 'column' AS kind, format('%%s.%%s', c.relname, a.attname) AS name,
  format('%%s %%s %%s %%s', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid)) AS definition
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'v', 'c') AND a.attnum > 0
UNION ALL
SELECT 'constraint', format('%%s.%%s', conrelid::regclass, conname), pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid)
FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace AND prokind = 'f'
UNION ALL
SELECT 'trigger', format('%%s.%%s', t.tgrelid::regclass, tgname), pg_get_triggerdef(t.oid) || tgenabled::text
FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid WHERE p.pronamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid)
FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'table', c.oid::regclass::text, array_to_string(c.reloptions, ',')
FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = %(schema)s::regnamespace
ORDER BY 1, 2
"""


async def catalog(conn: AsyncConnection[Any], schema: str = "powertools") -> dict[tuple[str, str], str | None]:
    """(kind, name) -> definition."""
    rows = await (await conn.execute(CATALOG.encode(), {"schema": schema})).fetchall()
    return {(kind, name): definition for kind, name, definition in rows}
