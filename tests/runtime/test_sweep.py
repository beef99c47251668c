"""What no trigger saw is found by the sweep, within one round of its cursor, and settled with its result."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from oban import Cancel, Snooze

from oban_powertools import Settings, Workflow
from oban_powertools.database import Session
from oban_powertools.runtime.sweep import SweepLoop, Swept, sweep_once
from tests.support.breaking import blind
from tests.support.by_hand import Hand, chain, step


def three_roots() -> Workflow:
    workflow = Workflow("blind")
    workflow.add_many({"a": step(), "b": step(), "c": step()})
    workflow.add("after a", step({"x": Workflow.result("a")}))
    return workflow


async def test_jobs_that_ended_while_the_trigger_was_disabled_are_settled_with_results_and_errors(
    each_hand: Hand,
) -> None:
    workflow_id = await each_hand.insert(three_roots())
    async with blind(each_hand):
        await each_hand.run(workflow_id, {"a": {"kept": 1}, "b": ValueError("kept"), "c": Cancel("kept")})
        unmoved = await each_hand.rows("SELECT DISTINCT state FROM powertools.steps WHERE depth = 0")

    swept = await each_hand.sweep()

    steps = await each_hand.steps(workflow_id)
    assert (unmoved, swept) == ([{"state": "available"}], (0, 3))
    assert [(s.state, s.result) for s in steps.values()] == [
        ("completed", {"kept": 1}),
        ("discarded", None),
        ("cancelled", None),
        ("available", None),
    ]
    assert "ValueError: kept" in steps["b"].error["error"]
    assert steps["c"].error["error"] == "kept"
    assert steps["after a"].args == {"x": {"kept": 1}}
    assert all(steps[name].released_at and steps[name].started_at for name in "abc")


async def test_a_payload_from_outside_is_kept_while_the_trigger_is_disabled(hand: Hand) -> None:
    workflow_id = await hand.insert(three_roots())
    async with blind(hand):
        await hand.workflows.complete_step(workflow_id, "a", payload={"kept": 1})

    await hand.sweep()

    assert await hand.workflows.results(workflow_id) == {"a": {"kept": 1}}


async def test_jobs_deleted_while_the_trigger_was_disabled_cancel_their_steps(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    async with blind(hand):
        await hand.rows("DELETE FROM oban_jobs")
    missing = (await hand.rows("SELECT job_missing FROM powertools.step_states WHERE name = 's0'"))[0]

    assert await hand.sweep() == (0, 1)
    steps = await hand.steps(workflow_id)
    assert missing == {"job_missing": True}
    assert [(s.state, s.cause) for s in steps.values()] == [
        ("cancelled", "job_deleted"),
        ("cancelled", "cancelled_by_dependency"),
    ]


async def test_a_truncated_jobs_table_ends_every_workflow_that_ran(hand: Hand) -> None:
    ended = await hand.insert(chain(1))
    await hand.run_all(ended)
    before = await hand.workflow(ended)
    ids = [await hand.insert(chain(3)) for _ in range(30)]

    await hand.rows("TRUNCATE oban_jobs")
    swept = await hand.sweep()

    assert swept == (0, 30)
    assert {(await hand.workflow(workflow_id)).state for workflow_id in ids} == {"failed"}
    assert await hand.workflow(ended) == before


async def test_what_is_under_way_is_left_alone(each_hand: Hand) -> None:
    workflow = Workflow("under way")
    names = ["available", "executing", "retryable", "snoozed"]
    workflow.add_many({name: step(max_attempts=2) for name in names})
    workflow.add("pending", step(), deps=names)
    workflow_id = await each_hand.insert(workflow)
    await each_hand.run(workflow_id, {"retryable": ValueError("x"), "snoozed": Snooze(9)})
    await each_hand.start((await each_hand.job(workflow_id, "executing")).id)
    before = await each_hand.steps(workflow_id)

    assert await each_hand.sweep() == (0, 0)
    assert await each_hand.steps(workflow_id) == before


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 1000])
async def test_the_cursor_reaches_every_step_whatever_the_batch(hand: Hand, batch: int) -> None:
    for size in (1, 4, 2):
        workflow = Workflow("cursor")
        workflow.add_many({f"s{n}": step() for n in range(size)})
        await hand.insert(workflow)
    await hand.rows("TRUNCATE oban_jobs")
    reconciled, rounds, last = 0, 0, Swept()

    while rounds == 0 or not last.at_end:
        last = await sweep_once(hand.session, last, Settings(sweep_batch=batch))
        reconciled, rounds = reconciled + last.reconciled, rounds + 1

    assert reconciled == 7
    assert rounds <= 7 // batch + 2


async def test_a_sweep_beside_another_one_does_nothing_and_keeps_its_place(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.rows("TRUNCATE oban_jobs")
    async with await psycopg.AsyncConnection.connect(hand.dsn) as other:
        first = await sweep_once(Session(other, hand.powertools._services.queries), Swept(), Settings(sweep_batch=10))

        since = Swept(after_workflow_id=workflow_id - 1, after_position=2)
        second = await sweep_once(hand.session, since, Settings(sweep_batch=10))

    assert (first.swept, second.swept) == (True, False)
    assert (second.after_workflow_id, second.after_position) == (workflow_id - 1, 2)


async def test_a_sweep_that_fails_is_tried_again() -> None:
    tries = asyncio.Queue[int]()

    async def sweep(last: Swept) -> Swept:
        tries.put_nowait(tries.qsize())
        raise psycopg.OperationalError("gone")

    loop = SweepLoop(sweep, timedelta(milliseconds=1))
    loop.start()
    async with asyncio.timeout(5):
        for _ in range(3):
            await tries.get()
    await loop.stop()


async def test_stopping_waits_for_the_sweep_under_way() -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def sweep(last: Swept) -> Swept:
        began.set()
        await may_end.wait()
        ended.set()
        return last

    loop = SweepLoop(sweep, timedelta(hours=1))
    loop.start()
    await began.wait()
    stopping = asyncio.create_task(loop.stop())
    may_end.set()
    async with asyncio.timeout(5):
        await stopping

    assert ended.is_set()
