"""Install, upgrade and verify the schema; refuse one that does not fit this release.

The tables are in ``sql/migrations``, the functions in ``sql/functions``. The rule that must never break: migrations
and functions change in one transaction, so that no function meets a table of another release.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from .config import Names
from .database import Connection, Queries, fetch_all, fetch_one, render
from .database.concurrent_indexes import build_index, repeat_after_deadlocks, wait_and_run
from .database.functions import functions_sql
from .database.known_migrations import find_strangers
from .database.migrations import Migration, migrations
from .database.oban_tables import oban_script
from .driving import pause
from .errors import (
    DatabaseEncodingError,
    ReadOnlyDatabaseError,
    SchemaAheadError,
    SchemaBehindError,
    SchemaMissingError,
    SchemaUnknownError,
    SharedJobsTableError,
    UnknownObanSchemaError,
)
from .privacy.logs import first_line
from .wire import AsDict

MINIMUM_SERVER_VERSION: Final = 140000
"""PostgreSQL 14, as libpq counts versions."""

_LOCK_TRIES: Final = 30
_OUTSIDE: Final = "\n-- Run what follows outside a transaction, statement by statement.\n"
_MADE_BY_OTHERS: Final = (
    psycopg.errors.DuplicateFunction,
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateSchema,
    psycopg.errors.DuplicateTable,
    psycopg.errors.UniqueViolation,
)
_OBAN_COLUMNS: Final = frozenset(
    "id state queue worker attempt max_attempts priority args meta tags errors attempted_by inserted_at "
    "scheduled_at attempted_at cancelled_at completed_at discarded_at".split()
)

_OBAN_JSON: Final = ("args", "meta", "errors")
"""Columns that have to be jsonb. Oban's Elixir migrations make errors jsonb[]; their integer attempts work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus(AsDict):
    """What is installed beside what this release needs."""

    schema: str
    """Our schema's name."""

    found: int
    """Version installed; 0 when nothing is."""

    expected: int
    """Version this release works with."""

    pending: tuple[str, ...]
    """Names of the migrations that ``upgrade`` would apply; none on a schema that is newer than this release."""

    compatible_from: int
    """The oldest version whose releases work on what is installed; 0 when nothing is."""

    oban_installed: bool
    """Whether Oban's tables exist."""

    others: tuple[str, ...] = ()
    """Other schemas of Powertools on the same jobs, in order: there must be none."""

    strangers: tuple[str, ...] = ()
    """Recorded migrations whose number or name belongs to another one of this release, such as ``3 release``: there
    must be none, as such a schema can neither be worked on nor upgraded."""

    @property
    def is_newer(self) -> bool:
        """Whether a newer release has been here, as in the middle of a rolling deploy."""
        return self.found > self.expected

    @property
    def is_too_new(self) -> bool:
        """Whether this release must not work on it."""
        return self.is_newer and self.compatible_from > self.expected


def sql(names: Names = Names(), *, after: int = 0) -> str:
    """The SQL of an upgrade to this release, for Alembic or Django migrations: migrations, then all functions.

    Args:
        after: Leave out migrations up to this version.

    Returns:
        An empty text when no migration is left. Statements to run outside a transaction come last, under a comment.
    """
    pending = [migration for migration in migrations() if migration.version > after]
    if not pending:
        return ""
    if after == 0:
        return _sql(pending, names).decode()
    outside = [f"{_OUTSIDE}{migration.text}{migration.record}" for migration in pending if migration.indexes]
    text = _sql([migration for migration in pending if not migration.indexes], names)
    return text.decode() + render("\n".join(outside), names).decode()


def _sql(pending: Sequence[Migration], names: Names) -> bytes:
    texts = [f"{migration.in_a_transaction}{migration.record}" for migration in pending]
    return render("\n".join([*texts, functions_sql()]), names)


def roles_sql(names: Names = Names(), *, run: str = "powertools_run", read: str = "powertools_read") -> str:
    """The SQL that creates two roles beside the owner's and grants them what they need.

    Args:
        run: The role of workers and of the application: it can add to the audit, and not change it.
        read: The role that only reads.

    Raises:
        InvalidSettingError: A name is not a plain lower-case identifier.
    """
    # Checked as the names of schemas are.
    Names(schema=run, prefix=read)
    text = render(files("oban_powertools.database.sql").joinpath("roles.sql").read_text("utf-8"), names).decode()
    return re.sub(r"\bpowertools_(run|read)\b", lambda match: run if match[1] == "run" else read, text)


