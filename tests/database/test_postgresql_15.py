"""The whole core near the old end of the supported servers; the rest of the suite runs on the newest."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from psycopg import AsyncConnection

from oban_powertools import schema
from oban_powertools.database import connect
from tests.support.breaking import broken_steps, faulty_root
from tests.support.by_hand import Hand, by_hand
from tests.support.random_plays import PLAYS, Play
from tests.support.stage import Stage


@pytest.fixture
def pg15_installed_dsn(pg15_dsn: str) -> str:
    async def install() -> None:
        async with await connect(pg15_dsn) as conn:
            await schema.install(conn)

    asyncio.run(install())
    return pg15_dsn


async def test_every_function_was_installed_and_is_sound(pg15_installed_dsn: str) -> None:
    async with await AsyncConnection.connect(pg15_installed_dsn, autocommit=True) as conn:
        assert await schema.check_invariants(conn) == []
        assert conn.info.server_version // 10_000 == 15


@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
async def test_a_fault_is_recorded_and_repaired(pg15_installed_dsn: str, turbo: bool) -> None:
    async with by_hand(pg15_installed_dsn, turbo=turbo) as hand:
        workflow_id = await hand.insert(faulty_root())
        async with broken_steps(hand):
            await hand.run(workflow_id, {"faulty": 1})

        assert await hand.sweep() == (1, 0)
        await hand.run_all(workflow_id)
        assert (await hand.workflow(workflow_id)).state == "completed"


def test_settle_does_what_the_model_says(pg15_installed_dsn: str) -> None:
    @given(play=PLAYS)
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    def perform(play: Play) -> None:
        stage.perform(play)

    with asyncio.Runner() as runner:
        context = by_hand(pg15_installed_dsn, turbo=True)
        hand: Hand = runner.run(context.__aenter__())
        stage = Stage(runner, hand)
        runner.run(stage.build())
        perform()
        runner.run(context.__aexit__(None, None, None))
