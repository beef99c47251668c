"""Whoever reads sees which processes of its host have ended, and stores that evidence alone (executors/R2, R7)."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Calls, open_calls
from oban_powertools.database import connect
from oban_powertools.runtime.processes import this_process
from oban_powertools.runtime.sweep import Swept
from oban_powertools.runtime.witness import Witness
from oban_powertools.states import WorkflowId
from tests.runtime.test_idle import sweeping
from tests.support.by_hand import Hand, chain, everybody_may
from tests.support.command import powertools
from tests.support.executing import beat, gone, take
from tests.support.ledger import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


async def ended_here(hand: Hand, *, alive: bool = False) -> WorkflowId:
    """A step runs on an executor of this host that has just sent a heartbeat; its process has ended, unless alive."""
    me = this_process()
    assert me is not None
    workflow_id = await hand.insert(chain(1))
    await beat(hand, "p1")
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1")
    await hand.rows(
        "UPDATE powertools.executors SET host = %s, pid = %s, ticks = %s, session_pid = 0",
        me.host,
        me.pid,
        me.ticks if alive else me.ticks - 1,
    )
    return workflow_id


@pytest.mark.parametrize(
    ("alive", "words"), [(False, ("Missing", "Blocked", "Blocked")), (True, ("Healthy", "Running", "Running"))]
)
async def test_a_command_sees_whether_the_process_of_an_executor_of_its_host_has_ended(
    hand: Hand, alive: bool, words: tuple[str, ...]
) -> None:
    await ended_here(hand, alive=alive)

    async with opened(hand) as calls:
        [executor] = await calls.lifeline.list_executor_health()
        [job] = (await calls.jobs.list()).jobs
        [workflow] = await calls.workflows.list()

    assert (executor.status, job.status, workflow.status) == words


@pytest.mark.parametrize("pooled", [False, True], ids=["on a connection", "over a pool"])
async def test_calls_see_it_however_long_they_are_open(hand: Hand, *, pooled: bool) -> None:
    over_pool = open_calls(AsyncConnectionPool(hand.dsn, open=False))
    async with over_pool if pooled else opened(hand) as calls:
        await ended_here(hand)

        async def is_missing() -> bool:
            return [executor.status for executor in await calls.lifeline.list_executor_health()] == ["Missing"]

        await eventually(is_missing)


async def test_a_queue_that_only_ended_processes_served_is_blocked_and_its_jobs_are_orphaned(hand: Hand) -> None:
    await ended_here(hand)

    async with opened(hand) as calls:
        [queue] = await calls.queues.list()

    assert (queue.status, queue.executing, queue.running, queue.executors) == ("Blocked", 1, 0, 0)


async def test_jobs_of_an_executor_that_beats_are_no_orphans_where_oban_has_lost_its_producers(hand: Hand) -> None:
    await ended_here(hand, alive=True)

    async with opened(hand) as calls:
        [queue] = await calls.queues.list()

    assert (queue.status, queue.executing, queue.running, queue.executors) == ("Running", 1, 1, 1)


async def test_a_job_of_an_ended_process_may_be_rescued_by_hand_at_once(hand: Hand) -> None:
    workflow_id = await ended_here(hand)
    job_id = (await hand.job(workflow_id, "s0")).id
    assert job_id is not None

    async with opened(hand) as calls:
        preview = await calls.lifeline.preview_repair("ada", action="job_rescue", target_type="job", target_id=job_id)

    assert preview.action == "job_rescue"
    assert any("was seen to have ended" in warning for warning in preview.warnings)
    assert not any("may still run" in warning for warning in preview.warnings)


async def test_what_an_ended_process_left_leads_to_its_rescue_before_there_is_an_incident(hand: Hand) -> None:
    workflow_id = await ended_here(hand)
    job_id = (await hand.job(workflow_id, "s0")).id

    def told(*words: object) -> str:
        return powertools(*map(str, words), dsn=hand.dsn).out

    # A process that starts rescues by itself, and without one a rescue starts nothing.
    rescue = f"  or: powertools repair preview job_rescue {job_id}\n"
    assert rescue in told("job", "explain", job_id)
    assert rescue in told("workflow", "explain", workflow_id, "s0")
    assert f"next: powertools workflow explain {workflow_id} s0\n" in told("workflow", "explain", workflow_id)


async def test_what_a_reader_stores_of_what_it_saw_is_the_evidence_alone(hand: Hand) -> None:
    await ended_here(hand)
    before = await hand.rows(STORED)

    async with opened(hand) as calls:
        await calls.lifeline.list_executor_health()

    [was], [row] = before, await hand.rows(STORED)
    assert {column for column in row if row[column] != was[column]} == {"died_at", "died_seen_by"}
    assert str(os.getpid()) in row["died_seen_by"]


async def test_a_reader_that_may_not_store_what_it_saw_answers_all_the_same(hand: Hand) -> None:
    await ended_here(hand)
    await hand.conn.execute("SET default_transaction_read_only = on")
    try:
        await Witness().look(hand.session)
    finally:
        await hand.conn.execute("RESET default_transaction_read_only")

    assert [executor.status for executor in await hand.powertools.lifeline.list_executor_health()] == ["Healthy"]


STORED = "SELECT e.*, (SELECT count(*) FROM powertools.rescues) AS rescues FROM powertools.executors e"


@asynccontextmanager
async def opened(hand: Hand) -> AsyncIterator[Calls]:
    """Calls as a command has them."""
    async with (
        await connect(hand.dsn) as conn,
        open_calls(conn, authorize=everybody_may) as calls,
    ):
        yield calls


async def test_a_process_that_runs_no_jobs_looks_with_its_sweep(hand: Hand) -> None:
    await ended_here(hand)

    async with sweeping(hand):
        await hand.powertools._sweep(Swept())

    assert await gone(hand) == {"p1": "gone"}