async def status(conn: Connection, names: Names = Names()) -> SchemaStatus:
    """Read what is installed; changes nothing."""
    row = await fetch_one(conn, Queries(names)["schema_facts"], {"schema": names.schema, "prefix": names.prefix})
    assert row is not None
    installed = await fetch_one(conn, Queries(names)["schema_versions"]) if row["installed"] else None
    versions: list[int] = installed["versions"] if installed else []
    # Compared by name: some numbers were reused before the first release.
    applied: list[str] = installed["names"] if installed else []
    expected = migrations()[-1].version
    newest = max(versions, default=0)
    strangers = find_strangers(zip(versions, applied, strict=True))
    pending = [m for m in migrations() if m.name not in applied and newest <= expected and not strangers]
    first = pending[0].version if pending else newest + 1
    return SchemaStatus(
        schema=names.schema,
        found=max((version for version in versions if version < first), default=0),
        expected=expected,
        compatible_from=installed["compatible_from"] if installed else 0,
        pending=tuple(migration.name for migration in pending),
        oban_installed=row["oban_columns"] is not None,
        others=tuple(row["others"]),
        strangers=tuple(f"{number} {name}" for number, name in strangers),
    )


def refuse_unknown(current: SchemaStatus) -> None:
    """Refuse a schema whose migrations are not those of a state that this release knows.

    Raises:
        SchemaUnknownError: It has strangers.
    """
    if current.strangers:
        raise SchemaUnknownError(current.schema, f"migrations {', '.join(current.strangers)}")


async def verify(conn: Connection, names: Names = Names()) -> None:
    """Refuse a schema that does not fit this release.

    Raises:
        SchemaUnknownError: Of a state that this release neither works on nor upgrades.
        SchemaMissingError: Not installed; run ``powertools install``.
        SchemaBehindError: Older; run ``powertools upgrade``.
        SchemaAheadError: Newer, and not compatible with this release; install a newer one.
        UnknownObanSchemaError: Oban's tables are missing, lack a column or have one of another type; or the server is
            older than 14.
        SharedJobsTableError: Another schema of Powertools is on the same jobs.
        DatabaseEncodingError: The database is not in UTF-8.
        ReadOnlyDatabaseError: The session cannot write.
    """
    await _verify_server(conn, names)
    current = await status(conn, names)
    refuse_unknown(current)
    if current.found == 0:
        raise SchemaMissingError(names.schema)
    if current.found < current.expected:
        raise SchemaBehindError(names.schema, current.found, current.expected)
    if current.is_too_new:
        raise SchemaAheadError(names.schema, current.found, current.expected)
    _refuse_others(current, names)
    if not current.oban_installed:
        raise UnknownObanSchemaError(names.prefix, "no table oban_jobs", "Oban's tables (check the prefix)")


def _refuse_others(current: SchemaStatus, names: Names) -> None:
    if current.others:
        raise SharedJobsTableError(names.prefix, names.schema, current.others)


async def _verify_server(conn: Connection, names: Names) -> None:
    row = await fetch_one(conn, Queries(names)["schema_facts"], {"schema": names.schema, "prefix": names.prefix})
    assert row is not None
    if row["read_only"]:
        raise ReadOnlyDatabaseError
    if row["server_version"] < MINIMUM_SERVER_VERSION:
        raise UnknownObanSchemaError(
            names.prefix, f"PostgreSQL {row['server_version'] // 10000}", "PostgreSQL 14 or newer"
        )
    # A session in SQL_ASCII gives texts as bytes.
    encoding: str | bytes = row["encoding"]
    if encoding not in ("UTF8", b"UTF8"):
        raise DatabaseEncodingError(encoding.decode() if isinstance(encoding, bytes) else encoding)
    if row["oban_columns"] is not None and (missing := _OBAN_COLUMNS - set(row["oban_columns"])):
        raise UnknownObanSchemaError(
            names.prefix, f"oban_jobs without {', '.join(sorted(missing))}", "the tables of oban 0.7"
        )
    types: dict[str, str] = row["oban_columns"] or {}
    if others := [f"{name} {types[name]}" for name in _OBAN_JSON if types.get(name, "jsonb") != "jsonb"]:
        raise UnknownObanSchemaError(
            names.prefix,
            f"oban_jobs with {', '.join(others)}",
            "jsonb, as oban 0.7 for Python makes it: tables made by Oban's Elixir migrations do not work",
        )


async def install(conn: Connection, names: Names = Names()) -> list[str]:
    """Install what is missing: Oban's tables, then our schema up to this release.

    Repeating it changes nothing. Concurrent installs wait for one another.

    Returns:
        The names of the migrations that were applied, oldest first; empty when up to date.

    Raises:
        SchemaAheadError: A newer release has been here, and this one no longer works on what it left.
        SchemaUnknownError: A state has been here that this release does not know; nothing was changed.
        UnknownObanSchemaError: Oban's tables are not those of a supported release.
        SharedJobsTableError: Another schema of Powertools is on the same jobs.
        DatabaseEncodingError: The database is not in UTF-8.

    Locks: SHARE UPDATE EXCLUSIVE on our table of migrations, until the end; a short SHARE ROW EXCLUSIVE on
        Oban's jobs table, waited for in slices of 2 s so that a busy queue never stalls behind it.
    """
    await _verify_server(conn, names)
    current = await status(conn, names)
    refuse_unknown(current)
    if not current.oban_installed:
        await _install_oban(conn, names)
    return await upgrade(conn, names)


