"""fault/F26: finished jobs are pruned as soon as can be, while their workflows run: nothing of ours needs the rows."""

import asyncio

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.graphs import chain
from tests.crash.steps import step
from tests.support.ledger import eventually


async def test_a_workflow_goes_on_without_the_pruned_jobs_of_its_ended_steps(cluster: Cluster, gate: Gate) -> None:
    workflow = Workflow("pruned")
    a = workflow.add("a", step())
    b = workflow.add("b", step(gate=gate.number), deps=[a])
    failed = workflow.add("failed", step("discard"))
    workflow.add("c", step(inputs=[a.result, b.result, failed.result]), deps={"failed": "continue"})
    [handle] = await cluster.insert(workflow)
    await cluster.node()

    async with cluster.oban(leadership=True, pruner={"max_age": 1, "interval": 0.1}):
        await cluster.ledger.until("b")
        await eventually(lambda: cluster.ask("SELECT 1 FROM oban_jobs HAVING array_agg(meta->>'step') = '{b}'"))
        await gate.open()
        await cluster.end([handle])
        await eventually(lambda: cluster.ask("SELECT 1 FROM oban_jobs HAVING count(*) = 0"))

    assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 1, "c": 3}
    assert [step.state for step in await cluster.powertools.workflows.steps(handle.id)] == [
        "completed",
        "completed",
        "discarded",
        "completed",
    ]
    assert await cluster.is_sound()


@pytest.mark.crash
async def test_a_pruner_that_never_rests_takes_nothing_from_workflows_under_load(cluster: Cluster, turbo: bool) -> None:
    ended = asyncio.Event()

    async def prune() -> int:
        pruned = 0
        async with cluster.session() as person:
            while not ended.is_set():
                deleted = await person.execute(
                    "DELETE FROM oban_jobs WHERE state IN ('completed', 'cancelled', 'discarded')"
                )
                pruned += deleted.rowcount
        return pruned

    await cluster.nodes_of(2, turbo=turbo, sweep_every=0.05)
    pruning = asyncio.create_task(prune())
    handles = await cluster.insert(*(chain(10).workflow for _ in range(50)))
    await cluster.end(handles)
    ended.set()

    assert await pruning > 100
    for handle in handles:
        assert list((await cluster.powertools.workflows.results(handle.id)).values()) == [*range(1, 11)]
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound()
