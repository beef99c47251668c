"""Commands that meet in two sessions: one order of locks, one outcome, whoever comes first (settle/S4).

Who waits for whom is read from pg_locks; nothing here depends on timing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from oban.decorators import job
from psycopg import AsyncConnection

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError, WorkflowEndedError
from tests.database.test_locks import Sessions, soon
from tests.support.by_hand import Hand, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}
HELD = "SELECT FROM powertools.workflows ORDER BY id FOR UPDATE"


@pytest.fixture
async def sessions(shared_dsn: str) -> AsyncIterator[Sessions]:
    async with AsyncExitStack() as stack:
        yield Sessions(shared_dsn, stack)


async def in_order(hand: Hand, sessions: Sessions, *moves: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Begin each move when the one before it waits for the workflow; then let them go. Results or errors."""
    holder = await sessions.open()
    await holder.execute(HELD)
    tasks: list[asyncio.Task[Any]] = []
    for move in moves:
        tasks.append(soon(move()))
        await hand.until_waiting(len(tasks))
    await holder.rollback()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def commit(conn: AsyncConnection[Any], awaitable: Awaitable[Any]) -> Any:
    result = await awaitable
    await conn.commit()
    return result


@pytest.mark.parametrize("first", ["cancel", "completion"])
async def test_of_a_cancel_and_the_last_completion_both_hold_or_the_cancel_is_refused(
    each_hand: Hand, sessions: Sessions, first: str
) -> None:
    workflow_id = await each_hand.insert(chain(1, on_finished=step()))
    [running] = await each_hand.start((await each_hand.job(workflow_id, "s0")).id)
    done = await each_hand.execute(running, "done")

    cancel = partial(each_hand.workflows.request_cancel, workflow_id, **ASKED)
    complete = partial(each_hand.ack, done)
    moves = (cancel, complete) if first == "cancel" else (complete, cancel)
    results = await in_order(each_hand, sessions, *moves)

    s0 = (await each_hand.steps(workflow_id))["s0"]
    refused = [r for r in results if isinstance(r, WorkflowEndedError)]
    assert (s0.result, len(refused)) == ("done", 0 if first == "cancel" else 1)
    assert s0.cause == ("completed_after_cancel_request" if first == "cancel" else None)
    assert await each_hand.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'outcome'") == 1


@pytest.mark.parametrize("first", ["cancel", "completion"])
async def test_of_a_cancel_and_a_completion_with_children_no_child_is_left_running(
    each_hand: Hand, sessions: Sessions, first: str
) -> None:
    workflow_id = await each_hand.insert(chain(2))
    [running] = await each_hand.start((await each_hand.job(workflow_id, "s0")).id)
    done = await each_hand.execute(running, "done")
    cancel = partial(each_hand.workflows.request_cancel, workflow_id, **ASKED)
    complete = partial(each_hand.ack, done)

    await in_order(each_hand, sessions, *((cancel, complete) if first == "cancel" else (complete, cancel)))

    assert await each_hand.states(workflow_id) == {"s0": "completed", "s1": "cancelled"}
    assert (await each_hand.workflow(workflow_id)).state == "cancelled"
    assert await each_hand.one("SELECT count(*) FROM oban_jobs WHERE state = 'available'") == 0


@pytest.mark.parametrize("step_name", ["s0", None])
async def test_of_two_recoveries_one_is_carried_out_and_the_other_refused(
    each_hand: Hand, sessions: Sessions, step_name: str | None
) -> None:
    workflow_id = await each_hand.insert(chain(2))
    await each_hand.run(workflow_id, {"s0": ValueError("x")})

    results = await in_order(
        each_hand, sessions, *[lambda: each_hand.workflows.recover(workflow_id, step_name, **ASKED)] * 2
    )

    assert [type(r) for r in results][1:] == [IllegalTransitionError]
    assert (await each_hand.workflow(workflow_id)).generation == 2
    assert await each_hand.one("SELECT count(*) FROM oban_jobs WHERE state = 'available'") == 1
    assert await each_hand.one("SELECT count(*) FROM powertools.audit WHERE outcome = 'executed'") == 1
    assert [c["outcome"] for c in await each_hand.workflows.commands(workflow_id)] == ["rejected", "accepted"]


@pytest.mark.parametrize("first", ["inner", "outer"])
async def test_a_recovery_inside_and_one_of_the_step_above_bring_each_step_back_once(
    hand: Hand, sessions: Sessions, first: str
) -> None:
    outer = Workflow("outer")
    outer.add_workflow("child", chain(2))
    outer.add("after", step(), deps="child")
    workflow_id = await hand.insert(outer)
    child_id = (await hand.steps(workflow_id))["child"].child_id
    assert child_id is not None
    await hand.run(child_id, {"s0": ValueError("x")})
    inner = partial(hand.workflows.recover, child_id, "s0", **ASKED)
    above = partial(hand.workflows.recover, workflow_id, "child", **ASKED)

    results = await in_order(hand, sessions, *((inner, above) if first == "inner" else (above, inner)))

    assert isinstance(results[1], IllegalTransitionError)
    assert await hand.states(child_id) == {"s0": "available", "s1": "pending"}
    assert await hand.states(workflow_id) == {"child": "executing", "after": "pending"}
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE state = 'available'") == 1


