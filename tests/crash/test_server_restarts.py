"""PostgreSQL restarts under load: nobody is taken for dead, every process goes on, nothing is doubled or lost.

Rules: fault/F6.
"""

import asyncio
import time
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from oban_powertools import Powertools, Workflow
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster, open_cluster
from tests.crash.graphs import chain
from tests.crash.server import Server
from tests.crash.steps import step
from tests.support.ledger import eventually


async def health(powertools: Powertools) -> list[str]:
    """As soon as the server answers: the state of each executor."""

    async def read() -> list[str]:
        try:
            return [executor.state for executor in await powertools.lifeline.list_executor_health()]
        except psycopg.Error:
            return []

    return await eventually(read, within=30)


async def all_beat(cluster: Cluster, count: int) -> bool:
    """Whether so many executors have beaten since the server's start."""
    [beating] = await cluster.ask(
        "SELECT count(*) FROM powertools.executors WHERE beat_at > pg_postmaster_start_time()"
    )
    return beating == count


@pytest.mark.crash
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_under_load_makes_nobody_gone_or_missing(
    server_directory: Path, dsn: str, tmp_path: Path, mode: Literal["fast", "immediate"]
) -> None:
    async with (
        Server.running(server_directory) as server,
        open_cluster(server.dsn, tmp_path, ledger_dsn=dsn) as cluster,
        Gate.closed(dsn) as gate,
    ):
        await cluster.nodes_of(2, gone_after=3, sweep_every=0.25)
        held = Workflow("held")
        held.add_many({f"h{n}": step(gate=gate.number) for n in range(6)})
        [holding] = await cluster.insert(held)
        await cluster.ledger.until_count(6)
        handles = await cluster.insert(*(chain(20).workflow for _ in range(20)))
        for done in (30, 150, 270):
            await cluster.ledger.until_count(6 + done, within=60)
            await server.stop(mode)
            await asyncio.sleep(2)  # an outage longer than the gap that a witness may have
            await server.start()
            states = await health(cluster.powertools)
            up_at = time.monotonic()
            await eventually(lambda: all_beat(cluster, 2), within=10)
            print(f"{mode}: everybody beats {time.monotonic() - up_at:.2f} s after the server is up")  # noqa: T201

            assert states == ["healthy"] * 2
        await cluster.server_passes(4)
        gone = await cluster.ask("SELECT to_jsonb(r) FROM powertools.rescues AS r WHERE why <> 'lost'")
        await gate.open()
        records = await cluster.end([*handles, holding], within=60)

        assert gone == []
        assert {record.state for record in records} == {"completed"}
        assert {entry.attempt for entry in await cluster.ledger.entries() if entry.step.startswith("h")} == {1}
        for handle in handles:
            assert list((await cluster.powertools.workflows.results(handle.id)).values()) == [*range(1, 21)]
        assert await cluster.is_sound(faults=None)
