"""Two sessions at once: one order of locks, one outcome, no deadlock of our own making (settle/S4, fault/F28).

Who waits for whom is read from pg_locks; nothing here depends on timing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from oban_powertools import Workflow
from oban_powertools.errors import AlreadyTerminalError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step

END = "UPDATE oban_jobs SET state = 'completed' WHERE id = ANY (%s)"


class Sessions:
    """Connections of other people, in transactions of their own."""

    def __init__(self, dsn: str, stack: AsyncExitStack) -> None:
        self._dsn = dsn
        self._stack = stack

    async def open(self) -> AsyncConnection[Any]:
        conn = await AsyncConnection.connect(self._dsn)
        return await self._stack.enter_async_context(conn)


@pytest.fixture
async def sessions(shared_dsn: str) -> AsyncIterator[Sessions]:
    async with AsyncExitStack() as stack:
        yield Sessions(shared_dsn, stack)


async def two_roots(hand: Hand) -> tuple[WorkflowId, int, int]:
    """A workflow of two roots and a child of both, and the roots' jobs."""
    workflow = Workflow("two", on_finished=step())
    workflow.add_many({"a": step(), "b": step()})
    workflow.add("child", step(), deps=["a", "b"])
    workflow_id = await hand.insert(workflow)
    a, b = [(await hand.job(workflow_id, name)).id or 0 for name in "ab"]
    return workflow_id, a, b


def soon(awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
    async def run() -> Any:
        return await awaitable

    return asyncio.create_task(run())


async def test_two_sessions_that_end_the_last_two_steps_at_once_end_the_workflow_once(
    hand: Hand, sessions: Sessions
) -> None:
    workflow = Workflow("two ends", on_finished=step())
    workflow.add_many({"a": step(), "b": step()})
    workflow_id = await hand.insert(workflow)
    first, second, holder = [await sessions.open() for _ in range(3)]
    await holder.execute("SELECT FROM powertools.workflows FOR UPDATE")

    ends = [
        soon(conn.execute(END, ([(await hand.job(workflow_id, name)).id],)))
        for conn, name in ((first, "a"), (second, "b"))
    ]
    await hand.until_waiting(2)
    await holder.rollback()
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*[commit_after(end, conn) for end, conn in zip(ends, (first, second), strict=True)])

    assert (await hand.workflow(workflow_id)).state == "completed"
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'outcome'") == 1


async def commit_after(task: asyncio.Task[Any], conn: AsyncConnection[Any]) -> None:
    await task
    await conn.commit()


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "rollback"])
async def test_a_child_of_two_parents_is_released_by_the_one_that_commits_last(
    hand: Hand, sessions: Sessions, commit: bool
) -> None:
    workflow_id, a, b = await two_roots(hand)
    first, second = await sessions.open(), await sessions.open()

    await first.execute(END, ([a],))
    ending = soon(second.execute(END, ([b],)))
    await hand.until_waiting(1)
    await (first.commit() if commit else first.rollback())
    await ending
    await second.commit()

    assert (await hand.states(workflow_id))["child"] == ("available" if commit else "pending")
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE meta ->> 'step' = 'child'") == int(commit)


async def test_two_batches_over_the_same_workflows_do_not_deadlock_whatever_their_order(
    hand: Hand, sessions: Sessions
) -> None:
    (first_workflow, a1, b1), (second_workflow, a2, b2) = await two_roots(hand), await two_roots(hand)
    first, second, holder = [await sessions.open() for _ in range(3)]
    await holder.execute("SELECT FROM powertools.workflows WHERE id = %s FOR UPDATE", (second_workflow,))
    # In the heap, and so in the batch, the second session's jobs stand the other way round.
    await second.execute("UPDATE oban_jobs SET priority = 1 WHERE id = %s", (b1,))

    ends = [soon(first.execute(END, ([a1, a2],)))]
    await hand.until_waiting(1)
    ends.append(soon(second.execute(END, ([b2, b1],))))
    await hand.until_waiting(2)
    await holder.rollback()
    await asyncio.gather(*[commit_after(end, conn) for end, conn in zip(ends, (first, second), strict=True)])

    assert await hand.rows("SELECT * FROM powertools.settle_faults") == []
    assert {(await hand.states(w))["child"] for w in (first_workflow, second_workflow)} == {"available"}


