"""The connection is lost while the reply to an ack's commit is on its way; and networks that fail under load.

Rules: fault/F7.
"""

import asyncio
import random
from typing import Literal

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.graphs import chain
from tests.crash.steps import step
from tests.support.ledger import eventually
from tests.support.tcp_proxy import TcpProxy

ACK = {True: (b"ack_jobs_v1",), False: (b"completed_at = CASE", b"COMMIT")}
"""What a client says until its ack is committed: with turbo on our own pool, else on Oban's."""


@pytest.mark.parametrize("lost", ["reply", pytest.param("request", marks=pytest.mark.crash)])
async def test_an_ack_whose_commit_got_no_answer_is_asked_again_and_recorded_once(
    cluster: Cluster, turbo: bool, lost: Literal["request", "reply"]
) -> None:
    async with TcpProxy.before(cluster.dsn) as proxy:
        proxy.swallow(*ACK[turbo], lost=lost, times=3)
        node = await cluster.node(turbo=turbo, dsn=proxy.dsn)

        [handle] = await cluster.insert(chain(6).workflow)
        [record] = await cluster.end([handle])

        assert proxy.swallowed == 3
        assert record.state == "completed"
        assert list((await cluster.powertools.workflows.results(handle.id)).values()) == [1, 2, 3, 4, 5, 6]
        assert set((await cluster.ledger.runs()).values()) == {1}
        assert await cluster.ask("SELECT attempt FROM public.oban_jobs") == [1] * 6
        assert node.running
        assert await cluster.is_sound()


@pytest.mark.crash
@pytest.mark.parametrize("lost", ["reply", "request"])
async def test_the_last_ack_of_a_stopping_node_that_got_no_answer_is_asked_again(
    cluster: Cluster, gate: Gate, lost: Literal["request", "reply"]
) -> None:
    """Powertools has stopped before Oban, so this ack takes Oban's pool."""
    async with TcpProxy.before(cluster.dsn) as proxy:
        node = await cluster.node(dsn=proxy.dsn)
        workflow = Workflow("two")
        a = workflow.add("s0", step(gate=gate.number))
        workflow.add("s1", step(inputs=[a.result]))
        [handle] = await cluster.insert(workflow)
        await cluster.ledger.until("s0")

        stopping = asyncio.create_task(node.stop())
        await eventually(lambda: cluster.ask("SELECT 1 FROM oban_producers WHERE meta ? 'shutdown_started_at'"))
        proxy.swallow(b"ack_jobs_v1", b"COMMIT", lost=lost)
        await gate.open()
        await stopping
        swallowed = proxy.swallowed

    await cluster.node()
    [record] = await cluster.end([handle])

    assert swallowed == 1
    assert record.state == "completed"
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound()


@pytest.mark.crash
@pytest.mark.timeout(120)
async def test_connections_that_break_and_stall_under_load_lose_and_double_nothing(
    cluster: Cluster, chance: random.Random, turbo: bool
) -> None:
    async with TcpProxy.before(cluster.dsn) as proxy, cluster.lifeline(rescue_after=3):
        await cluster.nodes_of(2, turbo=turbo, dsn=proxy.dsn)
        handles = await cluster.insert(*(chain(20).workflow for _ in range(20)))
        done = 0
        for _ in range(12):
            done += chance.randint(1, 30)
            await cluster.ledger.until_count(done)
            if chance.random() < 0.5:  # every reply under way is lost, else every request too
                proxy.hold()
                await cluster.until_nothing_runs()
            proxy.cut()
            proxy.release()
        records = await cluster.end(handles, within=40)

        assert {record.state for record in records} == {"completed"}
        for handle in handles:
            assert list((await cluster.powertools.workflows.results(handle.id)).values()) == [*range(1, 21)]
        assert await cluster.is_sound()
