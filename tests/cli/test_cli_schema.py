"""The schema from the command line: install, upgrade, uninstall, status, and their SQL."""

from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from oban.schema import install_sql

from oban_powertools import schema
from oban_powertools.database.migrations import migrations
from tests.support.by_hand import Hand, chain
from tests.support.command import on_a_terminal, powertools

ARRAYS_OF_ERRORS = (
    "ALTER errors DROP DEFAULT, ALTER errors TYPE jsonb[] USING '{}', ALTER errors SET DEFAULT ARRAY[]::jsonb[]"
)
NEWEST = migrations()[-1].version


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def tables(dsn: str, schema: str) -> int:
    with psycopg.connect(dsn) as conn:
        return conn.execute("SELECT FROM pg_tables WHERE schemaname = %s", [schema]).rowcount


def test_install_brings_obans_tables_and_ours_and_says_so(empty_dsn: str) -> None:
    ended = powertools("install", dsn=empty_dsn)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "installed Oban's tables in schema public"
    assert ended.out.splitlines()[-1] == f"schema powertools is at version {NEWEST}"


def test_install_repeated_changes_nothing(dsn: str) -> None:
    ended = powertools("install", dsn=dsn)

    assert (ended.code, ended.out) == (0, f"schema powertools is at version {NEWEST}, nothing to do\n")


def test_install_in_schemas_of_other_names(empty_dsn: str) -> None:
    installed = powertools("install", dsn=empty_dsn, POWERTOOLS_SCHEMA="flows", OBAN_PREFIX="jobs")

    assert installed.code == 0
    assert powertools("status", dsn=empty_dsn, POWERTOOLS_SCHEMA="flows", OBAN_PREFIX="jobs").code == 0
    assert powertools("workflow", "list", "--schema", "flows", "--prefix", "jobs", dsn=empty_dsn).code == 0
    assert (tables(empty_dsn, "powertools"), tables(empty_dsn, "public")) == (0, 0)


def test_status_of_a_current_schema_is_done(dsn: str) -> None:
    ended = powertools("status", "--json", dsn=dsn)

    assert ended.code == 0
    assert ended.json == {
        "schema_version": 1,
        "schema": {
            "name": "powertools",
            "found": NEWEST,
            "expected": NEWEST,
            "schema": "powertools",
            "others": [],
            "strangers": [],
            "compatible_from": NEWEST,
            "pending": [],
            "oban_installed": True,
            "current": True,
        },
        "settings_apart": [],
    }


def test_status_of_an_empty_database_finds_something_to_do(empty_dsn: str) -> None:
    ended = powertools("status", dsn=empty_dsn)

    assert ended.code == 6
    assert "to do          powertools install" in ended.out


def test_status_of_a_schema_from_the_future_asks_for_a_newer_release(dsn: str) -> None:
    execute(dsn, "INSERT INTO powertools.migrations (version, name) VALUES (9999, 'later')")

    assert "install a newer oban-powertools" in powertools("status", dsn=dsn).out
    for command in (["install"], ["upgrade"], ["workflow", "list"], ["start", "--queues", "default:1"]):
        ended = powertools(*command, dsn=dsn)
        assert ended.code == 7
        assert "is at version 9999, this release knows" in ended.error


def test_upgrade_brings_an_older_schema_up_to_this_release(empty_dsn: str) -> None:
    execute(empty_dsn, powertools("install", "--sql", "--with-oban").out.split(_record(2))[0] + _record(2))

    behind = powertools("status", dsn=empty_dsn)
    refused = powertools("workflow", "list", dsn=empty_dsn)
    sql = powertools("upgrade", "--sql", dsn=empty_dsn)
    upgraded = powertools("upgrade", dsn=empty_dsn)

    assert (behind.code, refused.code) == (6, 7)
    assert refused.error.endswith("run powertools upgrade")
    assert sql.out == powertools("upgrade", "--sql", "--from", "2").out
    assert upgraded.out.splitlines() == [
        *(f"applied {migration.name}" for migration in sorted(migrations()[2:], key=lambda each: bool(each.indexes))),
        f"schema powertools is at version {NEWEST}",
    ]
    assert powertools("status", dsn=empty_dsn).code == 0


def _record(version: int) -> str:
    return f"INSERT INTO powertools.migrations (version, name) VALUES ({version}, '{migrations()[version - 1].name}');"


def test_upgrade_needs_an_installed_schema(empty_dsn: str) -> None:
    ended = powertools("upgrade", dsn=empty_dsn)

    assert (ended.code, tables(empty_dsn, "powertools")) == (7, 0)
    assert ended.error.endswith("is not installed in this database: run powertools install")


def test_upgrade_sql_of_a_current_schema_is_empty(dsn: str) -> None:
    ended = powertools("upgrade", "--sql", dsn=dsn)

    assert (ended.code, ended.out, ended.err) == (0, "", "nothing to do: the schema is up to date\n")


