"""invariant/I6: a fault in our bookkeeping is kept and repaired; it stops no queue, no other workflow and no sweep."""

from oban_powertools import Workflow
from tests.crash.barriers import broken_settle
from tests.crash.cluster import Cluster
from tests.crash.steps import step
from tests.support.ledger import eventually


def chain(prefix: str, length: int = 5) -> Workflow:
    workflow = Workflow(prefix)
    previous = workflow.add(f"{prefix} 0", step())
    for number in range(1, length):
        previous = workflow.add(f"{prefix} {number}", step(inputs=[previous.result]))
    return workflow


def idle(name: str) -> Workflow:
    """One step in a queue that nobody works on."""
    workflow = Workflow(name)
    workflow.add(name, step(queue="idle"))
    return workflow


async def test_a_fault_in_one_workflow_stops_no_other_and_is_repaired(cluster: Cluster, turbo: bool) -> None:
    await cluster.nodes_of(2, turbo=turbo, sweep_every=0.05)
    async with broken_settle(cluster.dsn):
        faulty = await cluster.insert(*(chain("faulty") for _ in range(3)))
        sound = await cluster.insert(*(chain("sound") for _ in range(30)))

        records = await cluster.end(sound)
        jobs = await cluster.ask("SELECT state::text FROM oban_jobs WHERE meta->>'step' LIKE 'faulty%'")
    repaired = await cluster.end(faulty)

    assert {record.state for record in records} == {"completed"}
    assert jobs == ["completed"] * 3
    assert {record.state for record in repaired} == {"completed"}
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound(faults=3)


async def test_a_fault_that_cannot_be_repaired_yet_does_not_stop_the_sweep(cluster: Cluster) -> None:
    await cluster.node(sweep_every=0.05)
    async with broken_settle(cluster.dsn), cluster.session() as person:
        [faulty, lost] = await cluster.insert(idle("faulty"), idle("lost"))
        await person.execute("UPDATE oban_jobs SET state = 'completed' WHERE meta->>'step' = 'faulty'")
        await eventually(lambda: cluster.ask("SELECT 1 FROM powertools.settle_faults WHERE faults > 1"))

        await person.execute("SET session_replication_role = replica")  # no trigger sees what follows
        await person.execute("DELETE FROM oban_jobs WHERE meta->>'step' = 'lost'")
        await cluster.end([lost], within=5)
    [repaired] = await cluster.end([faulty])

    assert [step.cause for step in await cluster.powertools.workflows.steps(lost.id)] == ["job_deleted"]
    assert repaired.state == "completed"
    assert await cluster.is_sound(faults=1)
