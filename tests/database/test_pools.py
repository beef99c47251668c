"""A pool of ours is back as soon as its server is, and says once that it is lost and once that it is back."""

import asyncio
import logging
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from oban_powertools.database.pools import Pool, obans_pool
from tests.crash.server import Server
from tests.support.ledger import eventually


def warnings(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Logger and first words of what was said."""
    return [(record.name, record.getMessage().partition(",")[0]) for record in log.records if record.levelno >= 30]


async def answers(pool: Pool) -> bool:
    """Whether it gives out a connection that works."""
    try:
        async with pool.connection(timeout=0.5) as conn:
            await conn.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


async def test_an_outage_is_two_lines_a_pool(server_directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with Server.running(server_directory) as server, obans_pool(server.dsn, min_size=3, max_size=5) as pool:
        await pool.wait()
        with pytest.raises(psycopg.OperationalError):
            async with pool.connection() as conn:
                await conn.execute("SELECT 1")
                await server.stop("immediate")
        for _ in range(4):
            assert not await answers(pool)
        during = warnings(caplog)
        await server.start()
        await eventually(lambda: answers(pool), within=10)
        # All that were lost are there again, so nobody tries any more.
        await pool.wait()

    assert during == [("oban_powertools.database.pools", "the pool oban cannot connect")]
    assert warnings(caplog)[1:] == [("oban_powertools.database.pools", "the pool oban connects again")]


async def test_a_pool_that_cannot_connect_closes_at_once() -> None:
    pool = obans_pool("host=127.0.0.1 port=1", min_size=2, max_size=2)
    await pool.open()

    async with asyncio.timeout(5):
        await pool.close()

    assert pool.closed


def test_what_is_taken_over_of_psycopgs_pool_is_there() -> None:
    assert {"_connect", "_putconn"} <= vars(AsyncConnectionPool).keys()
