"""Worker processes killed at random moments under load: all ends as it must, and is recorded once."""

import random

import pytest

from tests.crash.cluster import Cluster
from tests.crash.graphs import Graph, chain, fan, random_graph

KILLS = 15


def load(chance: random.Random) -> list[Graph]:
    return [
        *(chain(10) for _ in range(40)),
        *(fan(50) for _ in range(4)),
        *(random_graph(chance, 20) for _ in range(20)),
    ]


@pytest.mark.crash
@pytest.mark.timeout(120)
@pytest.mark.parametrize("turbo", [[True, True], [False, False], [True, False]], ids=["turbo", "stock", "mixed"])
async def test_whatever_is_killed_everything_ends_and_is_recorded_once(
    cluster: Cluster, chance: random.Random, turbo: list[bool]
) -> None:
    graphs = load(chance)
    handles = await cluster.insert(*(graph.workflow for graph in graphs))
    steps = sum(sum(graph.runs.values()) for graph in graphs)
    nodes = [await cluster.node(turbo=each, sweep_every=0.05) for each in turbo]

    async with cluster.lifeline():
        started = 0
        for _ in range(KILLS):
            started += chance.randint(1, 2 * steps // KILLS // 2)
            await cluster.ledger.until_count(started)
            victim = chance.randrange(len(nodes))
            await nodes[victim].kill()
            nodes[victim] = await cluster.node(turbo=turbo[victim], sweep_every=0.05)
        await cluster.end_as(handles, graphs, within=60)

    runs = await cluster.ledger.runs()
    must_run = {(h.id, name) for h, graph in zip(handles, graphs, strict=True) for name in graph.results}
    may_run = {(h.id, name) for h, graph in zip(handles, graphs, strict=True) for name in graph.runs}
    assert must_run <= runs.keys() <= may_run
    assert runs.total() > steps, "no kill hit a running step"
    keys = await cluster.ledger.keys()
    assert len(keys) == len(runs)
    assert {len(steps) for steps in keys.values()} == {1}
    assert await cluster.is_sound()
