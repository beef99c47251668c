"""The demo's database: one of its own on the embedded PostgreSQL, whatever ``OBAN_DSN`` says."""

import hashlib
import signal
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from .. import schema
from ..database import connect
from ..embedded import start_embedded


@asynccontextmanager
async def open_database(data_directory: Path | None, *, fresh: bool = False) -> AsyncGenerator[str]:
    """Start or join the embedded server, and make the demo's database where it is missing.

    It is kept for the next run, with what an interrupted run left unfinished.

    Args:
        data_directory: As ``start_embedded``.
        fresh: Forget what earlier runs left.

    Returns:
        Its DSN.

    Raises:
        EmbeddedNotInstalledError: The extra ``embedded`` is missing.
        DatabaseUnavailableError: The server did not start.
    """
    with _undisturbed():
        server = start_embedded(data_directory)
    try:
        name = _name()
        await _create(server.dsn, Identifier(name), fresh=fresh)
        dsn = make_conninfo(server.dsn, dbname=name)
        async with await connect(dsn) as conn:
            await schema.install(conn)
        yield dsn
    finally:
        server.stop()


def _name() -> str:
    """Another one for another Python or schema, because a run can only go on with what it knows."""
    known = sys.version + schema.sql()
    return f"powertools_demo_{hashlib.sha256(known.encode()).hexdigest()[:8]}"


async def _create(dsn: str, database: Identifier, *, fresh: bool) -> None:
    async with await connect(dsn) as conn:
        if fresh:
            await conn.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
        with suppress(psycopg.errors.DuplicateDatabase):
            await conn.execute(SQL("CREATE DATABASE {}").format(database))


@contextmanager
def _undisturbed() -> Generator[None]:
    """Ctrl-C comes afterwards: it would also reach the programs that start the server, and leave half of it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
