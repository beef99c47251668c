"""The doctor names a session that keeps others out, what it holds and who waits for it."""

import asyncio
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.by_hand import by_hand
from tests.upkeep.test_doctor import look

pytestmark = pytest.mark.notified  # the clock stands in the search path, where that of spoiled notifications does too

SKEWED = """
CREATE SCHEMA skewed;
CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT pg_catalog.clock_timestamp() + interval '{}' $$;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = skewed, pg_catalog, public', current_database()); END $$
"""
"""A database whose clock goes wrong, as far as any new session can tell."""

LOCKS = {
    "a stranger's": (
        "session * (powertools_test_stranger)\nidle since *, has locked 1 advisory lock; nothing waits for it"
    ),
    "awaited": (
        "session * (left open)\nidle in transaction since *, has locked oban_jobs, steps, 2 advisory locks; "
        "sessions that wait for it: *"
    ),
}
"""What the doctor says of sessions that hold locks; * stands for what varies."""


@pytest.fixture
async def stranger(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A session of a role that may connect, and nothing else."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        await admin.execute("CREATE ROLE powertools_test_stranger LOGIN PASSWORD 'x'")
        try:
            strangers = make_conninfo(dsn, user="powertools_test_stranger", password="x")
            async with await psycopg.AsyncConnection.connect(strangers, autocommit=True) as conn:
                yield conn
        finally:
            await admin.execute("DROP ROLE powertools_test_stranger")


async def locks(dsn: str, *, later: bool) -> list[str]:
    """What is found; later: by a clock that is 11 minutes ahead."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        if later:
            await conn.execute(SKEWED.format("11 min").encode())
    report = await look(dsn)
    assert report.broken == ()
    return [f"{f.subject}\n{f.found}" for f in report.findings if f.check == "locks"]


async def test_an_advisory_lock_that_a_stranger_holds_is_told_of_after_a_minute(
    dsn: str, stranger: psycopg.AsyncConnection
) -> None:
    await stranger.execute("SELECT pg_advisory_lock(7)")

    soon, later = await locks(dsn, later=False), await locks(dsn, later=True)

    assert soon == []
    assert [fnmatchcase(found, LOCKS["a stranger's"]) for found in later] == [True]


async def test_the_hosts_own_advisory_lock_is_told_of_only_when_somebody_waits_for_it(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as leader:
        await leader.execute("SELECT pg_advisory_lock(7)")

        assert await locks(dsn, later=True) == []


async def test_who_idles_in_a_transaction_with_rows_locked_is_told_of_with_those_who_wait(dsn: str) -> None:
    connect = psycopg.AsyncConnection.connect
    async with (
        by_hand(dsn, turbo=True) as hand,
        await connect(dsn, application_name="left open") as conn,
        await connect(dsn) as other,
    ):
        await conn.execute("SELECT FROM oban_jobs FOR UPDATE")
        await conn.execute("UPDATE powertools.steps SET worker = 'w'")
        await conn.execute("SELECT pg_advisory_lock(7), pg_advisory_lock(8)")
        pid, waiter = conn.info.backend_pid, other.info.backend_pid
        waiting = asyncio.create_task(other.execute("SELECT pg_advisory_lock(7)"))
        try:
            await hand.until_waiting(1)
            found = await locks(dsn, later=True)
        finally:
            await conn.rollback()
            await conn.execute("SELECT pg_advisory_unlock_all()")
            await waiting

    assert [fnmatchcase(text, LOCKS["awaited"]) for text in found] == [True]
    assert found[0].startswith(f"session {pid} ")
    assert found[0].endswith(f"wait for it: {waiter}")


async def test_a_transaction_that_has_only_read_keeps_nobody_out(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        await conn.execute("SELECT FROM oban_jobs, powertools.steps")

        assert await locks(dsn, later=True) == []
