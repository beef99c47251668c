"""kill -9 at every point of a step's life: fault/F1, F2, F3, F5; and of the process that inserts."""

from datetime import timedelta

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Barrier, Gate
from tests.crash.cluster import TABLES, Cluster
from tests.crash.steps import step


def chain(gate: int | None = None) -> Workflow:
    workflow = Workflow("chain")
    a = workflow.add("a", step(gate=gate))
    b = workflow.add("b", step(inputs=[a.result]))
    workflow.add("c", step(inputs=[b.result]))
    return workflow


async def test_a_job_whose_fetch_died_before_its_commit_is_taken_at_once_by_another_node(
    cluster: Cluster, turbo: bool
) -> None:
    async with Barrier.at(cluster.dsn, "fetch") as barrier:
        victim = await cluster.node(turbo=turbo)
        [handle] = await cluster.insert(chain())
        await barrier.waiting()

        await victim.kill()
        await barrier.open()
    await cluster.node(turbo=turbo)
    [record] = await cluster.end([handle], within=5)  # Oban's rescue would take minutes

    assert record.state == "completed"
    assert [(entry.step, entry.attempt) for entry in await cluster.ledger.entries()] == [("a", 1), ("b", 1), ("c", 1)]
    assert await cluster.is_sound()


async def test_a_step_killed_in_the_middle_runs_again_and_is_recorded_once(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    [handle] = await cluster.insert(chain(gate=gate.number))
    victim = await cluster.node(turbo=turbo)
    await cluster.ledger.until("a")

    await victim.kill()
    await gate.open()
    survivor = await cluster.node(turbo=turbo)
    async with cluster.lifeline():
        [record] = await cluster.end([handle])

    assert record.state == "completed"
    assert [(run.pid, run.attempt) for run in await cluster.ledger.entries("a")] == [(victim.pid, 1), (survivor.pid, 2)]
    assert len(await cluster.ledger.entries("a", phase="end")) == 1
    assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 2, "c": 3}
    assert await cluster.is_sound()


async def test_a_step_killed_between_its_code_and_its_ack_runs_again_with_the_same_idempotency_key(
    cluster: Cluster, turbo: bool
) -> None:
    victim = await cluster.node(turbo=turbo, crash_point="before_ack")
    [handle] = await cluster.insert(chain())
    await victim.killed_itself()

    await cluster.node(turbo=turbo)
    async with cluster.lifeline():
        [record] = await cluster.end([handle])

    assert record.state == "completed"
    first, second = await cluster.ledger.entries("a", phase="end")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.key == second.key
    assert first.key != (await cluster.ledger.entries("b"))[0].key
    assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 2, "c": 3}
    assert await cluster.is_sound()


async def test_an_attempt_that_was_rescued_while_it_ran_is_not_recorded(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    async with Gate.closed(cluster.dsn, gate.number + 1) as second_gate:
        [handle] = await cluster.insert(chain(gate=gate.number))
        node = await cluster.node(turbo=turbo)
        async with cluster.lifeline():
            await cluster.ledger.until("a", times=2)

        await gate.open()
        await cluster.ledger.until("a", phase="end")
        await cluster.ran_a_step()  # by when the node has also acknowledged the first attempt
        [state] = await cluster.ask("SELECT state FROM powertools.step_states WHERE name = 'a'")
        await second_gate.open()
        await cluster.end([handle])

    assert state == "executing"
    assert [(run.pid, run.attempt) for run in await cluster.ledger.entries("a", phase="end")] == [
        (node.pid, 1),
        (node.pid, 2),
    ]
    assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 2, "c": 3}
    assert await cluster.is_sound()


async def test_after_the_ack_a_kill_leaves_nothing_to_do(cluster: Cluster, turbo: bool) -> None:
    victim = await cluster.node(turbo=turbo, crash_point="after_ack")
    [handle] = await cluster.insert(chain())
    await victim.killed_itself()

    await cluster.node(turbo=turbo)
    [record] = await cluster.end([handle], within=5)

    assert record.state == "completed"
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound()


@pytest.mark.parametrize(("point", "stored"), [("before_insert_commit", False), ("after_insert_commit", True)])
async def test_an_inserter_killed_around_its_commit_leaves_a_whole_workflow_or_nothing(
    cluster: Cluster, point: str, stored: bool
) -> None:
    exit_code, _ = await cluster.run("tests.crash.inserter", cluster.dsn, "key", crash_point=point)
    rows = await cluster.rows()

    again = await cluster.run("tests.crash.inserter", cluster.dsn, "key")
    await cluster.node()
    [workflow] = await cluster.powertools.workflows.list()
    ended = await cluster.powertools.workflows.wait(workflow.id, timeout=timedelta(seconds=10))

    assert exit_code == 137
    assert [len(rows[table]) for table in TABLES] == ([1, 1, 2, 0] if stored else [0, 0, 0, 0])
    assert again == (0, f"{not stored}\n")
    assert ended.state == "completed"
    assert list((await cluster.ledger.runs()).values()) == [1, 1]
    assert await cluster.is_sound()


async def test_an_inserter_killed_between_two_slices_leaves_the_first_and_a_repeat_stores_the_others(
    cluster: Cluster,
) -> None:
    keys = ["a", "b", "c"]
    exit_code, _ = await cluster.run("tests.crash.inserter", cluster.dsn, *keys, crash_point="after_insert_commit")
    killed = await cluster.rows()

    again = await cluster.run("tests.crash.inserter", cluster.dsn, *keys)
    repeated = await cluster.rows()

    assert exit_code == 137
    assert [len(killed[table]) for table in TABLES[:3]] == [1, 1, 1000]
    assert again == (0, "False True True\n")
    assert [len(repeated[table]) for table in TABLES[:3]] == [3, 3, 3000]
    assert await cluster.is_sound()
