"""What is overdue fires without any traffic, once, whatever the number of nodes."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.runtime.sweep import SweepLoop, Swept, sweep_once
from oban_powertools.sweep_parts import PARTS
from tests.support.by_hand import Hand, chain, everybody_may, step

IN_NO_TIME = timedelta(milliseconds=1)
CALLED_BACK = (
    "SELECT meta ->> 'outcome' AS outcome, meta -> 'failed_steps' AS failed FROM oban_jobs WHERE meta ? 'outcome'"
)


def waiting(deadline: timedelta | None, **options: Any) -> Workflow:
    """wait, a chain of two that hangs on it, and a step that goes on all the same."""
    workflow = Workflow("overdue", on_finished=step(), **options)
    workflow.await_signal("wait", signal="x", correlation_key="y", deadline=deadline)
    workflow.add("after", step(), deps="wait")
    workflow.add("last", step(), deps="after")
    workflow.add("anyway", step({"e": Workflow.result("wait")}), deps={"wait": "continue"})
    return workflow


@pytest.mark.parametrize("overdue", ["wait", "workflow"])
async def test_running_powertools_alone_fires_it_within_two_seconds(dsn: str, overdue: str) -> None:
    async with Powertools.open(dsn, authorize=everybody_may) as powertools:
        workflow = Workflow("quiet", expires_in=IN_NO_TIME if overdue == "workflow" else None)
        deadline = IN_NO_TIME if overdue == "wait" else None
        workflow.await_signal("wait", signal="x", correlation_key="y", deadline=deadline)
        handle = await powertools.workflows.insert(workflow)

        ended = await handle.wait(timeout=timedelta(seconds=2))

        [wait] = await powertools.workflows.steps(handle.id)
    assert (ended.state, wait.state) == ("failed" if overdue == "wait" else "expired", "expired")
    assert wait.cause == ("wait_expired" if overdue == "wait" else "workflow_expired")


async def test_an_overdue_wait_cascades_and_the_workflow_goes_on_where_it_may(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting(IN_NO_TIME))

    await hand.sweep()
    states = await hand.states(workflow_id)
    await hand.run_all(workflow_id)

    assert states == {"wait": "expired", "after": "cancelled", "last": "cancelled", "anyway": "available"}
    ended = await hand.workflow(workflow_id)
    assert (ended.state, ended.failures_handled) == ("failed", True)
    assert await hand.rows(CALLED_BACK) == [{"outcome": "failed", "failed": ["wait", "after", "last"]}]


async def test_an_overdue_workflow_ends_what_is_idle_and_tells_what_runs(hand: Hand) -> None:
    workflow = waiting(None, expires_in=timedelta(hours=1))
    workflow.add_many({"idle": step(), "running": step()})
    workflow_id = await hand.insert(workflow)
    [job] = await hand.start((await hand.job(workflow_id, "running")).id)
    await hand.rows("UPDATE powertools.workflows SET expires_at = now()")

    await hand.sweep()
    stopping = await hand.workflow(workflow_id)
    states = await hand.states(workflow_id)
    await hand.sweep()
    await hand.ack(await hand.execute(job, "done"))

    assert (stopping.state, stopping.expired_at is not None) == ("cancel_requested", True)
    assert states.pop("running") == "executing"
    assert set(states.values()) == {"expired"}
    assert (await hand.steps(workflow_id))["idle"].cause == "workflow_expired"
    ended = await hand.workflow(workflow_id)
    assert (ended.state, ended.expired_at, ended.cancel_requested_at) == ("expired", stopping.expired_at, None)
    assert [row["outcome"] for row in await hand.rows(CALLED_BACK)] == ["expired"]


async def test_what_ended_in_time_does_not_expire(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1, expires_in=timedelta(hours=1)))
    await hand.run_all(workflow_id)
    await hand.rows("UPDATE powertools.workflows SET expires_at = now()")

    await hand.sweep()

    assert (await hand.workflow(workflow_id)).state == "completed"


async def test_a_workflow_that_is_being_cancelled_does_not_expire_as_well(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1, expires_in=timedelta(hours=1)))
    [job] = await hand.start((await hand.job(workflow_id, "s0")).id)
    await hand.workflows.request_cancel(workflow_id, actor="ops-1", reason="because of a test")
    await hand.rows("UPDATE powertools.workflows SET expires_at = now()")

    await hand.sweep()
    await hand.ack(await hand.execute(job, ValueError("x")))

    ended = await hand.workflow(workflow_id)
    assert (ended.state, ended.expired_at) == ("failed", None)


async def test_an_expired_workflow_may_be_recovered_and_has_its_whole_time_again(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2, on_finished=step(), expires_in=timedelta(hours=1)))
    await hand.rows("UPDATE powertools.workflows SET expires_at = now()")
    await hand.sweep()

    await hand.workflows.recover(workflow_id, actor="ops-1", reason="because of a test")
    running = await hand.workflow(workflow_id)
    await hand.sweep()
    await hand.run_all(workflow_id)

    assert (running.state, running.expired_at) == ("running", None)
    assert await hand.one("SELECT expires_at - clock_timestamp() > interval '59 min' FROM powertools.workflows")
    assert [row["outcome"] for row in await hand.rows(CALLED_BACK)] == ["expired", "completed"]


async def test_several_nodes_fire_each_deadline_once(dsn: str) -> None:
    async with AsyncExitStack() as nodes:
        first, *_ = [await nodes.enter_async_context(Powertools.open(dsn, authorize=everybody_may)) for _ in range(3)]
        workflows = [waiting(IN_NO_TIME) for _ in range(10)] + [waiting(None, expires_in=IN_NO_TIME) for _ in range(10)]
        for workflow in workflows:
            workflow.steps.pop()
        handles = await first.workflows.insert_many(workflows)

        ended = await asyncio.gather(*[handle.wait(timeout=timedelta(seconds=5)) for handle in handles])

        async with first.connect() as conn:
            cursor = await conn.execute(CALLED_BACK)
            called_back = len(await cursor.fetchall())
            cursor = await conn.execute("SELECT * FROM powertools.check_invariants_v1()")
            violations = await cursor.fetchall()
    assert [record.state for record in ended] == ["failed"] * 10 + ["expired"] * 10
    assert (called_back, violations) == (20, [])


@pytest.mark.parametrize("overdue", ["waits", "workflows"])
async def test_one_sweep_goes_on_batch_after_batch(hand: Hand, overdue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, f"expire_{overdue}", 7)
    in_time = timedelta(hours=1) if overdue == "workflows" else None
    deadline = timedelta(hours=1) if overdue == "waits" else None
    await hand.workflows.insert_many([waiting(deadline, expires_in=in_time) for _ in range(30)], conn=hand.conn)
    await hand.rows("UPDATE powertools.workflows SET expires_at = now() WHERE expires_at IS NOT NULL")
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() WHERE deadline_at IS NOT NULL")

    swept = await sweep_once(hand.session, Swept(), Settings())

    assert (swept.expired, swept.more) == (30, False)
    assert await hand.one("SELECT count(*) FROM powertools.steps WHERE state = 'expired' AND name = 'wait'") == 30


async def test_what_a_sweep_had_no_time_for_is_swept_at_once(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "expire_waits", 1)
    monkeypatch.setattr("oban_powertools.runtime.sweep._FULL_BATCHES_FOR", timedelta(0))
    await hand.workflows.insert_many([waiting(IN_NO_TIME) for _ in range(5)], conn=hand.conn)
    counts: list[int] = []
    rested = asyncio.Event()

    async def sweep(last: Swept) -> Swept:
        last = await sweep_once(hand.session, last, Settings())
        counts.append(last.expired)
        if not last.more:
            rested.set()
        return last

    loop = SweepLoop(sweep, timedelta(hours=1))
    loop.start()
    await rested.wait()
    await loop.stop()

    assert counts == [1, 1, 1, 1, 1, 0]
