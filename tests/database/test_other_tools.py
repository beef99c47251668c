"""Somebody moves a step's job with another tool: the graph follows in that transaction, or is not concerned.

Rules: fault/F25.
"""

import pytest
from oban import Job, Oban
from psycopg_pool import AsyncConnectionPool

from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain


@pytest.fixture
async def oban(shared_dsn: str):
    """An Oban that knows nothing of Powertools: its calls are what another node's would be."""
    async with AsyncConnectionPool(shared_dsn, min_size=1, open=False) as pool:
        yield Oban(pool=pool, name="other")


async def released(hand: Hand) -> tuple[WorkflowId, Job]:
    """A chain of three and the job of its first step."""
    workflow_id = await hand.insert(chain(3))
    return workflow_id, await hand.job(workflow_id, "s0")


@pytest.mark.parametrize("state", ["available", "scheduled", "retryable", "suspended"])
async def test_oban_cancels_a_step_that_waits_to_run(hand: Hand, oban: Oban, state: str) -> None:
    workflow_id, job = await released(hand)
    await hand.rows("UPDATE oban_jobs SET state = %s::oban_job_state", state)

    await oban.cancel_job(job)

    steps = await hand.steps(workflow_id)
    assert [(s.state, s.cause) for s in steps.values()] == [
        ("cancelled", None),
        ("cancelled", "cancelled_by_dependency"),
        ("cancelled", "cancelled_by_dependency"),
    ]
    assert (await hand.workflow(workflow_id)).failed_steps == ("s0", "s1", "s2")


async def test_oban_only_signals_a_step_that_runs(hand: Hand, oban: Oban) -> None:
    workflow_id, job = await released(hand)
    [started] = await hand.start(job.id)

    await oban.cancel_job(started)

    assert await hand.states(workflow_id) == {"s0": "executing", "s1": "pending", "s2": "pending"}


