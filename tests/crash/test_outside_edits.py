"""fault/F25: somebody deletes, cancels, retries or edits a step's job with raw SQL or Oban's API while workers run."""

from collections import Counter
from typing import Any, LiteralString

import pytest

from oban_powertools import Workflow
from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster
from tests.crash.steps import finished, step
from tests.support.ledger import eventually

COMPLETED = ["completed", "completed", "completed"]

EDITS: dict[str, tuple[LiteralString, list[str], dict[str, Any]]] = {
    "retried": ("UPDATE oban_jobs SET state = 'available' WHERE id = %s", COMPLETED, {"a": 1, "b": 2, "c": 2}),
    "completed": ("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", COMPLETED, {"a": None, "b": 1, "c": 1}),
    "cancelled": (
        "UPDATE oban_jobs SET state = 'cancelled' WHERE id = %s",
        ["cancelled", "cancelled", "completed"],
        {"c": 1},
    ),
    "discarded": (
        "UPDATE oban_jobs SET state = 'discarded' WHERE id = %s",
        ["discarded", "cancelled", "completed"],
        {"c": 1},
    ),
    "deleted": ("DELETE FROM oban_jobs WHERE id = %s", ["cancelled", "cancelled", "completed"], {"c": 1}),
}
"""What is done to the running job of a; the states of a, b (which needs it) and c (which goes on without); results."""


def followed(name: str, gate: Gate) -> Workflow:
    workflow = Workflow(name, on_finished=finished())
    a = workflow.add("a", step(gate=gate.number))
    workflow.add("b", step(inputs=[a.result]))
    workflow.add("c", step(inputs=[a.result]), deps={"a": "continue"})
    return workflow


async def test_the_graph_follows_what_somebody_does_to_a_running_job(cluster: Cluster, gate: Gate, turbo: bool) -> None:
    handles = await cluster.insert(*(followed(name, gate) for name in EDITS))
    await cluster.node(turbo=turbo, limit=20, sweep_every=0.05)
    await cluster.ledger.until("a", times=len(EDITS))
    async with cluster.session() as person:
        for handle in handles:
            [job_id] = await cluster.ask(
                "SELECT job_id FROM powertools.steps WHERE job_id > 0 AND workflow_id = %s", handle.id
            )
            await person.execute(EDITS[handle.name][0], [job_id])
    await cluster.ledger.until("a", times=len(EDITS) + 1)  # what was retried runs a second time, beside the first

    await gate.open()
    await cluster.end(handles)
    await cluster.ledger.until("a", phase="end", times=len(EDITS) + 1)
    await cluster.ran_a_step()
    jobs = await cluster.ask(
        "SELECT jsonb_build_array(meta->'workflow_name', state) FROM oban_jobs WHERE meta->>'step' = 'a'"
    )

    assert dict(jobs) == {name: states[0] for name, (_, states, _) in EDITS.items() if name != "deleted"}
    for handle in handles:
        _, states, results = EDITS[handle.name]
        assert [step.state for step in await cluster.powertools.workflows.steps(handle.id)] == states, handle.name
        assert await cluster.powertools.workflows.results(handle.id) == results, handle.name
    assert await cluster.is_sound()


async def test_jobs_that_somebody_retries_after_their_step_ended_change_nothing(cluster: Cluster, turbo: bool) -> None:
    workflow = Workflow("ended", on_finished=finished())
    a = workflow.add("a", step())
    workflow.add("b", step("discard", inputs=[a.result]))
    workflow.add("c", step("cancel", inputs=[a.result]))
    [handle] = await cluster.insert(workflow)
    await cluster.node(turbo=turbo)
    await cluster.end([handle])
    before = await cluster.rows()
    jobs = await cluster.job_ids()

    async with cluster.oban() as oban:
        await oban.retry_many_jobs(list(jobs.values()))
    await cluster.ledger.until_count(6)
    await eventually(lambda: cluster.ask("SELECT 1 FROM oban_jobs HAVING bool_and(state::text ~ 'ed$')"))
    after = await cluster.rows()

    assert Counter(entry.step for entry in await cluster.ledger.entries()) == {"a": 2, "b": 2, "c": 2}
    assert after["powertools.steps"] == before["powertools.steps"]
    assert after["powertools.workflows"] == before["powertools.workflows"]
    assert len(after["public.oban_jobs"]) == len(before["public.oban_jobs"])
    assert await cluster.is_sound()


@pytest.mark.crash
async def test_a_job_whose_meta_was_changed_ends_its_own_step_and_no_other(
    cluster: Cluster, gate: Gate, turbo: bool
) -> None:
    """With turbo its result may be lost: it came with the ack, and nobody knew whose it was."""
    [honest, moved, stripped] = await cluster.insert(
        *(followed(name, gate) for name in ("honest", "moved", "stripped"))
    )
    await cluster.node(turbo=turbo, sweep_every=0.05)
    await cluster.ledger.until("a", times=3)
    async with cluster.session() as person:
        await person.execute(
            "UPDATE oban_jobs SET meta = meta || jsonb_build_object('workflow_id', %s::bigint, 'position', 2)"
            " WHERE meta->'workflow_id' = to_jsonb(%s::bigint)",
            [honest.id, moved.id],
        )
        await person.execute(
            "UPDATE oban_jobs SET meta = '{}' WHERE meta->'workflow_id' = to_jsonb(%s::bigint)", [stripped.id]
        )

    await gate.open()
    records = await cluster.end([honest, moved, stripped])

    assert [record.state for record in records] == ["completed"] * 3
    for handle in (honest,) if turbo else (honest, moved, stripped):
        assert await cluster.powertools.workflows.results(handle.id) == {"a": 1, "b": 2, "c": 2}
    assert await cluster.is_sound()


@pytest.mark.crash
async def test_steps_whose_jobs_were_truncated_are_cancelled_by_the_sweep(cluster: Cluster, gate: Gate) -> None:
    handles = await cluster.insert(followed("one", gate), followed("two", gate))
    await cluster.node(sweep_every=0.05)
    await cluster.ledger.until("a", times=2)

    async with cluster.session() as person:
        await person.execute("TRUNCATE oban_jobs")
    await gate.open()
    await cluster.end(handles)

    for handle in handles:
        steps = await cluster.powertools.workflows.steps(handle.id)
        assert [(step.state, step.cause) for step in steps] == [
            ("cancelled", "job_deleted"),
            ("cancelled", "cancelled_by_dependency"),
            ("completed", None),
        ]
    assert await cluster.is_sound()
