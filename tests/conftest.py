"""One PostgreSQL for the whole session, one database for every test.

The server is the embedded one, or that of ``POWERTOOLS_TEST_DSN`` (a URL whose user may create databases). A template
with both schemas is built once; a test's database is a copy of it, which takes about 0.1 s. Each process of
pytest-xdist is a session with a server of its own. Servers' files lie in memory where it has room for them: the tests
make and drop so many databases and tables that most of their time would go into a disk's directories.
"""

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Powertools, schema
from oban_powertools.embedded import start_embedded
from tests.support.by_hand import Hand, by_hand, everybody_may
from tests.support.command import NOWHERE
from tests.support.spoiled_notify import MODE, spoil

POSTGRESQL_15 = Path("/usr/lib/postgresql/15/bin")
NUMBERS = itertools.count(1)

MEMORY = Path("/dev/shm")
ROOM = 3 * 2**30
"""Bytes that must be free in memory: a server of the tests was seen to need a tenth of it."""

# A shell's background job, as a CI runner may be, starts with Ctrl-C ignored, and so would every command under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The private server of whoever runs the tests is not for them: what would start it fails.
os.environ["XDG_DATA_HOME"] = NOWHERE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to repeat the order of the tests, also where ``-q`` leaves out the header that would."""
    if (seed := config.getoption("randomly_seed", None)) is not None:
        terminalreporter.write_line(f"this order again: --randomly-seed={seed}")


@pytest.fixture(autouse=True)
def _about_notifications(request: pytest.FixtureRequest) -> None:
    if MODE != "on" and request.node.get_closest_marker("notified"):
        pytest.skip("is about the notifications themselves")


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """A superuser's URL of a server with nothing of ours on it."""
    if given := os.environ.get("POWERTOOLS_TEST_DSN"):
        yield given
        return
    with _directory() as directory:
        server = start_embedded(directory)
        _forget_durability(server.dsn)
        yield server.dsn
        server.stop()


@pytest.fixture(scope="session")
def template(server_dsn: str) -> Iterator[str]:
    """The name of a database with Oban's and our schema, to be copied and never connected to."""
    with _database(server_dsn) as dsn:
        asyncio.run(_install(dsn))
        spoil(dsn)
        # Ages of executors count from the server's start, and tests let them be silent for 2 s and more.
        _execute(
            dsn, sql.SQL("SELECT pg_sleep(greatest(0, extract(epoch FROM pg_postmaster_start_time() + '3 s' - now())))")
        )
        yield _name_of(dsn)


@pytest.fixture
def dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A database of the test's own, with both schemas."""
    with _database(server_dsn, template) as dsn:
        yield dsn


@pytest.fixture
def empty_dsn(server_dsn: str) -> Iterator[str]:
    """A database of the test's own, without any schema."""
    with _database(server_dsn) as dsn:
        yield dsn


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[AsyncConnectionPool]:
    """An open pool on ``dsn``, as a host application would bring it."""
    pool: AsyncConnectionPool = AsyncConnectionPool(dsn, min_size=1, max_size=10, open=False)
    async with pool:
        yield pool


@pytest.fixture
async def powertools(dsn: str) -> AsyncIterator[Powertools]:
    """A running Powertools on ``dsn`` that works on the queue ``default``."""
    async with Powertools.open(dsn, queues={"default": 10}, authorize=everybody_may) as powertools:
        yield powertools


@pytest.fixture(scope="session")
def shared_dsn(server_dsn: str, template: str) -> Iterator[str]:
    """A database with both schemas for tests that leave it as they found it."""
    with _database(server_dsn, template) as dsn:
        yield dsn


@pytest.fixture
async def hand(shared_dsn: str) -> AsyncIterator[Hand]:
    """Jobs that only the test moves, with turbo."""
    async with by_hand(shared_dsn, turbo=True) as hand:
        yield hand


@pytest.fixture(params=[True, False], ids=["turbo", "stock"])
async def each_hand(shared_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Hand]:
    """Jobs that only the test moves: once with turbo, once with Oban's own acks and inserts."""
    async with by_hand(shared_dsn, turbo=request.param) as hand:
        yield hand


@pytest.fixture(scope="session")
def pg15_server_dsn() -> Iterator[str]:
    """A superuser's URL of a PostgreSQL 15, near the old end of the range that we support."""
    if not (POSTGRESQL_15 / "postgres").exists():
        message = f"PostgreSQL 15 is not installed in {POSTGRESQL_15}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with _directory() as directory, _postgresql_15(directory):
        dsn = f"postgresql://postgres@/postgres?host={quote(str(directory), safe='/')}&port=5432"
        _forget_durability(dsn)
        yield dsn


@pytest.fixture
def pg15_dsn(pg15_server_dsn: str) -> Iterator[str]:
    """A database of the test's own on PostgreSQL 15, without any schema."""
    with _database(pg15_server_dsn) as dsn:
        yield dsn


@pytest.fixture
def server_directory() -> Iterator[Path]:
    """An empty directory for a server of the test's own."""
    with _directory() as directory:
        yield directory


@contextmanager
def _directory() -> Iterator[Path]:
    # At a place that is open and has a short name: the server's own user must reach it, and a socket's name is short.
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    directory = Path(tempfile.mkdtemp(prefix="powertools-tests-", dir=MEMORY if roomy else "/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def _database(server_dsn: str, template: str = "template0") -> Iterator[str]:
    # With our pid, because several sessions may share a given server.
    name = f"powertools_{os.getpid()}_{next(NUMBERS)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    _execute(server_dsn, create)
    try:
        yield urlsplit(server_dsn)._replace(path=f"/{name}").geturl()
    finally:
        _execute(server_dsn, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _postgresql_15(directory: Path) -> Iterator[None]:
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    cluster = directory / "cluster"

    def run(program: str, *arguments: str) -> None:
        with (directory / "server.log").open("ab") as log:
            command = [*as_postgres, str(POSTGRESQL_15 / program), f"--pgdata={cluster}", *arguments]
            subprocess.run(command, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=60)

    if as_postgres:
        shutil.chown(directory, "postgres")
    run("initdb", "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync")
    run("pg_ctl", "start", "--silent", "--wait", "-o", f"-p 5432 -k {directory} -c listen_addresses=")
    try:
        yield
    finally:
        run("pg_ctl", "stop", "--silent", "--wait", "--mode=fast")


async def _install(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await schema.install(conn)


def _forget_durability(dsn: str) -> None:
    """For tests that kill no server."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        _execute(dsn, sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
    _execute(dsn, sql.SQL("SELECT pg_reload_conf()"))


def _execute(dsn: str, statement: sql.SQL | sql.Composed) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(statement)


def _name_of(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")