async def test_two_plain_nodes_that_ack_row_by_row_in_opposite_order_lose_nothing(
    hand: Hand, sessions: Sessions
) -> None:
    """Oban without Powertools acknowledges as jobs came; the deadlock ends inside settle and is kept for the sweep."""
    (first_workflow, a1, b1), (second_workflow, a2, b2) = await two_roots(hand), await two_roots(hand)
    first, second = await sessions.open(), await sessions.open()
    for conn, job in ((first, a1), (second, b2)):
        await conn.execute("SET deadlock_timeout = '10ms'")
        await conn.execute(END, ([job],))

    crossing = [soon(first.execute(END, ([a2],))), soon(second.execute(END, ([b1],)))]
    await asyncio.gather(*[commit_after(task, conn) for task, conn in zip(crossing, (first, second), strict=True)])
    faults = await hand.rows("SELECT sqlstate FROM powertools.settle_faults")
    jobs = await hand.rows("SELECT DISTINCT state::text FROM oban_jobs WHERE id = ANY (%s)", [a1, a2, b1, b2])
    swept = await hand.sweep()

    assert (faults, jobs, swept) == ([{"sqlstate": "40P01"}], [{"state": "completed"}], (1, 0))
    assert {(await hand.states(w))["child"] for w in (first_workflow, second_workflow)} == {"available"}


async def test_a_workflow_held_for_longer_than_the_lock_timeout_is_left_to_the_sweep(
    hand: Hand, sessions: Sessions
) -> None:
    workflow_id, a, _ = await two_roots(hand)
    holder, ending = await sessions.open(), await sessions.open()
    await holder.execute("SELECT FROM powertools.workflows FOR UPDATE")

    await ending.execute("SET lock_timeout = '50ms'")
    await ending.execute(END, ([a],))
    await ending.commit()
    await holder.rollback()
    faults = await hand.rows("SELECT sqlstate FROM powertools.settle_faults")

    assert (faults, await hand.sweep()) == ([{"sqlstate": "55P03"}], (1, 0))
    assert (await hand.states(workflow_id))["a"] == "completed"


@pytest.mark.parametrize("first", ["ack", "complete_step"])
async def test_of_an_ack_and_a_completion_from_outside_the_first_is_the_outcome(
    each_hand: Hand, sessions: Sessions, first: str
) -> None:
    workflow_id, a, _ = await two_roots(each_hand)
    [job] = await each_hand.start(a)
    ack = await each_hand.execute(job, "ack")
    conn, holder = await sessions.open(), await sessions.open()
    await holder.execute("SELECT FROM powertools.workflows FOR UPDATE")

    if first == "ack":
        acking = soon(each_hand.ack(ack))
        await each_hand.until_waiting(1)
        completing = soon(each_hand.workflows.complete_step(workflow_id, "a", payload="outside", conn=conn))
    else:
        completing = soon(each_hand.workflows.complete_step(workflow_id, "a", payload="outside", conn=conn))
        await each_hand.until_waiting(1)
        acking = soon(each_hand.ack(ack))
    await each_hand.until_waiting(2)
    await holder.rollback()
    if first == "ack":
        with pytest.raises(AlreadyTerminalError):
            await completing
    else:
        await commit_after(completing, conn)

    assert await acking == ([a] if first == "ack" else [])
    assert await each_hand.workflows.results(workflow_id) == {"a": "ack" if first == "ack" else "outside"}


