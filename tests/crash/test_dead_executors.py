"""Executors that die, hang, stop or only seem to: what runs again, how soon, and that nothing is recorded twice."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Powertools, Settings, Workflow
from oban_powertools.database.oban import pool_of
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.steps import step
from tests.support.ledger import eventually
from tests.support.tcp_proxy import TcpProxy

TIGHT: dict[str, Any] = {"gone_after": 1.5, "sweep_every": 0.25}
"""Settings under which a kill is noticed in less than 3 s."""


def gated(gate: Gate, outcome: str = "ok") -> Workflow:
    workflow = Workflow("gated")
    a = workflow.add("a", step(outcome, gate=gate.number))
    workflow.add("b", step(inputs=[a.result]))
    return workflow


async def rescues(cluster: Cluster) -> list[list[str]]:
    return await cluster.ask("SELECT jsonb_build_array(why, action) FROM powertools.rescues ORDER BY id")


@pytest.mark.parametrize(
    ("settings", "within"),
    [(TIGHT, 3), pytest.param({}, 20, marks=pytest.mark.crash)],
    ids=["tight", "default"],
)
async def test_a_step_of_a_killed_process_runs_again_soon_and_is_recorded_once(
    cluster: Cluster, gate: Gate, turbo: bool, settings: dict[str, Any], within: float
) -> None:
    victim = await cluster.node(turbo=turbo, **settings)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    survivor = await cluster.node(turbo=turbo, **settings)
    await cluster.until_beaten(survivor, since="2 s" if settings else "15 s")

    killed_at = time.monotonic()
    await victim.kill()
    await cluster.ledger.until("a", times=2, within=within)
    print(f"runs again after {time.monotonic() - killed_at:.2f} s")  # noqa: T201
    await gate.open()
    async with Gate.closed(cluster.dsn, gate.number + 1) as second:
        await second.open()
        [record] = await cluster.end([handle])

    assert record.state == "completed"
    assert [(run.pid, run.attempt) for run in await cluster.ledger.entries("a")] == [(victim.pid, 1), (survivor.pid, 2)]
    assert await rescues(cluster) == [["gone", "retried"]]
    assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 2}
    assert await cluster.is_sound()


async def test_the_only_process_is_killed_and_the_next_one_takes_over(cluster: Cluster, gate: Gate) -> None:
    victim = await cluster.node(**TIGHT)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    await victim.kill()
    await gate.open()

    await cluster.node(**TIGHT)
    [record] = await cluster.end([handle], within=10)

    assert record.state == "completed"
    assert await cluster.is_sound()


async def test_a_process_that_was_paused_too_long_returns_and_its_result_is_kept_as_late(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    zombie = await cluster.node(turbo=turbo, **TIGHT)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    await cluster.node(turbo=turbo, **TIGHT)
    async with Gate.closed(cluster.dsn, gate.number + 1) as second:
        zombie.pause()
        await cluster.ledger.until("a", times=2)
        await gate.open()
        zombie.resume()
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
    assert [health.state for health in await cluster.powertools.lifeline.list_executor_health()] == ["healthy"] * 2
    assert await cluster.is_sound()


async def test_a_blocked_event_loop_is_no_dead_process(cluster: Cluster) -> None:
    await cluster.nodes_of(2, **TIGHT)
    workflow = Workflow("busy")
    workflow.add("busy", step("busy"))

    [handle] = await cluster.insert(workflow)
    [record] = await cluster.end([handle])

    assert record.state == "completed"
    assert [entry.attempt for entry in await cluster.ledger.entries()] == [1]
    assert await rescues(cluster) == []
    assert await cluster.is_sound()


async def test_a_step_far_older_than_any_threshold_is_never_started_twice(cluster: Cluster, gate: Gate) -> None:
    await cluster.nodes_of(2, gone_after=1.0, sweep_every=0.1)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    await cluster.server_passes(4)

    await gate.open()
    await cluster.end([handle])

    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await rescues(cluster) == []
    assert await cluster.is_sound()


@pytest.mark.parametrize("off", [300, -300])
async def test_a_clock_that_is_five_minutes_off_decides_nothing(cluster: Cluster, gate: Gate, off: float) -> None:
    wrong = await cluster.node(clock_off_by=off, **TIGHT)
    await cluster.node(**TIGHT)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    await cluster.server_passes(3)
    before = await rescues(cluster)
    health = await cluster.powertools.lifeline.list_executor_health()
    await gate.open()
    await cluster.end([handle])

    assert wrong.running
    assert (before, [executor.state for executor in health]) == ([], ["healthy"] * 2)
    assert set((await cluster.ledger.runs()).values()) == {1}
    assert await cluster.is_sound()


async def test_a_stop_in_good_order_says_so_and_what_it_leaves_runs_again_at_once(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    stopping = await cluster.node(turbo=turbo, shutdown_grace_period=0.2)
    [handle] = await cluster.insert(gated(gate))
    await cluster.ledger.until("a")
    await cluster.node(turbo=turbo)

    await stopping.stop()
    [stopped] = await cluster.ask("SELECT count(*) FROM powertools.executors WHERE stopped_at IS NOT NULL")
    await cluster.ledger.until("a", times=2, within=5)
    async with Gate.closed(cluster.dsn, gate.number + 1) as second:
        await second.open()
        await cluster.end([handle])

    assert stopped == 1
    assert await rescues(cluster) == [["stopped", "retried"]]
    assert await cluster.is_sound()


@pytest.mark.notified  # the proxy reads the fetch's text, which a connection that has polled for long sends no more
async def test_jobs_of_a_fetch_whose_answer_was_lost_are_given_back_by_their_own_producer(
    cluster: Cluster, turbo: bool
) -> None:
    async with TcpProxy.before(cluster.dsn) as proxy:
        node = await cluster.node(turbo=turbo, dsn=proxy.dsn, **TIGHT)
        workflow = Workflow("lost")
        workflow.add("a", step())
        async with cluster.powertools.connect() as conn, conn.transaction():
            handle = await cluster.powertools.workflows.insert(workflow, conn=conn)
            proxy.swallow(b"locked_jobs", b"COMMIT")  # by now, so that it is not a fetch without a job
        [record] = await cluster.end([handle])

        assert (proxy.swallowed, record.state) == (1, "completed")
        assert [(entry.pid, entry.attempt) for entry in await cluster.ledger.entries()] == [(node.pid, 2)]
        assert await rescues(cluster) == [["lost", "retried"]]
        assert await cluster.is_sound()


@pytest.mark.crash
@pytest.mark.timeout(120)
async def test_a_job_that_kills_its_process_is_quarantined_after_three_and_its_neighbours_are_unharmed(
    cluster: Cluster, gate: Gate
) -> None:
    """Its neighbours are running whenever it kills: only apart from them does it die alone."""
    workflow = Workflow("poison")
    workflow.add("poison", step("kill"))
    workflow.add_many({f"n{n}": step(gate=gate.number) for n in range(3)})
    await cluster.node(**TIGHT)
    [handle] = await cluster.insert(workflow)

    async def quarantined() -> bool:
        if not any(node.running for node in cluster.nodes):
            await cluster.node(**TIGHT)
        return bool(await cluster.ask("SELECT 1 FROM oban_jobs WHERE state = 'suspended'"))

    async with Gate.closed(cluster.dsn, gate.number + 1), Gate.closed(cluster.dsn, gate.number + 2):
        await eventually(quarantined, within=90)
        await cluster.until_states(n0="completed", n1="completed", n2="completed", within=60)

    [poison] = [step for step in await cluster.powertools.workflows.steps(handle.id) if step.name == "poison"]
    crashes = [r for r in await rescues(cluster) if r[1] in ("isolated", "quarantined")]
    assert (poison.state, poison.attempt) == ("suspended", 4)
    assert crashes == [["gone", "isolated"]] * 4 + [["gone", "quarantined"]]
    assert await cluster.is_sound()


async def test_code_that_holds_every_connection_of_the_users_pool_looks_alive(dsn: str) -> None:
    settings = Settings(executor_gone_after=timedelta(seconds=1), sweep_every=timedelta(seconds=0.1))
    async with Powertools.open(dsn, queues={"default": 5}, settings=settings) as powertools:
        pool = pool_of(powertools.oban)
        held = [await pool.getconn() for _ in range(pool.max_size)]
        [first] = await powertools.lifeline.list_executor_health()

        async def beaten() -> bool:
            [now] = await powertools.lifeline.list_executor_health()
            return now.beat_at - first.beat_at > timedelta(seconds=2)

        await eventually(beaten)
        for conn in held:
            await pool.putconn(conn)


async def test_queues_that_are_started_and_stopped_later_beat_and_stop(dsn: str) -> None:
    async with Powertools.open(dsn, queues={"default": 1}) as powertools:
        await powertools.oban.start_queue(queue="later", limit=1)

        async def states() -> dict[str, str]:
            found = await powertools.lifeline.list_executor_health()
            return {executor.producer_scope: executor.state for executor in found}

        await eventually(lambda: _is(states, {"default": "healthy", "later": "healthy"}))
        await powertools.oban.stop_queue("later")
        await eventually(lambda: _is(states, {"default": "healthy", "later": "stopped"}))


async def _is[T](read: Callable[[], Awaitable[T]], expected: T) -> bool:
    return await read() == expected