async def test_oban_retries_a_step_that_waits_for_its_next_attempt(hand: Hand, oban: Oban) -> None:
    workflow_id, job = await released(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'retryable', attempt = 1")

    await oban.retry_job(job)

    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending", "s2": "pending"}
    await hand.run_all(workflow_id)
    assert (await hand.workflow(workflow_id)).state == "completed"


@pytest.mark.parametrize("ending", [5, ValueError("x")], ids=["completed", "discarded"])
async def test_a_job_retried_after_its_step_ended_changes_nothing_however_it_ends(
    each_hand: Hand, oban: Oban, ending: object
) -> None:
    workflow_id, job = await released(each_hand)
    await each_hand.run(workflow_id, {"s0": ending})
    before = await each_hand.steps(workflow_id)
    jobs = await each_hand.one("SELECT count(*) FROM oban_jobs")

    await oban.retry_job(job)
    retried = await each_hand.steps(workflow_id)
    await each_hand.run(workflow_id, {"s0": ValueError("later")})
    failed = await each_hand.steps(workflow_id)
    await oban.retry_job(job)
    await each_hand.run(workflow_id, {"s0": 6})
    await oban.retry_job(job)
    await oban.delete_job(job)

    assert retried == failed == await each_hand.steps(workflow_id) == before
    assert await each_hand.one("SELECT count(*) FROM oban_jobs") == jobs - 1


@pytest.mark.parametrize("state", ["available", "scheduled", "retryable"])
async def test_a_deleted_job_cancels_its_step(hand: Hand, oban: Oban, state: str) -> None:
    workflow_id, job = await released(hand)
    await hand.rows("UPDATE oban_jobs SET state = %s::oban_job_state", state)

    await oban.delete_job(job)

    steps = await hand.steps(workflow_id)
    assert [(s.state, s.cause) for s in steps.values()] == [
        ("cancelled", "job_deleted"),
        ("cancelled", "cancelled_by_dependency"),
        ("cancelled", "cancelled_by_dependency"),
    ]
    assert (await hand.workflow(workflow_id)).state == "failed"


async def test_an_executing_job_deleted_in_psql_cancels_its_step_and_its_late_ack_is_refused(each_hand: Hand) -> None:
    workflow_id, job = await released(each_hand)
    [started] = await each_hand.start(job.id)
    ack = await each_hand.execute(started, {"late": True})

    await each_hand.rows("DELETE FROM oban_jobs WHERE id = %s", job.id)
    acked = await each_hand.ack(ack)

    assert acked == []
    assert (await each_hand.steps(workflow_id))["s0"].cause == "job_deleted"
    assert await each_hand.workflows.results(workflow_id) == {}


async def test_the_only_step_cancelled_from_outside_fails_its_workflow(hand: Hand, oban: Oban) -> None:
    workflow_id = await hand.insert(chain(1))

    await oban.cancel_job(await hand.job(workflow_id, "s0"))

    record = await hand.workflow(workflow_id)
    assert (record.state, record.failed_steps, record.failures_handled) == ("failed", ("s0",), False)


async def test_pruned_finished_jobs_change_nothing(each_hand: Hand, oban: Oban) -> None:
    workflow_id, _ = await released(each_hand)
    await each_hand.run(workflow_id, {"s0": {"kept": True}})
    before = await each_hand.steps(workflow_id)
    await each_hand.rows(
        "UPDATE oban_jobs SET completed_at = completed_at - interval '1 day' WHERE state = 'completed'"
    )

    pruned = await oban._query.prune_jobs(60, 100)

    assert pruned == 1
    assert await each_hand.steps(workflow_id) == before
    await each_hand.run_all(workflow_id)
    assert (await each_hand.workflow(workflow_id)).state == "completed"


async def test_oban_rescues_or_discards_a_step_whose_attempt_is_too_old(hand: Hand, oban: Oban) -> None:
    spent, alive = await hand.insert(chain(2)), await hand.insert(chain(2))
    await hand.start(*[(await hand.job(workflow_id, "s0")).id for workflow_id in (spent, alive)])
    await hand.rows(
        "UPDATE oban_jobs SET attempted_at = attempted_at - interval '1 day', max_attempts = CASE (meta -> "
        "'workflow_id')::int WHEN %s THEN 1 ELSE 2 END",
        spent,
    )

    await oban._query.rescue_jobs(60)

    assert await hand.states(spent) == {"s0": "discarded", "s1": "cancelled"}
    assert await hand.states(alive) == {"s0": "available", "s1": "pending"}


async def test_a_job_that_claims_to_be_another_step_is_not_believed(hand: Hand, oban: Oban) -> None:
    workflow_id, job = await released(hand)
    forged = Job("tests.support.by_hand.Scripted", meta={**job.meta, "return": {"json": "forged"}})
    await oban.enqueue(forged)

    await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", forged.id)

    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending", "s2": "pending"}


@pytest.mark.parametrize(
    "meta",
    [
        '"position"',
        '["position"]',
        '{"position": null}',
        '{"position": "x", "workflow_id": "y"}',
        '{"position": 99999999999, "workflow_id": 1}',
        '{"position": 0, "workflow_id": 99999999999999999999}',
        '{"position": 0, "workflow_id": 123456789}',
        '{"position": -1, "workflow_id": 1}',
        '{"position": 1.5}',
    ],
)
async def test_any_meta_of_a_job_that_is_no_step_is_passed_over(hand: Hand, meta: str) -> None:
    await hand.rows("INSERT INTO oban_jobs (worker, meta) VALUES ('w', %s::jsonb), ('w', %s::jsonb)", meta, meta)

    await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE id = (SELECT min(id) FROM oban_jobs)")
    await hand.rows("DELETE FROM oban_jobs")

    assert await hand.rows("SELECT * FROM powertools.settle_faults") == []


async def test_a_step_whose_jobs_meta_was_wiped_moves_on_at_once(hand: Hand) -> None:
    workflow_id, job = await released(hand)
    await hand.rows("UPDATE oban_jobs SET meta = '{}' WHERE id = %s", job.id)

    await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", job.id)

    assert await hand.states(workflow_id) == {"s0": "completed", "s1": "available", "s2": "pending"}


async def test_a_transaction_that_ends_a_step_and_revives_it_leaves_the_end(hand: Hand) -> None:
    workflow_id, job = await released(hand)

    async with hand.conn.transaction():
        await hand.rows("UPDATE oban_jobs SET state = 'discarded' WHERE id = %s", job.id)
        await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", job.id)

    assert (await hand.states(workflow_id))["s0"] == "discarded"