@pytest.mark.parametrize("first", ["ack", "delete"])
async def test_of_an_ack_and_a_delete_the_first_is_the_outcome(each_hand: Hand, sessions: Sessions, first: str) -> None:
    workflow_id, a, _ = await two_roots(each_hand)
    [job] = await each_hand.start(a)
    ack = await each_hand.execute(job, "ack")
    other, holder = await sessions.open(), await sessions.open()
    await holder.execute("SELECT FROM powertools.workflows FOR UPDATE")
    moves = {
        "ack": lambda: each_hand.ack(ack),
        "delete": lambda: other.execute("DELETE FROM oban_jobs WHERE id = %s", (a,)),
    }

    tasks = [soon(moves[first]())]
    await each_hand.until_waiting(1)
    tasks.append(soon(moves["delete" if first == "ack" else "ack"]()))
    await each_hand.until_waiting(2)
    await holder.rollback()
    await tasks[0]
    if first == "ack":
        await commit_after(tasks[1], other)
    else:
        await other.commit()
        assert await tasks[1] == []

    a_step = (await each_hand.steps(workflow_id))["a"]
    assert (a_step.state, a_step.cause) == (("completed", None) if first == "ack" else ("cancelled", "job_deleted"))


async def test_a_cancel_by_oban_waits_for_the_ack_and_then_leaves_the_ended_job_alone(
    each_hand: Hand, sessions: Sessions
) -> None:
    workflow_id, a, _ = await two_roots(each_hand)
    [job] = await each_hand.start(a)
    holder = await sessions.open()
    await holder.execute("SELECT FROM powertools.workflows FOR UPDATE")

    acking = soon(each_hand.ack(await each_hand.execute(job, "kept")))
    await each_hand.until_waiting(1)
    cancelling = soon(each_hand.oban._query.cancel_many_jobs([a]))
    await each_hand.until_waiting(2)
    await holder.rollback()

    assert (await acking, await cancelling) == ([a], (0, []))
    assert await each_hand.workflows.results(workflow_id) == {"a": "kept"}


async def test_inserts_and_ends_of_other_workflows_do_not_wait_for_a_held_one(hand: Hand, sessions: Sessions) -> None:
    held, (moving, a, _) = await hand.insert(chain(2)), await two_roots(hand)
    holder = await sessions.open()
    await holder.execute("SELECT FROM powertools.workflows WHERE id = %s FOR UPDATE", (held,))

    await hand.rows("SET lock_timeout = '100ms'")
    await hand.rows(END, [a])
    inserted = await hand.workflows.insert(chain(2), conn=hand.conn)

    assert (await hand.states(moving))["a"] == "completed"
    assert (await hand.states(inserted.id))["s0"] == "available"


async def test_a_job_can_be_ended_in_the_transaction_that_inserted_its_workflow(hand: Hand, sessions: Sessions) -> None:
    conn = await sessions.open()

    handle = await hand.workflows.insert(chain(2), conn=conn)
    await hand.workflows.complete_step(handle.id, "s0", payload=1, conn=conn)
    await hand.workflows.complete_step(handle.id, "s1", payload=2, conn=conn)
    await conn.commit()

    assert (await hand.workflow(handle.id)).state == "completed"
    assert await hand.workflows.results(handle.id) == {"s0": 1, "s1": 2}


async def test_two_inserts_of_the_same_keys_in_opposite_order_wait_and_do_not_deadlock(
    hand: Hand, sessions: Sessions
) -> None:
    def keyed(key: str) -> Workflow:
        return chain(1, idempotency_key=key)

    first, second, third = [await sessions.open() for _ in range(3)]
    await hand.workflows.insert(keyed("m"), conn=third)

    there = soon(hand.workflows.insert_many([keyed("a"), keyed("m"), keyed("z")], conn=first))
    await hand.until_waiting(1)
    back = soon(hand.workflows.insert_many([keyed("z"), keyed("m"), keyed("a")], conn=second))
    await hand.until_waiting(2)
    await third.rollback()
    await commit_after(there, first)
    await commit_after(back, second)

    assert [handle.id for handle in there.result()] == [handle.id for handle in back.result()][::-1]


async def test_only_lock_faults_of_others_reach_whoever_ends_a_job(hand: Hand, sessions: Sessions) -> None:
    """A job that somebody else holds is waited for, as in any UPDATE."""
    _, a, _ = await two_roots(hand)
    holder, ending = await sessions.open(), await sessions.open()
    await holder.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", (a,))

    await ending.execute("SET lock_timeout = '50ms'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        await ending.execute(END, ([a],))

    assert await hand.rows("SELECT * FROM powertools.settle_faults") == []
