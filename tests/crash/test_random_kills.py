"""Worker processes killed at random moments under load: all ends as it must, and is recorded once.

The first kill is aimed at a step that is known to run; the others hit what they hit.
"""

import random

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.graphs import Graph, chain, fan, random_graph
from tests.crash.steps import step

KILLS = 15


def load(chance: random.Random) -> list[Graph]:
    return [
        *(chain(10) for _ in range(40)),
        *(fan(50) for _ in range(4)),
        *(random_graph(chance, 20) for _ in range(20)),
    ]


def held(gate: Gate) -> Graph:
    """One step, whose first attempt runs until the gate is opened."""
    graph = Graph(workflow=Workflow("held"), states=["completed"], results={"held": 1}, runs={"held": 1})
    graph.workflow.add("held", step(gate=gate.number))
    return graph


@pytest.mark.crash
@pytest.mark.timeout(120)
@pytest.mark.parametrize("turbo", [[True, True], [False, False], [True, False]], ids=["turbo", "stock", "mixed"])
async def test_whatever_is_killed_everything_ends_and_is_recorded_once(
    cluster: Cluster, chance: random.Random, gate: Gate, turbo: list[bool]
) -> None:
    graphs = [held(gate), *load(chance)]
    handles = await cluster.insert(*(graph.workflow for graph in graphs))
    steps = sum(sum(graph.runs.values()) for graph in graphs)
    nodes = [await cluster.node(turbo=each, sweep_every=0.05) for each in turbo]

    async with cluster.lifeline():
        [running] = await cluster.ledger.until("held", within=30)
        started = 0
        for turn in range(KILLS):
            started += chance.randint(1, 2 * steps // KILLS // 2)
            await cluster.ledger.until_count(started)
            aimed = [node.pid for node in nodes].index(running.pid) if turn == 0 else None
            victim = chance.randrange(len(nodes)) if aimed is None else aimed
            await nodes[victim].kill()
            if aimed is not None:
                await gate.open()
            nodes[victim] = await cluster.node(turbo=turbo[victim], sweep_every=0.05)
        await cluster.end_as(handles, graphs, within=60)

    runs = await cluster.ledger.runs()
    must_run = {(h.id, name) for h, graph in zip(handles, graphs, strict=True) for name in graph.results}
    may_run = {(h.id, name) for h, graph in zip(handles, graphs, strict=True) for name in graph.runs}
    assert must_run <= runs.keys() <= may_run
    assert [(entry.attempt, entry.pid == running.pid) for entry in await cluster.ledger.entries("held")][:2] == [
        (1, True),
        (2, False),
    ]
    assert runs.total() > steps
    keys = await cluster.ledger.keys()
    assert len(keys) == len(runs)
    assert {len(steps) for steps in keys.values()} == {1}
    assert await cluster.is_sound()
