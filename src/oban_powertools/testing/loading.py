"""Bring back an exported workflow, row by row as it was.

The rule that must never break: a document that is not what this release knows changes nothing.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ..config import Names
from ..database import Connection
from ..states import WorkflowId
from ..workflows.exporting import EXPORT_FORMAT, EXPORT_VERSION, EXPORTED_TABLES

_COLUMNS: Final = """
SELECT a.attname FROM pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""
_INSERT: Final = sql.SQL(
    "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
    " SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %s)"
)
_CONTINUE: Final = sql.SQL(
    "SELECT setval(s.name, greatest(t.id, nextval(s.name))) FROM (SELECT max(id) AS id FROM {table}) AS t,"
    " pg_get_serial_sequence(%s, 'id') AS s (name) WHERE t.id IS NOT NULL"
)
_BATCH: Final = sql.SQL(
    "INSERT INTO {table} (events, workflow_ids, first_numbers, last_numbers)"
    " VALUES (%s, %s::bigint[], %s::int[], %s::int[]) RETURNING id"
)
_NUMBERED: Final = ("workflows", "waits", "signals", "jobs")


class UnreadableExportError(ValueError):
    """A file holds no exported workflow, or one of another version, or one whose ids are taken here."""


def read_export(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """The document of a file, or what was read from one.

    Raises:
        UnreadableExportError: It is no exported workflow that this release knows.
    """
    document: Any = source if isinstance(source, Mapping) else json.loads(Path(source).read_text("utf-8"))
    if not isinstance(document, Mapping):
        document = {}
    parts = cast("Mapping[str, Any]", document)
    found = (parts.get("format"), parts.get("version"))
    if found != (EXPORT_FORMAT, EXPORT_VERSION):
        message = (
            f"format is {found[0]!r}, version {found[1]!r}; expected {EXPORT_FORMAT!r}, version {EXPORT_VERSION}, "
            "as `powertools workflow export` writes it"
        )
        raise UnreadableExportError(message)
    if missing := [name for name in ("workflow_id", "exported_at", *EXPORTED_TABLES) if name not in parts]:
        raise UnreadableExportError(f"the export lacks {', '.join(missing)}")
    return parts


def age_of(document: Mapping[str, Any]) -> timedelta:
    """How long ago it was exported."""
    return datetime.now(UTC) - datetime.fromisoformat(document["exported_at"])


async def insert_rows(conn: Connection, document: Mapping[str, Any], names: Names) -> WorkflowId:
    """Insert the rows of a document, in one transaction.

    Raises:
        UnreadableExportError: A workflow, or a job, of its has an id that is taken here.
    """
    try:
        async with conn.transaction():
            for name in EXPORTED_TABLES:
                if rows := document[name]:
                    written = (
                        rows if name != "events" else await _as_one_batch(conn, _table_of("event_batches", names), rows)
                    )
                    await _insert(conn, _table_of(name, names), written)
            for name in _NUMBERED:
                table = _table_of(name, names)
                await conn.execute(_CONTINUE.format(table=table), (table.as_string(conn),))
    except psycopg.errors.UniqueViolation as error:
        message = f"something of it is here already, so load it into a database of its own: {error.diag.message_detail}"
        raise UnreadableExportError(message) from error
    return WorkflowId(document["workflow_id"])


async def _as_one_batch(conn: Connection, table: sql.Identifier, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events of many batches, some of which held those of others, as one batch that has no place in the log yet."""
    numbers: dict[int, list[int]] = {}
    for event in events:
        numbers.setdefault(event["workflow_id"], []).append(event["number"])
    bounds = [list(numbers), [min(each) for each in numbers.values()], [max(each) for each in numbers.values()]]
    cursor = await conn.execute(_BATCH.format(table=table), (len(events), *bounds))
    row = await cursor.fetchone()
    assert row is not None
    return [{**event, "batch_id": row[0], "place": place} for place, event in enumerate(events, 1)]


def _table_of(name: str, names: Names) -> sql.Identifier:
    return sql.Identifier(names.prefix, "oban_jobs") if name == "jobs" else sql.Identifier(names.schema, name)


async def _insert(conn: Connection, table: sql.Identifier, rows: list[dict[str, Any]]) -> None:
    cursor = await conn.execute(_COLUMNS, (table.as_string(conn),))
    known = [name for (name,) in await cursor.fetchall()]
    # What a row lacks takes the table's default, and what the table lacks was of another release.
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in known if name in rows[0])
    await conn.execute(_INSERT.format(table=table, columns=columns), (Jsonb(rows),))
