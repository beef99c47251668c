"""Transactions that could lock the same rows in opposite order never do; where somebody else does, we ask again.

Rules: fault/F9.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Barrier, Gate, broken_settle
from tests.crash.cluster import Cluster
from tests.crash.steps import Step, step
from tests.support.ledger import eventually

COMPLETE = "UPDATE oban_jobs SET state = 'completed', completed_at = timezone('UTC', now()) WHERE id = ANY (%s)"


async def test_two_inserts_of_the_same_keys_in_opposite_order_do_not_deadlock(cluster: Cluster) -> None:
    def keyed(key: str, *tags: str) -> Workflow:
        workflow = Workflow("keyed", idempotency_key=key, tags=tags)
        workflow.add("only", step())
        return workflow

    async with Barrier.at(cluster.dsn, "second workflow") as barrier:
        there = asyncio.create_task(cluster.insert(keyed("a"), keyed("b", "second")))
        back = asyncio.create_task(cluster.insert(keyed("b"), keyed("a", "second")))
        await barrier.waiting(times=2)
        await barrier.open()

        [a, b], [b_again, a_again] = await asyncio.gather(there, back)

    assert (a.id, b.id) == (a_again.id, b_again.id)
    assert await cluster.is_sound()


async def test_a_sweep_that_repairs_two_workflows_does_not_deadlock_with_an_ack_of_both(cluster: Cluster) -> None:
    for name in ("first", "second"):
        workflow = Workflow(name)
        workflow.add(f"faulty {name}", step(queue="idle"))
        workflow.add(f"sound {name}", step(queue="idle"))
        await cluster.insert(workflow)
    jobs = await cluster.job_ids()
    async with cluster.session() as sweep, cluster.session() as ack:
        async with broken_settle(cluster.dsn):
            await ack.execute(COMPLETE, [[jobs["faulty second"]]])
            await ack.execute(COMPLETE, [[jobs["faulty first"]]])
        async with Barrier.at(cluster.dsn, "workflow counted") as barrier:
            sweeping = asyncio.create_task(sweep.execute("SELECT powertools.repair_faults(100)"))
            await barrier.waiting()
            acking = asyncio.create_task(ack.execute(COMPLETE, [[jobs["sound first"], jobs["sound second"]]]))
            await cluster.blocked()
            await barrier.open()
            await asyncio.gather(sweeping, acking)

    assert await cluster.ask("SELECT state FROM powertools.workflows") == ["completed", "completed"]
    assert await cluster.is_sound(faults=2)


@pytest.mark.crash
async def test_a_sweep_that_repairs_two_maps_does_not_deadlock_with_an_ack_in_their_workflows(cluster: Cluster) -> None:
    """The maps are expanded in the opposite order of their workflows, which are the locks of their families."""
    for name in ("first", "second"):
        workflow = Workflow(name)
        workflow.add(f"start {name}", step(queue="idle"))
        workflow.add(f"sound {name}", step(queue="idle"))
        workflow.map(f"faulty {name}", Step, over=[1], deps=f"start {name}")
        await cluster.insert(workflow)
    async with cluster.session() as sweep, cluster.session() as ack:
        for name in ("second", "first"):
            await ack.execute(COMPLETE, [[(await cluster.job_ids())[f"start {name}"]]])
        jobs = await cluster.job_ids()
        async with broken_settle(cluster.dsn):
            await ack.execute(COMPLETE, [[jobs["faulty second[0]"]]])
            await ack.execute(COMPLETE, [[jobs["faulty first[0]"]]])
        async with Barrier.at(cluster.dsn, "workflow counted") as barrier:
            sweeping = asyncio.create_task(sweep.execute("SELECT powertools.repair_faults(100)"))
            await barrier.waiting()
            acking = asyncio.create_task(ack.execute(COMPLETE, [[jobs["sound first"], jobs["sound second"]]]))
            await cluster.blocked()
            await barrier.open()
            await asyncio.gather(sweeping, acking)

    assert await cluster.ask("SELECT DISTINCT state FROM powertools.workflows") == ["completed"]
    assert await cluster.is_sound(faults=2)


@asynccontextmanager
async def acks_in_one_batch(cluster: Cluster, *, turbo: bool) -> AsyncIterator[dict[str, int]]:
    """At exit a node acknowledges the jobs b and c together: a's ack, which it waits for, kept it until both were done.

    Yields:
        Step -> job id; a, b, c of one workflow, of which d is in a queue that nobody works on.
    """
    workflow = Workflow("batch")
    async with Gate.closed(cluster.dsn, 1) as first, Gate.closed(cluster.dsn, 2) as second, cluster.session() as person:
        for name, gate in (("a", first), ("b", second), ("c", second)):
            workflow.add(name, step(gate=gate.number))
        workflow.add("d", step(queue="idle"))
        await cluster.insert(workflow)
        await cluster.node(turbo=turbo)
        for name in "abc":
            await cluster.ledger.until(name)
        jobs = await cluster.job_ids()
        async with person.transaction():
            await person.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", [jobs["a"]])
            await first.open()
            await cluster.blocked()
            await second.open()
            for name in "bc":
                await cluster.ledger.until(name, phase="end")
            yield jobs


async def test_an_ack_that_a_deadlock_with_somebody_else_ended_is_asked_again(cluster: Cluster, turbo: bool) -> None:
    async with cluster.session(autocommit=False) as somebody:
        await somebody.execute("SET deadlock_timeout = '1min'")  # so that the ack is the one to be ended
        async with acks_in_one_batch(cluster, turbo=turbo) as jobs:
            await somebody.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", [jobs["c"]])
        await cluster.blocked()
        await somebody.execute("SELECT FROM oban_jobs WHERE id = %s FOR UPDATE", [jobs["b"]])
        await somebody.commit()

    await cluster.until_states(a="completed", b="completed", c="completed", d="available")
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound(deadlocks=1)


async def test_a_bulk_ack_does_not_deadlock_with_the_cancel_of_a_step_and_its_neighbour(cluster: Cluster) -> None:
    async with cluster.oban() as oban, Barrier.at(cluster.dsn, "step b ended") as barrier:
        async with acks_in_one_batch(cluster, turbo=True) as jobs:
            pass
        await barrier.waiting()
        cancelling = asyncio.create_task(oban.cancel_many_jobs([jobs["c"], jobs["d"]]))
        await cluster.blocked()
        await barrier.open()
        await cancelling

    await cluster.until_states(a="completed", b="completed", c="completed", d="cancelled")
    assert await cluster.is_sound()


@pytest.mark.crash
async def test_a_stock_ack_that_deadlocks_with_such_a_cancel_is_recorded_all_the_same(cluster: Cluster) -> None:
    """Oban's own ack locks job by job in one transaction, so it holds the workflow when it waits for the next job."""
    patient = cluster.dsn_with("deadlock_timeout", 60_000)  # so that the ack is the one to be ended
    async with cluster.oban(dsn=patient) as oban, Barrier.at(cluster.dsn, "step b ended") as barrier:
        async with acks_in_one_batch(cluster, turbo=False) as jobs:
            pass
        await barrier.waiting()
        cancelling = asyncio.create_task(oban.cancel_many_jobs([jobs["c"], jobs["d"]]))
        await cluster.blocked()
        await barrier.open()
        await cancelling

    await cluster.until_states(a="completed", b="completed", c="completed", d="cancelled")
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound(deadlocks=1)


