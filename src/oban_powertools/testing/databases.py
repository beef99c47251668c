"""A server for the tests of one session, a template with both schemas, and a database for each test.

A database is a copy of the template, which takes some tens of milliseconds. On a server of yours the template stays
from one session to the next; its name says for which release it is. All processes of pytest-xdist use one server.
"""

import asyncio
import hashlib
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from .. import schema
from ..config import Names
from ..database import connect
from ..embedded import start_embedded
from .clock import clock_sql

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
ROOM: Final = 2**30
"""Bytes that must be free in memory, for a server's files to lie there; else they lie where temporary files do."""

_NEEDLESS: Final = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum", "jit")
"""What lets a server survive a crash of its machine, or pays off in databases that live longer than a test."""
_NUMBERS: Final = itertools.count(1)
_LOCK: Final = "SELECT pg_advisory_lock(4711474747)"


def directory_name() -> Path:
    """Where a session may keep a server; nothing is made."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    # At a place that is open and has a short name: the server's own user must reach it, and a socket's name is short.
    return (MEMORY if roomy else Path(tempfile.gettempdir())) / f"powertools-tests-{uuid.uuid4().hex[:12]}"


@contextmanager
def open_server(directory: Path) -> Generator[str]:
    """The embedded server in a directory, which other processes of the session may use too; gives its DSN.

    Raises:
        EmbeddedNotInstalledError: The extra ``embedded`` is missing.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    server = start_embedded(directory)
    try:
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            for setting in _NEEDLESS:
                conn.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            conn.execute("SELECT pg_reload_conf()")
        yield server.dsn
    finally:
        server.stop()


def make_template(server_dsn: str, names: Names = Names()) -> str:
    """The name of a database with both schemas, to be copied and never connected to; made if it is not there."""
    wanted = [schema.sql(names).encode(), clock_sql(names), version("oban").encode()]
    name = f"powertools_template_{hashlib.sha256(b'/'.join(wanted)).hexdigest()[:16]}"
    with psycopg.connect(server_dsn, autocommit=True) as conn:
        conn.execute(_LOCK)
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            # Renamed when complete, so that a session that was killed leaves no half template.
            unfinished = f"{name}_new"
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(unfinished)))
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(unfinished)))
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                runner.run(_install(database_dsn(server_dsn, unfinished), names))
            # The first session of a database stores what it has read of the catalog, and the copies have it too.
            psycopg.connect(database_dsn(server_dsn, unfinished)).close()
            renamed = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            conn.execute(renamed.format(sql.Identifier(unfinished), sql.Identifier(name)))
    return name


class Databases:
    """Makes databases on a server, over one connection that stays.

    Args:
        dsn: A server whose user may create databases.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: psycopg.Connection[tuple[Any, ...]] | None = None

    @contextmanager
    def copy(self, template: str) -> Generator[str]:
        """A copy of a template for one test; gives its DSN."""
        name = f"powertools_test_{os.getpid()}_{next(_NUMBERS)}"
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        conn = self._connected()
        # Faster where nothing is flushed to a disk, and slower where it is.
        if conn.info.server_version >= 150000 and conn.execute("SHOW fsync").fetchone() == ("off",):
            copy += sql.SQL(" STRATEGY file_copy")
        conn.execute(copy)
        try:
            yield database_dsn(self._dsn, name)
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            self._connected().execute(drop)

    def close(self) -> None:
        """Close the connection."""
        if self._conn is not None:
            self._conn.close()

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(self._dsn, autocommit=True)
        return self._conn


def database_dsn(server_dsn: str, name: str) -> str:
    """The DSN of another database of a server, of the same form."""
    if "://" in server_dsn:
        return urlsplit(server_dsn)._replace(path=f"/{quote(name)}").geturl()
    return make_conninfo(server_dsn, dbname=name)


async def _install(dsn: str, names: Names) -> None:
    async with await connect(dsn) as conn:
        await schema.install(conn, names)
        await conn.execute(clock_sql(names))
