"""The server's queue of notifications is full: who notifies fails at the commit, so ours leave it out.

Rules: invariant/I5, I6.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from oban.decorators import job

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.database.sqlstates import Trouble, find_trouble, is_notify_queue_full
from tests.crash.server import Server
from tests.support.by_hand import everybody_may

QUICK = Settings(sweep_every=timedelta(seconds=0.2))


@job(queue="default", max_attempts=1)
async def echo(value: Any) -> Any:
    return value


def two() -> Workflow:
    workflow = Workflow("two")
    first = workflow.add("first", echo.new(value=1))
    workflow.add("second", echo.new(value=first.result))
    return workflow


@asynccontextmanager
async def full_queue(directory: Path) -> AsyncIterator[tuple[str, psycopg.Error]]:
    """A server with both schemas, in which a session listens with a transaction open; and what a NOTIFY meets."""
    async with Server.running(directory) as server:
        async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as conn:
            if conn.info.server_version < 170000:
                pytest.skip("the queue is 8 GB here")
            await conn.execute("ALTER SYSTEM SET max_notify_queue_pages = 64")
        await server.stop("fast")
        await server.start()
        async with (
            await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as listener,
            await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as filler,
        ):
            await listener.execute("LISTEN nobody")
            await listener.execute("BEGIN; SELECT 1")
            with pytest.raises(psycopg.Error) as met:
                for number in range(400):
                    await filler.execute("SELECT pg_notify('nobody', %s || repeat('x', 7000))", (str(number),))
            yield server.dsn, met.value


async def test_while_the_queue_of_notifications_is_full_everything_goes_on(server_directory: Path) -> None:
    done: dict[bool, Any] = {}
    async with full_queue(server_directory) as (dsn, met):
        for turbo in (True, False):
            async with Powertools.open(
                dsn,
                queues={"default": 5},
                authorize=everybody_may,
                settings=QUICK,
                turbo=turbo,
                leadership=False,
            ) as powertools:
                handle = await powertools.workflows.insert(two())
                plain = await powertools.oban.enqueue(echo.new(value=2))
                await powertools.workflows.signal("nobody", "waits")
                await handle.wait(timeout=timedelta(seconds=20))
                stopped = await powertools.workflows.insert(two())
                await powertools.workflows.request_cancel(stopped.id, actor="ops", reason="the queue is full")
                done[turbo] = (await powertools.workflows.results(handle.id), plain.id is not None)
            async with await psycopg.AsyncConnection.connect(dsn) as conn:
                usage = await (await conn.execute("SELECT pg_notification_queue_usage()")).fetchone()

    assert done == {turbo: ({"first": 1, "second": 1}, True) for turbo in (True, False)}
    assert usage is not None and usage[0] > 0.9
    assert is_notify_queue_full(met)
    assert find_trouble(met, lives=True) is Trouble.CONTENDED
