"""A PostgreSQL to measure on, and fresh databases in it.

``BENCH_PG_URI`` names a server whose user may create databases; else the embedded one is started, durable as it comes
(fsync and synchronous_commit on; it also keeps the times of commits), in a directory that is removed at the end.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from oban_powertools import schema
from oban_powertools.database import Connection, connect
from oban_powertools.embedded import start_embedded


@contextmanager
def server() -> Iterator[str]:
    """The DSN of a server."""
    if given := os.environ.get("BENCH_PG_URI"):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="powertools-bench-") as directory:
        Path(directory).chmod(0o755)  # as root, the server runs as a user of its own
        running = start_embedded(Path(directory, "postgres"))
        with psycopg.connect(running.dsn, autocommit=True) as conn:
            conn.execute(b"ALTER SYSTEM SET track_commit_timestamp = on")
        running.stop()
        running = start_embedded(Path(directory, "postgres"))
        try:
            yield running.dsn
        finally:
            running.stop()


@asynccontextmanager
async def fresh_database(dsn: str, name: str = "powertools_bench") -> AsyncIterator[str]:
    """The DSN of a new database with both schemas; dropped at the end."""
    async with await connect(dsn) as admin:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        await admin.execute(f"CREATE DATABASE {name}".encode())
    fresh = make_conninfo(dsn, dbname=name)
    try:
        async with await connect(fresh) as conn:
            await schema.install(conn)
        yield fresh
    finally:
        async with await connect(dsn) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def scalar[T](conn: Connection, query: str, kind: type[T], *args: object) -> T:
    """The first column of the first row."""
    row = await (await conn.execute(query.encode(), args)).fetchone()
    assert row is not None
    assert isinstance(row[0], kind)
    return row[0]


class WalMeter:
    """Bytes of write-ahead log since it was made; a checkpoint comes first."""

    def __init__(self, conn: Connection, start: str) -> None:
        self._conn = conn
        self._start = start

    @classmethod
    async def begin(cls, conn: Connection) -> "WalMeter":
        await conn.execute(b"CHECKPOINT")
        return cls(conn, await scalar(conn, "SELECT pg_current_wal_lsn()::text", str))

    async def read(self) -> int:
        return await scalar(
            self._conn, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)::bigint", int, self._start
        )
