"""fault/F28: what happens at the same moment in two processes happens once, and in one order."""

import asyncio

import pytest

from oban_powertools import Workflow
from oban_powertools.errors import AlreadyTerminalError
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.steps import finished, step

COMPLETE_BY_HAND = """
UPDATE oban_jobs
SET state = 'completed', attempt = 1, completed_at = timezone('UTC', clock_timestamp()),
    meta = meta || '{"return": {"json": 1}}'
WHERE queue = %s
"""


async def test_two_parents_that_finish_together_in_two_processes_release_their_child_once(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    await asyncio.gather(cluster.node(turbo=turbo, queues={"one": 1}), cluster.node(turbo=turbo, queues={"two": 1}))
    workflow = Workflow("fan-in", on_finished=finished())
    parents = [workflow.add(name, step(queue=name, gate=gate.number)) for name in ("one", "two")]
    workflow.add("child", step(inputs=[parent.result for parent in parents], queue="one"))
    [handle] = await cluster.insert(workflow)
    await cluster.ledger.until("one")
    await cluster.ledger.until("two")

    async with cluster.session(autocommit=False) as person:
        await person.execute("SELECT FROM powertools.workflows FOR UPDATE")
        await gate.open()
        await cluster.blocked(2)
    await cluster.end([handle])

    assert await cluster.powertools.workflows.results(handle.id) == {"one": 1, "two": 1, "child": 3}
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert len(await cluster.ask("SELECT id FROM oban_jobs")) == 4
    assert await cluster.is_sound()


@pytest.mark.crash
async def test_two_parents_are_settled_where_they_end_also_where_repeatable_read_is_the_default(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    serializing = f"{cluster.dsn}&options=-cdefault_transaction_isolation%3Drepeatable%5C%20read"
    for queue in ("one", "two"):
        await cluster.node(turbo=turbo, queues={queue: 1}, dsn=serializing, sweep_every=0.05)
    workflow = Workflow("fan-in")
    parents = [workflow.add(name, step(queue=name, gate=gate.number)) for name in ("one", "two")]
    workflow.add("child", step(inputs=[parent.result for parent in parents], queue="one"))
    [handle] = await cluster.insert(workflow)
    await cluster.ledger.until("one")
    await cluster.ledger.until("two")

    async with cluster.session(autocommit=False) as person:
        await person.execute("SELECT FROM powertools.workflows FOR UPDATE")
        await gate.open()
        await cluster.blocked(2)
    await cluster.end([handle])

    assert await cluster.powertools.workflows.results(handle.id) == {"one": 1, "two": 1, "child": 3}
    assert await cluster.is_sound(faults=0)


@pytest.mark.crash
async def test_of_two_parents_one_that_fails_to_serialize_is_settled_by_the_sweep(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    await cluster.node(turbo=turbo, queues={"one": 1}, sweep_every=0.05)
    workflow = Workflow("fan-in")
    parents = [workflow.add(name, step(queue=name, gate=gate.number)) for name in ("one", "two")]
    workflow.add("child", step(inputs=[parent.result for parent in parents], queue="one"))
    [handle] = await cluster.insert(workflow)
    await cluster.ledger.until("one")

    async with cluster.session(autocommit=False) as other_tool:
        await other_tool.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await other_tool.execute("SELECT FROM oban_jobs")
        await gate.open()
        await cluster.until_states(one="completed")
        await other_tool.execute(COMPLETE_BY_HAND, ("two",))
    await cluster.end([handle])

    assert await cluster.powertools.workflows.results(handle.id) == {"one": 1, "two": 1, "child": 3}
    assert await cluster.ask("SELECT sqlstate FROM powertools.settle_faults") == ["40001"]
    assert await cluster.is_sound(faults=1)


async def test_the_last_two_steps_that_finish_together_in_two_processes_end_the_workflow_once(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    await asyncio.gather(cluster.node(turbo=turbo, queues={"one": 1}), cluster.node(turbo=turbo, queues={"two": 1}))
    workflow = Workflow("two ends", on_finished=finished())
    for name in ("one", "two"):
        workflow.add(name, step(queue=name, gate=gate.number))
    [handle] = await cluster.insert(workflow)
    await cluster.ledger.until("one")
    await cluster.ledger.until("two")

    async with cluster.session(autocommit=False) as person:
        await person.execute("SELECT FROM powertools.workflows FOR UPDATE")
        await gate.open()
        await cluster.blocked(2)
    [record] = await cluster.end([handle])

    assert record.state == "completed"
    assert len(await cluster.ask("SELECT id FROM oban_jobs WHERE worker LIKE '%Finished'")) == 1
    assert await cluster.is_sound()


@pytest.mark.parametrize("first", ["ack", "cancel"])
async def test_of_a_cancel_and_a_completion_at_the_same_moment_one_is_the_outcome(
    cluster: Cluster, gate: Gate, turbo: bool, first: str
) -> None:
    """Where Oban only signals an executing job, a person in psql writes."""
    await cluster.node(turbo=turbo)
    workflow = Workflow("race")
    a = workflow.add("a", step(gate=gate.number))
    workflow.add("b", step(inputs=[a.result]))
    [handle] = await cluster.insert(workflow)
    await cluster.ledger.until("a")
    cancel = (
        "UPDATE oban_jobs SET state = 'cancelled', cancelled_at = timezone('UTC', now())"
        " WHERE meta->>'step' = 'a' AND state = 'executing'"
    )

    async with cluster.session() as person, cluster.session(autocommit=False) as holder:
        await holder.execute("SELECT FROM oban_jobs FOR UPDATE")
        if first == "cancel":
            cancelling = asyncio.create_task(person.execute(cancel))
            await cluster.blocked(1)
            await gate.open()
            await cluster.blocked(2)
        else:
            await gate.open()
            await cluster.blocked(1)
            cancelling = asyncio.create_task(person.execute(cancel))
            await cluster.blocked(2)
        await holder.commit()
        cancelled = (await cancelling).rowcount
    [record] = await cluster.end([handle])
    states = [step.state for step in await cluster.powertools.workflows.steps(handle.id)]

    if first == "cancel":
        assert (cancelled, record.state, states) == (1, "failed", ["cancelled", "cancelled"])
    else:
        assert (cancelled, record.state, states) == (0, "completed", ["completed", "completed"])
    assert await cluster.is_sound()


@pytest.mark.crash
@pytest.mark.parametrize("first", ["ack", "complete_step"])
async def test_of_an_ack_and_a_completion_from_outside_at_the_same_moment_one_is_the_outcome(
    cluster: Cluster, gate: Gate, turbo: bool, first: str
) -> None:
    await cluster.node(turbo=turbo)
    workflow = Workflow("race")
    a = workflow.add("a", step(gate=gate.number))
    workflow.add("b", step(inputs=[a.result]))
    [handle] = await cluster.insert(workflow)
    await cluster.ledger.until("a")

    def complete() -> asyncio.Task[None]:
        return asyncio.create_task(cluster.powertools.workflows.complete_step(handle.id, "a", payload=41))

    async with cluster.session(autocommit=False) as holder:
        await holder.execute("SELECT FROM oban_jobs FOR UPDATE")
        if first == "ack":
            await gate.open()
            await cluster.blocked(1)
            completing = complete()
        else:
            completing = complete()
            await cluster.blocked(1)
            await gate.open()
        await cluster.blocked(2)
    if first == "ack":
        with pytest.raises(AlreadyTerminalError):
            await completing
    else:
        await completing
    await cluster.end([handle])

    a_result = 1 if first == "ack" else 41
    assert await cluster.powertools.workflows.results(handle.id) == {"a": a_result, "b": a_result + 1}
    assert await cluster.is_sound()
