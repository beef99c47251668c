"""fault/F4: a kill, a lost backend or a statement timeout inside an ack's transaction: all of it or nothing."""

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Barrier, Gate
from tests.crash.cluster import Cluster
from tests.crash.steps import finished, step

POINTS = [
    ("ack", "ok"),
    ("step ended", "ok"),
    ("child released", "ok"),
    ("child inserted", "ok"),
    ("workflow counted", "ok"),
    ("commit", "ok"),
    ("cascade", "discard"),
    ("failures judged", "discard"),
    ("callback inserted", "discard"),
]
"""Where the ack of step a is interrupted, and what a ends as."""

BEFORE = ["executing", "available", 0]
AFTER = {"ok": ["completed", "completed", 1], "discard": ["discarded", "discarded", 1]}


def chain(outcome: str, gate: Gate) -> Workflow:
    """Only a runs: what its ack brings about waits in a queue that nobody works on."""
    workflow = Workflow("chain", on_finished=finished(queue="idle"))
    a = workflow.add("a", step(outcome, gate=gate.number))
    b = workflow.add("b", step(inputs=[a.result], queue="idle"))
    workflow.add("c", step(inputs=[b.result], queue="idle"))
    return workflow


async def outcome_of_a(cluster: Cluster) -> list[str | int]:
    """The state of its job, of the step, and how many jobs its ack inserted."""
    [outcome] = await cluster.ask("""
        SELECT jsonb_build_array(j.state, s.state, (SELECT count(*) FROM public.oban_jobs WHERE id > j.id))
        FROM powertools.steps s JOIN public.oban_jobs j ON j.id = s.job_id
        WHERE s.name = 'a'
    """)
    return outcome


@pytest.mark.parametrize(
    ("point", "outcome"),
    [point if point[0] == "child inserted" else pytest.param(*point, marks=pytest.mark.crash) for point in POINTS],
)
async def test_an_interrupted_ack_changed_everything_or_nothing(
    cluster: Cluster, gate: Gate, turbo: bool, point: str, outcome: str
) -> None:
    node = await cluster.node(turbo=turbo)
    await cluster.insert(chain(outcome, gate))
    async with Barrier.at(cluster.dsn, point) as barrier:
        await cluster.ledger.until("a")
        before = await cluster.rows()

        await gate.open()
        await barrier.terminate()  # the node asks again
        await barrier.cancel()  # and again
        interrupted = await cluster.rows()
        await node.kill()
        await barrier.open()
        await cluster.until_nothing_runs()
        killed = await outcome_of_a(cluster)

    assert interrupted == before
    assert killed in (BEFORE, AFTER[outcome])
    if killed == BEFORE:
        assert await cluster.rows() == before
    assert [run.attempt for run in await cluster.ledger.entries("a")] == [1]
    assert await cluster.is_sound()

    await cluster.node(turbo=turbo)
    async with cluster.lifeline():
        await cluster.until_states(a=AFTER[outcome][0])
    assert await cluster.is_sound()


async def test_a_statement_timeout_inside_settle_changes_nothing_and_the_ack_is_asked_again(
    cluster: Cluster, gate: Gate
) -> None:
    node = await cluster.node(turbo=False, dsn=cluster.dsn_with("statement_timeout", 300))
    await cluster.insert(chain("ok", gate))
    async with Barrier.at(cluster.dsn, "workflow counted") as barrier:
        await cluster.ledger.until("a")
        before = await cluster.rows()

        await gate.open()
        [backend] = await barrier.waiting()
        await barrier.waiting(since=backend.since)
        timed_out = await cluster.rows()
        await barrier.open()
        await cluster.until_states(a="completed")

    assert timed_out == before
    assert "canceling statement due to statement timeout" in node.log
    assert [run.attempt for run in await cluster.ledger.entries("a")] == [1]
    assert await cluster.is_sound()
