"""Outcomes that the database does not take now are seen by everybody (invariant/I6)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from oban import Job
from oban.decorators import worker

from oban_powertools import ExecutorHealth, Powertools, Settings, Workflow, WorkflowHandle
from tests.support.by_hand import everybody_may
from tests.support.command import powertools as run_command
from tests.support.ledger import eventually

pytestmark = pytest.mark.timeout(60)


@worker(queue="default", max_attempts=1)
class Returns:
    """Ends at once."""

    async def process(self, job: Job) -> int:
        return job.attempt


@pytest.fixture
async def running(dsn: str) -> AsyncIterator[Powertools]:
    """Works on the queue ``default``, beats every 0.2 s, and gives up early what the database refuses."""
    quick = Settings(executor_gone_after=timedelta(seconds=1))
    async with Powertools.open(dsn, queues={"default": 5}, authorize=everybody_may, settings=quick) as powertools:
        powertools._attachment.acknowledge.again_for = 0.05
        yield powertools


async def refuse(powertools: Powertools) -> None:
    async with powertools.connect() as conn:
        await conn.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'broken on purpose'; END $$"
        )
        await conn.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON oban_jobs FOR EACH ROW WHEN (OLD.state = 'executing')"
            " EXECUTE FUNCTION refuse()"
        )


async def take_again(powertools: Powertools) -> None:
    async with powertools.connect() as conn:
        await conn.execute("DROP FUNCTION IF EXISTS refuse CASCADE")


async def insert(powertools: Powertools) -> WorkflowHandle:
    workflow = Workflow("one")
    workflow.add("only", Job("tests.runtime.test_outcomes_aside.Returns", max_attempts=1))
    return await powertools.workflows.insert(workflow)


async def executor(powertools: Powertools) -> ExecutorHealth:
    [health] = await powertools.lifeline.list_executor_health()
    return health


async def test_what_an_executor_has_set_aside_is_told_with_its_beats(running: Powertools, dsn: str) -> None:
    async def told() -> bool:
        return (await executor(running)).aside == 1

    async def stored() -> bool:
        return (await executor(running)).aside == 0

    await refuse(running)
    try:
        handle = await insert(running)
        await eventually(told)
        held = await executor(running)
        explained = await running.explain.workflow_step(handle.id, "only")
        readings = {reading.name: reading.value for reading in (await running.metrics.read()).values}
        listed = await asyncio.to_thread(run_command, "executors", "list", dsn=dsn)
    finally:
        await take_again(running)
    await eventually(stored)

    assert held.aside_since is not None
    assert f"; its executor {held.executor_id} holds 1 outcome, perhaps its own" in explained.summary
    assert readings["outcomes_aside"] == 1
    assert readings["oldest_outcome_aside_seconds"] > 0
    assert "1 outcome set aside since " in listed.out
    assert (await handle.wait(timeout=timedelta(seconds=20))).state == "completed"
    assert (await executor(running)).aside_since is None


async def test_an_executor_that_has_stopped_holds_nothing(running: Powertools) -> None:
    async def told() -> bool:
        return (await executor(running)).aside == 1

    async def stopped() -> bool:
        return (await executor(running)).stopped_at is not None

    await refuse(running)
    try:
        await insert(running)
        await eventually(told)
        await running.oban.stop_queue(queue="default")
        await eventually(stopped)
        health = await executor(running)
    finally:
        await take_again(running)

    assert (health.aside, health.aside_since) == (0, None)
