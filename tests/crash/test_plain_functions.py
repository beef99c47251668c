"""A plain function that runs in a thread while its process is killed, or paused for too long."""

from typing import Any

from oban import Job

from oban_powertools import Workflow
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.steps import step
from tests.support.ledger import eventually

TIGHT: dict[str, Any] = {"gone_after": 1.5, "sweep_every": 0.25}
"""Settings under which a kill is noticed in less than 3 s."""


def gated(gate: Gate) -> Workflow:
    workflow = Workflow("gated")
    a = workflow.add("a", Job("tests.crash.steps.PlainStep", args={"gate": gate.number}))
    workflow.add("b", step(inputs=[a.result]))
    return workflow


async def test_the_job_of_a_function_whose_process_is_killed_runs_again(cluster: Cluster, gate: Gate) -> None:
    victim = await cluster.node(**TIGHT)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    survivor = await cluster.node(**TIGHT)
    await cluster.until_beaten(survivor, since="2 s")

    await victim.kill()
    await cluster.ledger.until("a", times=2)
    await gate.open()
    async with Gate.closed(cluster.dsn, gate.number + 1) as second:
        await second.open()
        [record] = await cluster.end([handle])

    assert record.state == "completed"
    assert [(run.pid, run.attempt) for run in await cluster.ledger.entries("a")] == [(victim.pid, 1), (survivor.pid, 2)]
    assert [run.pid for run in await cluster.ledger.entries("a", phase="end")] == [survivor.pid]
    assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 2}
    assert await cluster.is_sound()


async def test_what_a_function_returns_after_its_job_was_rescued_is_kept_as_late(cluster: Cluster, gate: Gate) -> None:
    zombie = await cluster.node(**TIGHT)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    await cluster.node(**TIGHT)
    async with Gate.closed(cluster.dsn, gate.number + 1) as second:
        zombie.pause()
        await cluster.ledger.until("a", times=2)
        # Its thread runs on, and its attempt is not its job's any more.
        zombie.resume()
        await gate.open()
        kept = await eventually(lambda: cluster.ask("SELECT to_jsonb(l) FROM powertools.late_results AS l"))
        await second.open()
        [record] = await cluster.end([handle])

    assert [(late["attempt"], late["state"], late["result"]) for late in kept] == [(1, "completed", {"json": 1})]
    assert record.state == "completed"
    assert [(run.attempt, run.pid == zombie.pid) for run in await cluster.ledger.entries("a", phase="end")] == [
        (1, True),
        (2, False),
    ]
    assert (await cluster.ledger.runs())[(handle.id, "b")] == 1
    assert await cluster.is_sound()
