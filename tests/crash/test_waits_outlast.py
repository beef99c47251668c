"""Who waits for a workflow goes on waiting while the database is away, and is told when Powertools is left."""

import asyncio
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from oban_powertools import Powertools
from oban_powertools.errors import PowertoolsClosedError
from tests.crash.server import Server
from tests.support.by_hand import chain

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name LIKE %s"
)


@pytest.mark.crash
async def test_a_wait_outlasts_a_restart_of_the_server(server_directory: Path) -> None:
    async with Server.running(server_directory) as server, Powertools.open(server.dsn) as powertools:
        handle = await powertools.workflows.insert(chain(1))
        waiting = asyncio.create_task(handle.wait(timeout=timedelta(seconds=60)))
        await asyncio.sleep(0)

        await server.stop("fast")
        await server.start()
        await powertools.workflows.complete_step(handle.id, "s0")

        assert (await waiting).state == "completed"


async def test_a_wait_outlasts_lost_connections(dsn: str, powertools: Powertools) -> None:
    workflow = chain(1)
    handle = await powertools.workflows.insert(workflow)
    waiting = asyncio.create_task(handle.wait(timeout=timedelta(seconds=60)))

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as admin:
        for _ in range(5):
            await admin.execute(CUT, ["powertools%"])
            await asyncio.sleep(0)

    assert (await waiting).state in {"completed", "failed"}


async def test_who_still_waits_when_powertools_is_left_is_told(dsn: str) -> None:
    async with Powertools.open(dsn) as powertools:
        handle = await powertools.workflows.insert(chain(1))
        waiting = asyncio.create_task(handle.wait())
        await asyncio.sleep(0.05)

    with pytest.raises(PowertoolsClosedError):
        await waiting