def test_install_sql_needs_no_database_and_installs_in_one_transaction(empty_dsn: str) -> None:
    sql = powertools("install", "--sql", "--with-oban", "--schema", "flows", "--prefix", "jobs")

    execute(empty_dsn, sql.out)

    assert powertools("status", "--schema", "flows", "--prefix", "jobs", dsn=empty_dsn).code == 0


def test_install_sql_runs_in_one_transaction_of_an_older_server(pg15_dsn: str) -> None:
    sql = powertools("install", "--sql", "--with-oban")

    execute(pg15_dsn, sql.out)

    assert powertools("status", dsn=pg15_dsn).code == 0


def test_nothing_of_the_schema_needs_a_value_that_was_added_to_an_enum_in_the_same_transaction() -> None:
    sql = powertools("install", "--sql", "--with-oban").out

    made, added = sql.index("AS ENUM"), sql.index("ADD VALUE")
    assert "'suspended'" in sql[made : sql.index(");", made)]
    assert sql.count("ADD VALUE") == 1 and "enumlabel = 'suspended'" in sql[made:added]


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (
            f"{ARRAYS_OF_ERRORS}, ALTER attempt TYPE int, ALTER max_attempts TYPE int, ALTER priority TYPE int",
            "errors jsonb[]",
        ),
        ("ALTER meta DROP DEFAULT, ALTER meta TYPE json", "meta json"),
    ],
)
def test_tables_made_by_obans_elixir_migrations_are_refused_and_left_alone(
    empty_dsn: str, made: str, found: str
) -> None:
    execute(empty_dsn, f"{install_sql()}; ALTER TABLE oban_jobs {made}")

    refused = powertools("install", dsn=empty_dsn)

    assert (refused.code, f"found oban_jobs with {found}, expected" in refused.error) == (7, True)
    assert "Elixir" in refused.error
    assert tables(empty_dsn, "powertools") == 0


def test_install_sql_runs_in_an_alembic_migration(empty_dsn: str, tmp_path: Path) -> None:
    sql = tmp_path / "install.sql"
    sql.write_text(powertools("install", "--sql", "--with-oban").out)
    engine = sqlalchemy.create_engine(empty_dsn.replace("postgresql://", "postgresql+psycopg://"))

    with engine.begin() as conn:  # what op.get_bind() returns
        conn.execute(sqlalchemy.text(sql.read_text()))  # what op.execute() makes of a string

    assert powertools("status", dsn=empty_dsn).code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["install", "--with-oban"], "--with-oban belongs to --sql"),
        (["upgrade", "--from", "3"], "--from belongs to --sql"),
    ],
)
def test_an_option_that_would_do_nothing_is_a_usage_error(arguments: list[str], reason: str, empty_dsn: str) -> None:
    ended = powertools(*arguments, dsn=empty_dsn)

    assert (ended.code, tables(empty_dsn, "public")) == (2, 0)
    assert reason in ended.error


async def test_uninstall_without_a_terminal_needs_yes(hand: Hand) -> None:
    await hand.insert(chain(2))

    refused = powertools("uninstall", dsn=hand.dsn)

    assert refused.code == 2
    assert "pass --yes to drop schema 'powertools' with all workflows (1 unfinished)" in refused.error
    assert (await schema.status(hand.conn)).found == NEWEST


def test_uninstall_drops_our_schema_and_keeps_obans_jobs(dsn: str) -> None:
    execute(dsn, "INSERT INTO oban_jobs (worker) VALUES ('app.Worker')")

    ended = powertools("uninstall", "--yes", dsn=dsn)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "dropped schema powertools; Oban's tables and jobs in schema public stay\n"
    assert tables(dsn, "powertools") == 0
    execute(dsn, "DO 'BEGIN ASSERT (SELECT count(*) FROM oban_jobs) = 1; END'")


def test_uninstall_asks_for_the_name_on_a_terminal(dsn: str) -> None:
    with on_a_terminal("uninstall", dsn=dsn) as terminal:
        terminal.read_until("Type the schema's name to go on: ")
        terminal.type("powertools\n")

        assert terminal.end() == 0

    assert "Oban's tables and jobs stay" in terminal.shown
    assert tables(dsn, "powertools") == 0


def test_uninstall_with_another_name_typed_changes_nothing(dsn: str) -> None:
    with on_a_terminal("uninstall", dsn=dsn) as terminal:
        terminal.read_until("Type the schema's name to go on: ")
        terminal.type("yes\n")

        assert terminal.end() == 5

    assert terminal.shown.endswith("error: the name was not typed, nothing changed\n")
    assert tables(dsn, "powertools") > 0


def test_uninstall_of_what_is_not_there_says_so(dsn: str) -> None:
    ended = powertools("uninstall", "--yes", "--schema", "flows", dsn=dsn)

    assert ended.code == 3
    assert ended.error.startswith("nothing to uninstall: schema 'flows' is not installed in")
