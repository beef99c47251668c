"""The schema: however it came to be it is the same, and a schema this release does not know is refused."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oban.schema import install_sql as oban_install_sql
from psycopg import AsyncConnection

import oban_powertools
from oban_powertools import Powertools, Workflow, schema
from oban_powertools.config import Names
from oban_powertools.database import connect, render
from oban_powertools.database.functions import PLANNED, functions, functions_sql
from oban_powertools.database.migrations import migrations
from oban_powertools.errors import (
    InvalidSettingError,
    ReadOnlyDatabaseError,
    SchemaAheadError,
    SchemaBehindError,
    SchemaMissingError,
    SharedJobsTableError,
    UnknownObanSchemaError,
)
from tests.support.by_hand import Hand, by_hand, chain, step
from tests.support.catalog import catalog
from tests.upkeep.test_doctor import ANOTHER_SCHEMA

SQL = Path(oban_powertools.__file__).parent / "database/sql"
LATEST = migrations()[-1].version


@pytest.fixture
async def empty(empty_dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await connect(empty_dsn) as conn:
        yield conn


@pytest.fixture
async def installed(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await connect(dsn) as conn:
        yield conn


# However it came to be


def test_functions_name_the_planners_settings_and_the_schema_has_them() -> None:
    lines = [line for file in (SQL / "functions").iterdir() for line in file.read_text().splitlines()]
    written_out = [line for line in lines if re.search(r"\b(enable_\w+|\w+_cost|plan_cache_mode|jit) = ", line)]

    # a delivery is found by following an index; the file says why
    assert written_out == ["SET enable_bitmapscan = off SET enable_sort = off"]
    assert not re.search("^-- PLANNED", schema.sql(), re.MULTILINE)
    assert all(settings in schema.sql() for settings in PLANNED.values())


@pytest.mark.notified
async def test_a_schema_migrated_release_by_release_equals_a_fresh_one(
    empty: AsyncConnection[Any], installed: AsyncConnection[Any]
) -> None:
    """Each release is a script of its own, run in a session of its own."""
    await empty.execute(oban_install_sql().encode())
    for migration in migrations():
        await empty.execute("RESET ALL")
        await empty.execute(render(migration.in_a_transaction + migration.record, Names()))
    await empty.execute(functions_sql().encode())

    assert await catalog(empty) == await catalog(installed)
    assert await schema.upgrade(empty) == []


@pytest.mark.notified
@pytest.mark.parametrize("version", [1, migrations()[-2].version])
async def test_an_older_schema_is_upgraded_to_a_fresh_one(
    empty: AsyncConnection[Any], installed: AsyncConnection[Any], version: int
) -> None:
    await empty.execute(oban_install_sql().encode())
    for migration in migrations():
        if migration.version <= version:
            await empty.execute(render(migration.in_a_transaction + migration.record, Names()))
    with pytest.raises(SchemaBehindError, match=f"is at version {version}, this release needs {LATEST}"):
        await schema.verify(empty)

    applied = await schema.upgrade(empty)

    missing = [migration for migration in migrations() if migration.version > version]
    assert applied == [migration.name for migration in sorted(missing, key=lambda each: bool(each.indexes))]
    assert await catalog(empty) == await catalog(installed)


async def test_every_function_is_right_about_what_it_calls(installed: AsyncConnection[Any]) -> None:
    checked = functions_sql().replace("SET check_function_bodies = off", "SET check_function_bodies = on")

    await installed.execute(checked.encode())


async def test_a_function_that_a_release_has_no_more_is_dropped_by_an_upgrade(
    empty: AsyncConnection[Any], installed: AsyncConnection[Any]
) -> None:
    await schema.install(empty)
    await empty.execute("CREATE FUNCTION powertools.settle_v0(ids bigint[]) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    await empty.execute("CREATE FUNCTION powertools.release_v1(id bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    await empty.execute("DELETE FROM powertools.migrations WHERE version = %s", (LATEST,))
    await empty.execute(functions_sql().encode())

    assert await catalog(empty) == await catalog(installed)


async def test_the_signatures_that_are_read_from_the_files_are_those_of_the_catalog(
    installed: AsyncConnection[Any],
) -> None:
    read = [function.signature for function in functions()]

    rows = await installed.execute(
        "SELECT oid FROM pg_proc WHERE pronamespace = 'powertools'::regnamespace EXCEPT "
        "SELECT unnest(%s::text[]::regprocedure[])::oid",
        (read,),
    )

    assert await rows.fetchall() == []
    assert len(read) == len({*read})


def test_migrations_hold_no_function_but_the_first_of_a_trigger() -> None:
    texts = "".join(migration.text for migration in migrations())
    heads = re.findall(r"FUNCTION powertools\.(?:\w+)(\(.*)", re.sub(r"EXECUTE FUNCTION", "", texts))

    assert {*heads} == {"() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"}
    assert "CREATE VIEW" not in texts


@pytest.mark.notified
async def test_the_printed_sql_does_what_install_does(
    empty: AsyncConnection[Any], installed: AsyncConnection[Any]
) -> None:
    await empty.execute(oban_install_sql().encode())

    async with empty.transaction():
        await empty.execute(schema.sql().encode())

    await schema.verify(empty)
    assert await catalog(empty) == await catalog(installed)


async def test_installing_again_changes_nothing(installed: AsyncConnection[Any]) -> None:
    oids = "SELECT array_agg(oid ORDER BY oid) FROM pg_proc WHERE pronamespace = 'powertools'::regnamespace"
    before = await (await installed.execute(oids)).fetchone()

    assert await schema.install(installed) == []
    assert await (await installed.execute(oids)).fetchone() == before


async def test_concurrent_installs_of_everything_wait_for_one_another(empty_dsn: str) -> None:
    async def install() -> list[str]:
        async with await connect(empty_dsn) as conn:
            return await schema.install(conn)

    applied = await asyncio.gather(*[install() for _ in range(4)])

    assert sorted(name for names in applied for name in names) == sorted(m.name for m in migrations())
    async with await connect(empty_dsn) as conn:
        await schema.verify(conn)


async def test_obans_tables_are_installed_where_they_are_missing_and_kept_where_they_are(
    empty: AsyncConnection[Any],
) -> None:
    before = await schema.status(empty)
    await schema.install(empty)
    await empty.execute("INSERT INTO oban_jobs (worker) VALUES ('kept')")
    await schema.uninstall(empty)

    await schema.install(empty)

    after = await schema.status(empty)
    assert (before.oban_installed, before.found, len(before.pending)) == (False, 0, len(migrations()))
    assert (after.oban_installed, after.found, after.pending) == (True, LATEST, ())
    assert await (await empty.execute("SELECT worker FROM oban_jobs")).fetchall() == [("kept",)]


# What is refused


async def test_a_missing_schema_is_refused_with_what_to_run(empty_dsn: str) -> None:
    with pytest.raises(SchemaMissingError, match=r"'powertools' is not installed.*run powertools install"):
        async with Powertools.open(empty_dsn):
            pass


async def test_an_older_schema_is_refused_with_found_and_expected(dsn: str, installed: AsyncConnection[Any]) -> None:
    await installed.execute("DELETE FROM powertools.migrations WHERE version = %s", (LATEST,))

    with pytest.raises(SchemaBehindError) as caught:
        async with Powertools.open(dsn):
            pass

    assert (caught.value.found, caught.value.expected) == (migrations()[-2].version, LATEST)
    assert "run powertools upgrade" in str(caught.value)


async def test_a_newer_schema_is_refused_by_everything(dsn: str, installed: AsyncConnection[Any]) -> None:
    await installed.execute("INSERT INTO powertools.migrations VALUES (%s, 'from the future')", (LATEST + 1,))

    for call in (schema.verify, schema.install, schema.upgrade):
        with pytest.raises(SchemaAheadError, match=f"is at version {LATEST + 1}, this release knows {LATEST}"):
            await call(installed)
    with pytest.raises(SchemaAheadError):
        async with Powertools.open(dsn):
            pass


async def test_a_session_that_cannot_write_is_refused(dsn: str, installed: AsyncConnection[Any]) -> None:
    name = installed.info.dbname
    await installed.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())

    with pytest.raises(ReadOnlyDatabaseError, match="connect to the primary"):
        async with Powertools.open(dsn):
            pass


async def test_tables_of_another_oban_are_refused_with_what_is_missing(installed: AsyncConnection[Any]) -> None:
    await installed.execute("ALTER TABLE oban_jobs DROP COLUMN attempted_by")

    with pytest.raises(
        UnknownObanSchemaError, match=r"oban_jobs without attempted_by, expected the tables of oban 0.7"
    ):
        await schema.verify(installed)


SECOND = Names(schema="powertools_b")


async def test_a_second_schema_on_the_same_jobs_is_refused_and_installs_nothing(
    installed: AsyncConnection[Any],
) -> None:
    with pytest.raises(SharedJobsTableError, match="belong to Powertools in schema 'powertools', so 'powertools_b'"):
        await schema.install(installed, SECOND)

    assert (await schema.status(installed, SECOND)).found == 0


async def test_the_sql_of_a_second_schema_on_the_same_jobs_is_refused_too(installed: AsyncConnection[Any]) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="another schema of Powertools is on these jobs"):
        async with installed.transaction():
            await installed.execute(schema.sql(SECOND).encode())


async def test_two_schemas_on_the_same_jobs_start_nothing_and_one_can_be_uninstalled(
    dsn: str, installed: AsyncConnection[Any]
) -> None:
    await installed.execute(ANOTHER_SCHEMA)

    for call in (schema.verify, schema.install, schema.upgrade):
        with pytest.raises(SharedJobsTableError):
            await call(installed)
    with pytest.raises(SharedJobsTableError):
        async with Powertools.open(dsn):
            pass
    await installed.execute("DROP SCHEMA powertools_b CASCADE")

    await schema.verify(installed)


async def test_two_schemas_with_a_prefix_each_live_side_by_side(installed: AsyncConnection[Any]) -> None:
    beside = Names(schema="powertools_c", prefix="jobs_c")

    await schema.install(installed, beside)

    await schema.verify(installed)
    await schema.verify(installed, beside)


async def test_the_roles_of_another_prefix_may_use_its_tables(installed: AsyncConnection[Any]) -> None:
    beside = Names(schema="powertools_c", prefix="jobs_c")
    await schema.install(installed, beside)

    async with installed.transaction(force_rollback=True):
        await installed.execute(schema.roles_sql(beside, run="c_run", read="c_read").encode())
        await installed.execute("SET LOCAL ROLE c_run")
        await installed.execute("INSERT INTO jobs_c.oban_jobs (worker) VALUES ('w')")
        await installed.execute("SET LOCAL ROLE c_read")
        found = await (await installed.execute("SELECT worker FROM jobs_c.oban_jobs")).fetchall()

    assert found == [("w",)]


async def test_uninstalling_leaves_obans_jobs_and_no_trigger(dsn: str) -> None:
    async with by_hand(dsn, turbo=False) as hand:
        await hand.insert(chain(2))
        await schema.uninstall(hand.conn)

        await hand.rows("UPDATE oban_jobs SET state = 'completed'")
        jobs = await hand.one("SELECT count(*) FROM oban_jobs")
        triggers = await hand.rows("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        left = await hand.rows("SELECT proname FROM pg_proc WHERE proname LIKE '%powertools%'")
        with pytest.raises(SchemaMissingError):
            await schema.uninstall(hand.conn)
        await schema.install(hand.conn)

    assert (jobs, triggers, left) == (1, [], [])


@pytest.mark.parametrize("name", ["", "Upper", "a b", "a;b", 'a"b', "a.b", "x" * 32, "ä", "1a", "a\n"])
@pytest.mark.parametrize("which", ["schema", "prefix"])
def test_a_schema_name_that_is_no_plain_identifier_is_refused(which: str, name: str) -> None:
    with pytest.raises(InvalidSettingError, match=which):
        Names(**{which: name})


@given(name=st.text(max_size=40))
def test_any_other_text_as_a_schema_name_is_refused_or_needs_no_quoting(name: str) -> None:
    try:
        names = Names(schema=name)
    except InvalidSettingError:
        return

    assert names.schema.isidentifier() and names.schema.isascii() and names.schema == names.schema.lower()


# Other names


@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
async def test_other_schema_names_work_from_end_to_end(
    empty: AsyncConnection[Any], empty_dsn: str, turbo: bool
) -> None:
    names = Names(schema="other", prefix="jobs")
    await schema.install(empty, names)
    workflow = Workflow("elsewhere", on_finished=echo({"x": "done"}))
    a = workflow.add("a", echo({"x": 1}))
    workflow.add("b", echo({"x": a.result}))

    async with Powertools.open(
        empty_dsn, queues={"default": 5}, schema="other", prefix="jobs", turbo=turbo, leadership=False
    ) as powertools:
        handle = await powertools.workflows.insert(workflow)
        record = await handle.wait(timedelta(seconds=20))
        results = await powertools.workflows.results(handle.id)

    assert (record.state, results) == ("completed", {"a": 1, "b": 1})
    assert await schema.check_invariants(empty, names) == []
    defaults = await empty.execute("SELECT to_regnamespace('powertools'), to_regclass('public.oban_jobs')")
    assert await defaults.fetchone() == (None, None)


async def test_the_sql_for_other_names_names_no_default(empty: AsyncConnection[Any]) -> None:
    names = Names(schema="other", prefix="jobs")
    text = schema.sql(names)

    assert re.search(r"\bpowertools\.", text) is None
    assert "public." not in text


class Echo:
    """A worker that returns its argument."""

    async def process(self, job: Any) -> Any:
        return job.args["x"]


def echo(args: dict[str, Any]) -> Any:
    from oban import Job

    return Job(f"{__name__}.Echo", args=args)


# Privileges


async def test_whoever_may_change_jobs_moves_workflows_without_a_right_on_our_tables(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2, on_finished=step()))
    await hand.rows("DROP ROLE IF EXISTS plain_oban_node")
    await hand.rows("CREATE ROLE plain_oban_node; GRANT SELECT, UPDATE, DELETE ON oban_jobs TO plain_oban_node")
    try:
        async with hand.conn.transaction():
            await hand.rows("SET LOCAL ROLE plain_oban_node")
            await hand.rows("UPDATE oban_jobs SET state = 'completed'")
            await hand.rows("DELETE FROM oban_jobs WHERE state = 'available'")
    finally:
        await hand.rows("REVOKE ALL ON oban_jobs FROM plain_oban_node; DROP ROLE plain_oban_node")

    assert await hand.states(workflow_id) == {"s0": "completed", "s1": "cancelled"}
    assert await hand.rows("SELECT * FROM powertools.settle_faults") == []
