"""F9: transactions that could lock the same rows in opposite order never do; where somebody else does, we ask again."""

import asyncio

from oban_powertools import Workflow
from tests.crash.barriers import Barrier, broken_settle
from tests.crash.cluster import Cluster
from tests.crash.steps import step

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
            sweeping = asyncio.create_task(sweep.execute("SELECT powertools.repair_settle_faults_v1(100)"))
            await barrier.waiting()
            acking = asyncio.create_task(ack.execute(COMPLETE, [[jobs["sound first"], jobs["sound second"]]]))
            await cluster.blocked()
            await barrier.open()
            await asyncio.gather(sweeping, acking)

    assert await cluster.ask("SELECT state FROM powertools.workflows") == ["completed", "completed"]
    assert await cluster.is_sound(faults=2)
