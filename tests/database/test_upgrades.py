"""Upgrades while releases overlap: an older release on a newer schema, and indexes that are built on tables in use."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from oban_powertools import Powertools, Workflow, schema
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session, connect
from oban_powertools.database.migrations import Migration, migrations, read_migration
from oban_powertools.database.oban_tables import oban_sql
from oban_powertools.errors import SchemaAheadError, SchemaBehindError
from oban_powertools.upkeep.doctor import examine
from tests.database.test_schema import echo
from tests.support.catalog import catalog
from tests.support.command import powertools

LATEST = migrations()[-1].version
LATER = "INSERT INTO powertools.migrations (version, name, compatible_from) VALUES (%s, 'later', %s)"
INDEX = """-- An example. Locks: SHARE UPDATE EXCLUSIVE on the workflows, which holds up no reader or writer.
-- Outside a transaction
-- Compatible from: 24

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS workflows_definition ON powertools.workflows (definition_version)
WHERE definition_version IS NOT NULL;
"""
BUILT = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('powertools.workflows_definition')"


@pytest.fixture
async def installed(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await connect(dsn) as conn:
        yield conn


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Migration:
    """A release with one migration more, which builds an index."""
    added = read_migration(f"{LATEST + 1:04}_definition.sql", INDEX)
    monkeypatch.setattr(schema, "migrations", lambda: (*migrations(), added))
    return added


# An older release on a newer schema


async def test_a_newer_schema_that_is_compatible_is_worked_on_and_left_alone(
    installed: AsyncConnection[Any],
) -> None:
    await installed.execute(LATER, (LATEST + 1, LATEST))
    before = await catalog(installed)

    await schema.verify(installed)

    assert (await schema.install(installed), await schema.upgrade(installed)) == ([], [])
    assert await catalog(installed) == before


async def test_a_workflow_runs_to_its_end_under_an_older_release(dsn: str, installed: AsyncConnection[Any]) -> None:
    await installed.execute(LATER, (LATEST + 1, LATEST))
    workflow = Workflow("older")
    workflow.add("a", echo({"x": 1}))

    async with Powertools.open(dsn, queues={"default": 5}, leadership=False) as powertools:
        handle = await powertools.workflows.insert(workflow)
        record = await handle.wait(timedelta(seconds=20))

    assert record.state == "completed"


@pytest.mark.parametrize("compatible_from", [LATEST + 1, LATEST + 2, None])
async def test_a_newer_schema_that_is_not_compatible_is_refused(
    installed: AsyncConnection[Any], compatible_from: int | None
) -> None:
    await installed.execute(LATER, (LATEST + 1, LATEST))
    await installed.execute(LATER, (LATEST + 2, compatible_from))

    for call in (schema.verify, schema.install, schema.upgrade):
        with pytest.raises(SchemaAheadError, match=f"is at version {LATEST + 2}, this release knows {LATEST}"):
            await call(installed)


async def test_a_later_migration_that_is_compatible_with_more_takes_nothing_back(
    installed: AsyncConnection[Any],
) -> None:
    await installed.execute(LATER, (LATEST + 1, None))
    await installed.execute(LATER, (LATEST + 2, 1))

    assert (await schema.status(installed)).compatible_from == LATEST + 1


async def test_status_and_doctor_say_that_a_newer_release_has_been_here(
    dsn: str, installed: AsyncConnection[Any]
) -> None:
    await installed.execute(LATER, (LATEST + 1, LATEST))

    status = powertools("status", dsn=dsn)
    report = await examine(Session(installed, Queries(Names())))

    assert status.code == 0
    assert re.search(rf"^works from +version {LATEST}$", status.out, re.MULTILINE)
    [note] = [note for note in report.notes if note.check == "schema"]
    assert note.found == f"version {LATEST + 1}, of a newer release"
    assert {"functions", "relations", "triggers"} & {*report.checks} == set()


async def test_status_of_a_schema_that_is_too_new_names_the_version_to_install(
    dsn: str, installed: AsyncConnection[Any]
) -> None:
    await installed.execute(LATER, (LATEST + 3, LATEST + 2))

    status = powertools("status", dsn=dsn)

    assert status.code == 6
    assert f"install a newer oban-powertools, for version {LATEST + 2} at least" in status.out


# Outside a transaction


async def test_an_index_is_built_outside_a_transaction_and_noted_last(
    installed: AsyncConnection[Any], later: Migration
) -> None:
    with pytest.raises(SchemaBehindError):
        await schema.verify(installed)

    assert await schema.upgrade(installed) == [later.name]
    assert await (await installed.execute(BUILT)).fetchall() == [(True,)]
    await schema.verify(installed)
    assert (await schema.status(installed)).compatible_from == 24


async def test_a_build_that_was_cut_off_is_done_anew(installed: AsyncConnection[Any], later: Migration) -> None:
    twins = "INSERT INTO powertools.workflows (name, total, open, root_id, definition_version) VALUES "
    await installed.execute(twins.encode() + b"('a', 1, 1, 1, 'v'), ('b', 1, 1, 2, 'v')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await schema.upgrade(installed)
    assert await (await installed.execute(BUILT)).fetchall() == [(False,)]
    assert (await schema.status(installed)).pending == (later.name,)
    await installed.execute("DELETE FROM powertools.workflows WHERE name = 'b'")

    assert await schema.upgrade(installed) == [later.name]
    assert await (await installed.execute(BUILT)).fetchall() == [(True,)]


async def test_a_build_whose_note_was_lost_is_not_done_again(installed: AsyncConnection[Any], later: Migration) -> None:
    await schema.upgrade(installed)
    await installed.execute("DELETE FROM powertools.migrations WHERE version = %s", (later.version,))
    oid = "SELECT 'powertools.workflows_definition'::regclass::oid"
    before = await (await installed.execute(oid)).fetchone()

    assert await schema.upgrade(installed) == [later.name]
    assert await (await installed.execute(oid)).fetchone() == before


@pytest.mark.usefixtures("installed", "later")
async def test_upgrades_at_once_build_one_valid_index(dsn: str) -> None:
    async def upgrade() -> list[str]:
        async with await connect(dsn) as conn:
            return await schema.upgrade(conn)

    applied = await asyncio.gather(upgrade(), upgrade())

    async with await connect(dsn) as conn:
        assert await (await conn.execute(BUILT)).fetchall() == [(True,)]
    assert sorted(name for names in applied for name in names) == ["definition"]


async def test_the_sql_of_a_fresh_install_is_one_script_and_that_of_an_upgrade_ends_with_what_is_outside(
    empty_dsn: str, later: Migration
) -> None:
    upgrade = schema.sql(after=LATEST)

    assert "CONCURRENTLY" not in schema.sql().replace(INDEX, "")
    assert upgrade.index("outside a transaction, statement by statement") < upgrade.index("CONCURRENTLY")
    async with await connect(empty_dsn) as conn:
        await conn.execute(oban_sql("public").encode())
        async with conn.transaction():
            await conn.execute(schema.sql().encode())
        assert (await schema.status(conn)).found == later.version


@pytest.mark.parametrize(
    "text",
    [
        "-- Outside a transaction\n\nCREATE TABLE powertools.more (id int);\n",
        "-- Outside a transaction\n\nCREATE INDEX CONCURRENTLY more ON powertools.steps (name);\n",
        "-- An index\n\nCREATE INDEX CONCURRENTLY IF NOT EXISTS more ON powertools.steps (name);\n",
        f"{INDEX}\nDROP TABLE powertools.steps;\n",
        f"{INDEX}\nDROP INDEX powertools.steps_held;\n",
        "-- Outside a transaction\n\nDROP INDEX CONCURRENTLY IF EXISTS powertools.steps_held;\n",
    ],
)
def test_outside_a_transaction_is_nothing_but_indexes(text: str) -> None:
    with pytest.raises(ValueError, match="CONCURRENTLY IF NOT EXISTS, and nothing else"):
        read_migration("0099_more.sql", text)