async def upgrade(conn: Connection, names: Names = Names()) -> list[str]:
    """Apply the migrations that are missing, then all functions and views, in one transaction.

    Indexes built outside a transaction come last, one after another: the schema is at this release when all exist, and
    a repetition continues where an earlier one stopped. Leaves a newer schema unchanged.

    Returns, raises and locks as ``install``, which also brings Oban's tables.
    """
    current = await status(conn, names)
    refuse_unknown(current)
    if current.is_too_new:
        raise SchemaAheadError(names.schema, current.found, current.expected)
    _refuse_others(current, names)
    # Within a caller's transaction nobody else sees a new schema before its commit, and nothing can be built outside.
    whole = current.found == 0 and conn.info.transaction_status != TransactionStatus.IDLE
    applied = await _apply(conn, names, whole=whole) if current.pending else []
    for migration in migrations():
        if migration.indexes and migration.name in current.pending and migration.name not in applied:
            applied += await _build(conn, migration, names)
    await conn.execute(b"RESET lock_timeout")
    return applied


async def _apply(conn: Connection, names: Names, *, whole: bool) -> list[str]:
    for tries in range(_LOCK_TRIES):
        try:
            return await _apply_once(conn, names, whole=whole)
        except _MADE_BY_OTHERS:
            # What is built outside a transaction comes afterwards, here and there.
            missing = (await status(conn, names)).pending
            if any(migration.name in missing and not migration.indexes for migration in migrations()):
                raise
            return []
        except psycopg.errors.InsufficientPrivilege:
            raise
        except psycopg.errors.ProgrammingError as error:
            # Its tables are not what its migrations say: rolled back, with everything before it.
            raise SchemaUnknownError(names.schema, first_line(error)) from error
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if tries == _LOCK_TRIES - 1:
                raise
            await pause(0.2)
    return []


async def _apply_once(conn: Connection, names: Names, *, whole: bool) -> list[str]:
    async with conn.transaction():
        await conn.execute(b"SET LOCAL lock_timeout = '2s'")
        # Only the owner can take this lock; an advisory one could be held by any role that may connect. On a fresh
        # database there is no such lock: of two concurrent installs, the later one finds the schema created.
        if (await status(conn, names)).found:
            await conn.execute(f"LOCK TABLE {names.schema}.migrations IN SHARE UPDATE EXCLUSIVE MODE".encode())
        missing = (await status(conn, names)).pending
        if not missing:
            return []
        pending = [each for each in migrations() if each.name in missing and (whole or not each.indexes)]
        await conn.execute(_sql(pending, names))
        return [migration.name for migration in pending]


async def _build(conn: Connection, migration: Migration, names: Names) -> list[str]:
    for index in migration.indexes:
        await repeat_after_deadlocks(partial(build_index, conn, index, Queries(names)))
    for drop in migration.drops:
        await repeat_after_deadlocks(partial(wait_and_run, conn, render(drop, names)))
    async with conn.transaction():
        await conn.execute(f"LOCK TABLE {names.schema}.migrations IN SHARE UPDATE EXCLUSIVE MODE".encode())
        if migration.name not in (await status(conn, names)).pending:
            return []
        await conn.execute(render(migration.record, names))
    return [migration.name]


async def _install_oban(conn: Connection, names: Names) -> None:
    try:
        async with conn.transaction():
            await conn.execute(oban_script(names).encode())
    except _MADE_BY_OTHERS:
        if not (await status(conn, names)).oban_installed:
            raise
    except psycopg.errors.DeadlockDetected:
        # Whoever installs at the same moment builds an index on the tables that are there by now.
        await pause(0.2)
        if not (await status(conn, names)).oban_installed:
            raise


async def uninstall(conn: Connection, names: Names = Names()) -> None:
    """Drop our schema with everything in it; Oban's tables and jobs stay.

    Raises:
        SchemaMissingError: There is nothing to drop.
    """
    if (await status(conn, names)).found == 0:
        raise SchemaMissingError(names.schema)
    await conn.execute(f"DROP SCHEMA {names.schema} CASCADE".encode())


async def check_invariants(conn: Connection, names: Names = Names()) -> Sequence[str]:
    """Every violated invariant as one line; empty when the database is sound."""
    rows = await fetch_all(conn, Queries(names)["check_invariants"])
    return [f"{r['invariant']}: workflow {r['workflow_id']} step {r['step_position']}: {r['detail']}" for r in rows]
