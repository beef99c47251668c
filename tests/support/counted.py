"""What PostgreSQL has counted by now, for tests that read its statistics."""

import psycopg
import pytest


async def count_now(conn: psycopg.AsyncConnection) -> None:
    """Have a session's statistics told to everybody. Skips the test where PostgreSQL tells them in its own time."""
    if conn.info.server_version < 150_000:
        pytest.skip("PostgreSQL 14 tells its statistics half a second later, and cannot be asked to hurry")
    await conn.execute("SELECT pg_stat_force_next_flush()")
