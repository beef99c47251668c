"""Several worker processes on one database, nothing killed: every step runs once, and no two transactions deadlock."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.crash.cluster import Cluster
from tests.crash.graphs import Graph, chain, fan, random_graph


async def run(cluster: Cluster, graphs: Sequence[Graph], *, within: float) -> None:
    """Insert all at once, and assert that each ended as it must and that every step ran once."""
    handles = await cluster.insert(*(graph.workflow for graph in graphs))
    await cluster.end_as(handles, graphs, within=within)
    runs = {
        (handle.id, name): runs
        for handle, graph in zip(handles, graphs, strict=True)
        for name, runs in graph.runs.items()
    }
    assert await cluster.ledger.runs() == Counter(runs)


async def test_two_processes_run_every_step_of_chains_fans_and_random_graphs_once(
    cluster: Cluster, chance: random.Random
) -> None:
    await cluster.node(turbo=True, sweep_every=0.05)
    await cluster.node(turbo=False, sweep_every=0.05)
    graphs = [
        *(chain(10) for _ in range(20)),
        *(fan(50) for _ in range(3)),
        *(random_graph(chance, 15) for _ in range(10)),
    ]

    await run(cluster, graphs, within=20)

    assert await cluster.is_sound()


@pytest.mark.crash
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "turbo", [[True] * 4, [False] * 2, [True, False, True, False]], ids=["turbo", "stock", "mixed"]
)
async def test_processes_on_one_database_run_every_step_once_under_load(
    cluster: Cluster, chance: random.Random, turbo: list[bool]
) -> None:
    for each in turbo:
        await cluster.node(turbo=each, sweep_every=0.05)
    graphs = [
        *(chain(10) for _ in range(60)),
        *(fan(100) for _ in range(6)),
        *(random_graph(chance, 25) for _ in range(30)),
    ]

    await run(cluster, graphs, within=50)

    assert await cluster.is_sound()


@pytest.mark.crash
@pytest.mark.timeout(120)
@pytest.mark.parametrize("nodes", [2, 4])
async def test_a_thousand_parents_in_several_processes_release_their_child_and_end_their_workflow_once(
    cluster: Cluster, nodes: int, turbo: bool
) -> None:
    await cluster.nodes_of(nodes, turbo=turbo, limit=50)

    await run(cluster, [fan(1000)], within=40)

    assert await cluster.ask("SELECT count(*) FROM oban_jobs") == [1002]
    assert await cluster.is_sound()