async def test_a_workflow_locked_for_longer_than_the_lock_timeout_is_settled_by_the_sweep(cluster: Cluster) -> None:
    workflow = Workflow("locked")
    workflow.add("a", step())
    [handle] = await cluster.insert(workflow)
    async with cluster.session(autocommit=False) as somebody:
        await somebody.execute("SELECT FROM powertools.workflows FOR UPDATE")
        await cluster.node(turbo=False, dsn=cluster.dsn_with("lock_timeout", 100), sweep_every=0.05)
        await eventually(lambda: cluster.ask("SELECT 1 FROM oban_jobs WHERE state = 'completed'"))
        locked = await cluster.ask("SELECT s.state || f.sqlstate FROM powertools.steps s, powertools.settle_faults f")
    [record] = await cluster.end([handle])

    assert locked == ["available55P03"]
    assert record.state == "completed"
    assert await cluster.is_sound(faults=1)


@pytest.mark.crash
async def test_a_bulk_ack_is_asked_again_when_it_waited_for_a_locked_job_in_vain(cluster: Cluster, gate: Gate) -> None:
    workflow = Workflow("locked")
    workflow.add("a", step(gate=gate.number))
    [handle] = await cluster.insert(workflow)
    await cluster.node()
    await cluster.ledger.until("a")
    async with cluster.session(autocommit=False) as somebody:
        await somebody.execute("SELECT FROM oban_jobs FOR UPDATE")
        await gate.open()
        since = await cluster.blocked()
        await cluster.blocked(since=since)  # our own pool gives up after 5 s
    [record] = await cluster.end([handle])

    assert record.state == "completed"
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound()