@pytest.mark.parametrize("first", ["signal", "expiry"])
async def test_of_a_signal_and_the_expiry_the_first_decides(hand: Hand, sessions: Sessions, first: str) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="7", deadline=timedelta(milliseconds=1))
    workflow.add("after", step(), deps="paid")
    workflow_id = await hand.insert(workflow)
    signal = partial(hand.workflows.signal, "payment", "7", 5)

    sweeping = await sessions.open()
    # What the sweep found to be overdue before it waited for the workflow.
    overdue = "(%s, 0, NULL, %s, NULL, 'expired', 'wait_expired', 1, NULL, NULL, NULL, NULL)"
    found = (workflow_id, await hand.one("SELECT id FROM powertools.waits"))

    def expire() -> Awaitable[Any]:
        settle = f"SELECT powertools.settle(ARRAY[ROW {overdue}::powertools.outcome])"
        return commit(sweeping, sweeping.execute(settle.encode(), found))

    results = await in_order(hand, sessions, *((signal, expire) if first == "signal" else (expire, signal)))

    status = results[0 if first == "signal" else 1].status
    assert status == ("consumed" if first == "signal" else "late")
    assert await hand.states(workflow_id) == (
        {"paid": "completed", "after": "available"} if first == "signal" else {"paid": "expired", "after": "cancelled"}
    )


async def test_a_repeated_signal_waits_for_the_first_and_is_its_duplicate(hand: Hand, sessions: Sessions) -> None:
    workflow = Workflow("two waits")
    for name in "ab":
        workflow.await_signal(name, signal="payment", correlation_key="7")
    workflow_id = await hand.insert(workflow)
    first, second = await sessions.open(), await sessions.open()

    delivered = await hand.workflows.signal("payment", "7", 5, dedupe_key="d", conn=first)
    repeat = soon(commit(second, hand.workflows.signal("payment", "7", 6, dedupe_key="d", conn=second)))
    await hand.until_waiting(1)
    await first.commit()

    assert (delivered.status, (await repeat).status, (await repeat).id) == ("consumed", "duplicate", delivered.id)
    assert await hand.workflows.results(workflow_id) == {"a": 5}


async def test_a_repeat_of_a_signal_that_was_rolled_back_is_the_first(hand: Hand, sessions: Sessions) -> None:
    first, second = await sessions.open(), await sessions.open()

    await hand.workflows.signal("payment", "7", 5, dedupe_key="d", conn=first)
    repeat = soon(commit(second, hand.workflows.signal("payment", "7", 6, dedupe_key="d", conn=second)))
    await hand.until_waiting(1)
    await first.rollback()

    assert (await repeat).status == "stored"
    assert await hand.rows("SELECT payload FROM powertools.signals") == [{"payload": 6}]


async def test_a_signal_and_a_wait_that_missed_each_other_are_joined_by_the_sweep(
    hand: Hand, sessions: Sessions
) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="7")
    inserting, signalling = await sessions.open(), await sessions.open()

    handle = await hand.workflows.insert(workflow, conn=inserting)
    signal = await hand.workflows.signal("payment", "7", 5, conn=signalling)
    await inserting.commit()
    await signalling.commit()
    missed = await hand.states(handle.id)
    await hand.sweep()

    assert (signal.status, missed) == ("stored", {"paid": "awaiting_signal"})
    assert await hand.workflows.results(handle.id) == {"paid": 5}
    assert await hand.rows("SELECT status FROM powertools.signals") == [{"status": "consumed"}]


@pytest.mark.parametrize("first", ["wait", "signal"])
async def test_of_a_signal_and_a_wait_that_missed_each_other_either_may_be_seen_first(
    hand: Hand, sessions: Sessions, first: str
) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="7")
    inserting, signalling = await sessions.open(), await sessions.open()

    handle = await hand.workflows.insert(workflow, conn=inserting)
    await hand.workflows.signal("payment", "7", 5, conn=signalling)
    for conn in (inserting, signalling) if first == "wait" else (signalling, inserting):
        await conn.commit()
        await hand.sweep()

    assert await hand.workflows.results(handle.id) == {"paid": 5}


@pytest.mark.parametrize("first", ["end", "signal"])
async def test_of_a_workflows_end_and_a_signal_for_it_no_signal_is_left_stored(
    hand: Hand, sessions: Sessions, first: str
) -> None:
    workflow_id = await hand.insert(chain(1))
    ending, signalling = await sessions.open(), await sessions.open()
    cancel = partial(hand.workflows.request_cancel, workflow_id, actor="ops-1", reason="because of a test", conn=ending)
    signal = partial(hand.workflows.signal, "payment", "7", workflow_id=workflow_id, conn=signalling)

    if first == "end":
        await cancel()
        second = soon(commit(signalling, signal()))
    else:
        await signal()
        second = soon(commit(ending, cancel()))
    await hand.until_waiting(1)
    await (ending if first == "end" else signalling).commit()
    await second

    assert await hand.rows("SELECT status FROM powertools.signals") == [{"status": "late"}]


@job(queue="default", max_attempts=1)
def each(item: Any) -> None:
    """Never run."""


@pytest.mark.parametrize("first", ["expansion", "cancel"])
async def test_of_an_expansion_and_a_cancel_no_item_is_left_running(
    each_hand: Hand, sessions: Sessions, first: str
) -> None:
    workflow = Workflow("bulk")
    listing = workflow.add("list", step())
    workflow.map("each", each, over=listing.result)
    workflow_id = await each_hand.insert(workflow)
    [running] = await each_hand.start((await each_hand.job(workflow_id, "list")).id)
    done = await each_hand.execute(running, [1, 2, 3])
    expand = partial(each_hand.ack, done)
    cancel = partial(each_hand.workflows.request_cancel, workflow_id, **ASKED)

    await in_order(each_hand, sessions, *((expand, cancel) if first == "expansion" else (cancel, expand)))

    assert await each_hand.states(workflow_id) == {"list": "completed", "each": "cancelled"}
    assert (await each_hand.workflow(workflow_id)).state == "cancelled"
    items = await each_hand.rows("SELECT state::text FROM oban_jobs WHERE args ? 'item'")
    assert [row["state"] for row in items] == (["cancelled"] * 3 if first == "expansion" else [])
