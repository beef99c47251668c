"""How the command ends: one line of error, an exit code for scripts, never a traceback for a user's mistake."""

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from oban_powertools.cli.exits import Exit
from oban_powertools.embedded import start_embedded
from tests.support.command import POWERTOOLS, WITHIN, environment, on_a_terminal, powertools

LIST = ("workflow", "list")


def elsewhere(dsn: str, *, user: str | None = None, password: str = "", database: str | None = None) -> str:
    """The same server under another name."""
    parts = urlsplit(dsn)
    login = f"{user}:{quote(password)}@" if user else parts.netloc
    return parts._replace(netloc=login, path=f"/{database}" if database else parts.path).geturl()


@contextmanager
def clerk(dsn: str) -> Iterator[str]:
    """The DSN of a role that may log in and nothing else; it lasts as long as the context."""
    name, password = f"powertools_test_{secrets.token_hex(4)}", "s3cret"
    who = sql.Identifier(name)
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(who, sql.Literal(password)))
        try:
            yield elsewhere(dsn, user=name, password=password)
        finally:
            conn.execute(sql.SQL("DROP ROLE {}").format(who))


def done(dsn: str) -> int:
    return powertools("status", dsn=dsn).code


def an_unforeseen_error(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        conn.execute("ALTER TABLE powertools.workflows RENAME COLUMN name TO title")
    ended = powertools(*LIST, dsn=dsn)
    assert ended.error == "unexpected UndefinedColumn: column w.name does not exist (--debug shows where)"
    return ended.code


def a_usage_error(dsn: str) -> int:
    ended = powertools("workflow", "show", dsn=dsn)
    assert ended.error == "Missing argument 'ID' (see powertools workflow show -h)"
    return ended.code


def an_unknown_workflow(dsn: str) -> int:
    return powertools("workflow", "show", "41", dsn=dsn).code


def a_role_without_privileges(dsn: str) -> int:
    with clerk(dsn) as other:
        ended = powertools(*LIST, dsn=other)
    assert ended.error == "the database refused: permission denied for schema powertools"
    return ended.code


def an_unconfirmed_uninstall(dsn: str) -> int:
    with on_a_terminal("uninstall", dsn=dsn) as terminal:
        terminal.read_until("go on: ")
        terminal.type("\n")
        return terminal.end()


def a_schema_behind(dsn: str) -> int:
    with psycopg.connect(dsn) as conn:
        conn.execute("DELETE FROM powertools.migrations WHERE version > 1")
    return powertools("status", dsn=dsn).code


def an_unreachable_server(dsn: str) -> int:
    ended = powertools(*LIST, dsn="postgresql://u:s3cret@localhost:1/shop")
    assert ended.error.startswith("cannot reach the database shop at localhost:1: ")
    assert "Connection refused" in ended.error
    assert "s3cret" not in ended.err
    return ended.code


def an_interrupt(dsn: str) -> int:
    with on_a_terminal("uninstall", dsn=dsn) as terminal:
        terminal.read_until("go on: ")
        code = terminal.interrupt()
    assert "Traceback" not in terminal.shown
    assert "error" not in terminal.shown
    return code


def a_reader_that_left(dsn: str) -> int:
    reader, writer = os.pipe()
    os.close(reader)
    command = [POWERTOOLS, "status", "--json"]
    ended = subprocess.run(
        command, env=environment(dsn), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=WITHIN, check=False
    )
    os.close(writer)
    assert ended.stderr == ""
    return ended.returncode


ENDINGS: dict[Exit, Callable[[str], int]] = {
    Exit.DONE: done,
    Exit.FAILED: an_unforeseen_error,
    Exit.USAGE: a_usage_error,
    Exit.NOT_FOUND: an_unknown_workflow,
    Exit.NOT_AUTHORISED: a_role_without_privileges,
    Exit.CONFLICT: an_unconfirmed_uninstall,
    Exit.FINDINGS: a_schema_behind,
    Exit.UNAVAILABLE: an_unreachable_server,
    Exit.INTERRUPTED: an_interrupt,
    Exit.BROKEN_PIPE: a_reader_that_left,
}


@pytest.mark.parametrize(("code", "ending"), ENDINGS.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_each_exit_code_has_its_ending(code: Exit, ending: Callable[[str], int], dsn: str) -> None:
    assert ending(dsn) == code


def test_no_database_named_anywhere() -> None:
    ended = powertools(*LIST)

    assert ended.code == 2
    assert ended.error.startswith("no database is named: pass --dsn (or dsn=), set OBAN_DSN")


@pytest.mark.parametrize("dsn", ["shop:s3cret", "postgresql+psycopg://u:s3cret@localhost/shop", "port=s3cret port"])
def test_an_unreadable_dsn_is_not_repeated(dsn: str) -> None:
    ended = powertools(*LIST, dsn=dsn)

    assert ended.code == 2
    assert ended.error.startswith("the DSN is unreadable; expected postgresql://")
    assert "s3cret" not in ended.err


def test_a_missing_database_is_named(dsn: str) -> None:
    ended = powertools(*LIST, dsn=elsewhere(dsn, database="no_such_shop"))

    assert ended.code == 7
    assert 'database "no_such_shop" does not exist' in ended.error


def test_a_missing_role_is_named(dsn: str) -> None:
    ended = powertools(*LIST, dsn=elsewhere(dsn, user="no_such_clerk"))

    assert ended.code == 7
    assert 'role "no_such_clerk" does not exist' in ended.error


def test_a_wrong_password_is_said_and_not_shown(server_directory: Path) -> None:
    server = start_embedded(server_directory / "data")
    before = load_time(server.dsn)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("CREATE ROLE clerk LOGIN PASSWORD 'right'")
        [file] = conn.execute("SHOW hba_file").fetchone() or ("",)
        Path(file).write_text(f"local all clerk scram-sha-256\n{Path(file).read_text()}")
        conn.execute("SELECT pg_reload_conf()")
    while load_time(server.dsn) == before:
        pass

    ended = powertools(*LIST, dsn=elsewhere(server.dsn, user="clerk", password="wr0ng"))
    server.stop()

    assert ended.code == 7
    assert 'password authentication failed for user "clerk"' in ended.error
    assert "wr0ng" not in ended.err


def test_a_missing_schema_says_what_to_run(empty_dsn: str) -> None:
    for command in (LIST, ("workflow", "show", "1"), ("start", "--queues", "default:1")):
        ended = powertools(*command, dsn=empty_dsn)
        assert ended.code == 7
        assert ended.error == "schema 'powertools' is not installed in this database: run powertools install"


def test_oban_in_another_prefix_is_noticed(dsn: str) -> None:
    ended = powertools(*LIST, "--prefix", "jobs", dsn=dsn)

    assert ended.code == 7
    assert ended.error.startswith("Oban's tables in schema 'jobs': found no table oban_jobs")


@pytest.mark.parametrize("name", ["Bad-Name", "a" * 32, "x; DROP TABLE"])
def test_a_schema_name_that_sql_would_not_take_is_a_usage_error(name: str, dsn: str) -> None:
    assert powertools(*LIST, "--schema", name, dsn=dsn).code == 2
    assert powertools(*LIST, dsn=dsn, OBAN_PREFIX=name).code == 2


def test_an_unreadable_setting_is_a_usage_error(dsn: str, tmp_path: Path) -> None:
    for text in ("dsn = ", "colour = 'red'"):
        (tmp_path / "oban.toml").write_text(text)
        assert powertools(*LIST, dsn=dsn, cwd=tmp_path).code == 2
    assert powertools(*LIST, dsn=dsn, OBAN_POOL_MAX_SIZE="ten").code == 2


def test_the_command_line_beats_the_environment_and_that_beats_oban_toml(dsn: str, tmp_path: Path) -> None:
    (tmp_path / "oban.toml").write_text(f'dsn = "{dsn}"')
    (tmp_path / "other.toml").write_text('dsn = "postgresql://localhost:1/other"')
    nowhere = "postgresql://localhost:1/nowhere"

    assert powertools("status", cwd=tmp_path).code == 0
    assert "nowhere" in powertools("status", cwd=tmp_path, dsn=nowhere).error
    assert "other" in powertools("status", "--config", "other.toml", cwd=tmp_path).error
    assert powertools("status", "--dsn", dsn, cwd=tmp_path, OBAN_DSN=nowhere).code == 0


def test_two_databases_at_once_are_a_usage_error(tmp_path: Path) -> None:
    ended = powertools("status", "--dsn", "postgresql://localhost/x", "--data-directory", str(tmp_path / "data"))

    assert ended.code == 2
    assert not (tmp_path / "data").exists()


def test_debug_shows_the_traceback_of_an_error(empty_dsn: str) -> None:
    for arguments in ([*LIST, "--debug"], ["--debug", *LIST]):
        ended = subprocess.run(
            [POWERTOOLS, *arguments],
            env=environment(empty_dsn),
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert ended.returncode == 7
        assert ended.stderr.startswith("Traceback")
        assert ended.stderr.splitlines()[-1].startswith("error: schema 'powertools' is not installed")


def test_a_group_alone_shows_its_help_and_fails() -> None:
    for group in ([], ["workflow"]):
        ended = powertools(*group)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("Usage: powertools")


def test_an_interrupt_while_the_database_works_is_quiet(dsn: str) -> None:
    with waiting_list(dsn) as (process, _):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WITHIN)

    assert (process.returncode, err.strip()) == (130, "")


def test_a_connection_that_breaks_is_one_line_too(dsn: str) -> None:
    with waiting_list(dsn) as (process, session):
        with psycopg.connect(dsn) as conn:
            conn.execute("SELECT pg_terminate_backend(%s)", [session])
        _, err = process.communicate(timeout=WITHIN)

    assert process.returncode == 7
    assert err == "error: the database failed: terminating connection due to administrator command\n"


@contextmanager
def waiting_list(dsn: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A ``workflow list`` that waits for a lock, and the pid of its session."""
    waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'powertools.workflows'::regclass"
    with psycopg.connect(dsn) as holder, psycopg.connect(dsn, autocommit=True) as conn:
        holder.execute("LOCK TABLE powertools.workflows")
        process = subprocess.Popen([POWERTOOLS, *LIST], env=environment(dsn), stderr=subprocess.PIPE, text=True)
        try:
            while (row := conn.execute(waiting).fetchone()) is None:
                assert process.poll() is None
            yield process, row[0]
        finally:
            process.kill()
            process.wait()


def load_time(dsn: str) -> datetime:
    """When the server last read its configuration, as a new session sees it."""
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT pg_conf_load_time()").fetchone()
    assert row is not None
    return row[0]
