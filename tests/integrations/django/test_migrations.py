"""Django's migrations and the schema commands agree, whichever comes first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings

from oban_powertools import Workflow, WorkflowId, schema
from oban_powertools.config import Names
from oban_powertools.database import connect, render
from oban_powertools.database.migrations import migrations
from oban_powertools.database.oban_tables import oban_sql
from oban_powertools.integrations.django import powertools
from oban_powertools.integrations.django.operations import BringSchema
from tests.support.by_hand import step
from tests.support.catalog import catalog
from tests.support.django_site.configured import pointed_at

LATEST = migrations()[-1].version


@pytest.fixture(params=["empty_dsn", "pg15_dsn"])
def each_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, on the newest server and on an old one."""
    dsn = request.getfixturevalue(request.param)
    with pointed_at(dsn):
        yield dsn


@pytest.fixture
def fresh(empty_dsn: str) -> Iterator[str]:
    """An empty database, on the newest server."""
    with pointed_at(empty_dsn):
        yield empty_dsn


def migrate(*arguments: str, **options: object) -> str:
    out = StringIO()
    call_command("migrate", "powertools", *arguments, stdout=out, no_color=True, **options)
    return out.getvalue()


def run[T](dsn: str, work: Callable[[Any], Awaitable[T]]) -> T:
    """Django refuses to work where a loop runs, so each look at the database has a loop of its own."""

    async def connected() -> T:
        async with await connect(dsn) as conn:
            return await work(conn)

    return asyncio.run(connected())


def insert() -> WorkflowId:
    workflow = Workflow("kept")
    workflow.add("a", step())
    return powertools.workflows.insert(workflow).id


def test_everything_is_installed_in_one_transaction(each_dsn: str) -> None:
    with transaction.atomic():
        migrate()
        transaction.set_rollback(True)
    with psycopg.connect(each_dsn) as conn:
        assert conn.execute("SELECT to_regnamespace('powertools'), to_regclass('oban_jobs')").fetchone() == (None, None)

    migrate()

    assert powertools.workflows.get(insert()).name == "kept"


@pytest.mark.notified
def test_what_is_migrated_equals_what_install_makes(fresh: str, dsn: str) -> None:
    migrate()

    assert run(fresh, catalog) == run(dsn, catalog)


@pytest.mark.notified
def test_the_sql_that_sqlmigrate_prints_does_the_same(fresh: str, dsn: str) -> None:
    out = StringIO()
    call_command("sqlmigrate", "powertools", "0001", stdout=out, no_color=True)

    run(fresh, lambda conn: conn.execute(out.getvalue().encode()))

    assert run(fresh, catalog) == run(dsn, catalog)


def test_migrate_finds_what_install_did(dsn: str) -> None:
    with pointed_at(dsn):
        workflow_id = insert()

        assert "OK" in migrate()
        assert powertools.workflows.get(workflow_id).name == "kept"


def test_upgrade_finds_what_migrate_did(fresh: str) -> None:
    migrate()

    assert run(fresh, schema.upgrade) == []


def test_migrate_refuses_to_build_indexes_of_tables_in_use_in_its_transaction(fresh: str) -> None:
    run(fresh, lambda conn: conn.execute(oban_sql("public").encode()))
    run(fresh, lambda conn: conn.execute(render(migrations()[0].text + migrations()[0].record, Names())))

    with pytest.raises(ImproperlyConfigured, match=r"run manage\.py powertools upgrade, then manage\.py migrate again"):
        migrate()


def test_an_older_schema_is_upgraded_by_migrate(fresh: str) -> None:
    run(fresh, lambda conn: conn.execute(oban_sql("public").encode()))
    for migration in migrations()[:-1]:
        text = render(migration.in_a_transaction + migration.record, Names())
        run(fresh, lambda conn, text=text: conn.execute(text))

    migrate()

    assert run(fresh, schema.status).pending == ()


def test_zero_drops_a_schema_without_workflows_and_keeps_obans_tables(fresh: str) -> None:
    migrate()
    migrate("zero")

    status = run(fresh, schema.status)
    assert (status.found, status.oban_installed) == (0, True)
    migrate()
    assert run(fresh, schema.status).found == LATEST


def test_zero_is_refused_while_workflows_are_stored(fresh: str) -> None:
    migrate()
    insert()

    with pytest.raises(IrreversibleError, match=r"1 workflows are stored in it.*manage\.py powertools uninstall"):
        migrate("zero")


@pytest.mark.usefixtures("fresh")
def test_django_sees_no_change_to_make() -> None:
    call_command("makemigrations", "powertools", check=True, dry_run=True, verbosity=0)


def test_the_newest_migration_of_django_is_about_the_newest_schema() -> None:
    """A release that adds a number adds ``000n_schema_NN.py`` with ``BringSchema(NN, after=the one before)``.

    With ``atomic = False`` where one of its numbers builds indexes outside a transaction.
    """
    loader = MigrationLoader(None)
    brought = [
        operation.version
        for (app, _), migration in loader.disk_migrations.items()
        for operation in migration.operations
        if app == "powertools" and isinstance(operation, BringSchema)
    ]

    assert max(brought) == LATEST


def test_another_database_of_the_project_is_left_alone() -> None:
    call_command("migrate", "powertools", database="other", verbosity=0)

    with connections["other"].cursor() as cursor:
        assert connections["other"].introspection.table_names(cursor) == ["django_migrations"]


@override_settings(OBAN_POWERTOOLS={"DATABASE": "other"})
def test_a_database_that_is_not_postgresql_is_refused() -> None:
    call_command("migrate", "powertools", "zero", fake=True, database="other", verbosity=0)

    with pytest.raises(ImproperlyConfigured, match=r"needs PostgreSQL, and DATABASES\['other'\] is sqlite"):
        call_command("migrate", "powertools", database="other", verbosity=0, skip_checks=True)


@override_settings(OBAN_POWERTOOLS={"SCHEMA": "flows", "PREFIX": "jobs"})
def test_other_names_of_the_schemas_are_used(fresh: str) -> None:
    migrate()

    run(fresh, lambda conn: schema.verify(conn, Names(schema="flows", prefix="jobs")))
