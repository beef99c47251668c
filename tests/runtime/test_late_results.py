"""Late results: what an attempt came to that had been taken from its executor before."""

from typing import Any

from oban import Snooze

from oban_powertools import Workflow
from tests.support.by_hand import Hand, chain, step
from tests.support.executing import die, rescue, take

KEPT = """
SELECT job_id, attempt, state, result, error, workflow_id, position, queue FROM powertools.late_results ORDER BY id
"""


async def kept(hand: Hand) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await hand.rows(KEPT)]


async def rescued_attempt(hand: Hand, workflow: Workflow) -> Any:
    """The job of step s0, running in a process whose executor was given up."""
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1")
    running = await hand.job(workflow_id, "s0")
    await die(hand, "p1")
    await rescue(hand)
    return running


def retried() -> Workflow:
    workflow = Workflow("retried")
    workflow.add("s0", step(max_attempts=5))
    return workflow


async def test_the_result_of_a_rescued_attempt_is_refused_and_kept(each_hand: Hand) -> None:
    running = await rescued_attempt(each_hand, retried())

    acked = await each_hand.ack(await each_hand.execute(running, {"x": 1}))

    workflow_id = running.meta["workflow_id"]
    assert acked == []
    assert await kept(each_hand) == [(running.id, 1, "completed", {"json": {"x": 1}}, None, workflow_id, 0, "default")]
    assert await each_hand.states(workflow_id) == {"s0": "available"}


async def test_it_is_kept_also_when_the_next_attempt_runs_or_has_ended(each_hand: Hand) -> None:
    first = await rescued_attempt(each_hand, retried())
    [second] = await each_hand.start(first.id)
    acked = await each_hand.ack(await each_hand.execute(first, "late"), await each_hand.execute(second, "in time"))
    again = await each_hand.ack(await each_hand.execute(first, "late"))

    assert (acked, again) == ([first.id], [])
    assert [row[3] for row in await kept(each_hand)] == [{"json": "late"}]
    assert await each_hand.workflows.results(first.meta["workflow_id"]) == {"s0": "in time"}


async def test_a_late_failure_is_kept_with_its_error(each_hand: Hand) -> None:
    running = await rescued_attempt(each_hand, retried())

    await each_hand.ack(await each_hand.execute(running, ValueError("too late")))

    [(_, _, state, result, error, *_)] = await kept(each_hand)
    assert (state, result) == ("retryable", None)
    assert "ValueError: too late" in error["error"]


async def test_an_ack_asked_again_after_it_was_stored_is_no_late_result(each_hand: Hand) -> None:
    workflow = chain(1)
    workflow.add_many({"failed": step(max_attempts=3), "spent": step(), "snoozed": step()})
    workflow_id = await each_hand.insert(workflow)
    outcomes = {"s0": 1, "failed": ValueError("x"), "spent": ValueError("y"), "snoozed": Snooze(9)}
    jobs = await each_hand.start(*[(await each_hand.job(workflow_id, name)).id for name in outcomes])
    acks = [await each_hand.execute(job, outcome) for job, outcome in zip(jobs, outcomes.values(), strict=True)]
    stored = await each_hand.ack(*acks)

    again = await each_hand.ack(*acks)

    assert (sorted(stored), again) == (sorted(job.id or 0 for job in jobs), [])
    assert await kept(each_hand) == []


async def test_a_result_of_a_job_that_somebody_ended_meanwhile_is_kept(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(1))
    [running] = await each_hand.start((await each_hand.job(workflow_id, "s0")).id)
    await each_hand.rows("UPDATE oban_jobs SET state = 'cancelled', cancelled_at = timezone('UTC', now())")

    await each_hand.ack(await each_hand.execute(running, 7))

    assert [row[2:4] for row in await kept(each_hand)] == [("completed", {"json": 7})]


async def test_a_plain_jobs_late_outcome_is_kept_without_a_workflow(hand: Hand) -> None:
    [inserted] = await hand.oban.enqueue_many(step(max_attempts=3))
    await take(hand, inserted.id, "p1")
    [running] = await hand.rows("SELECT * FROM oban_jobs")
    from oban import Job

    await die(hand, "p1")
    await rescue(hand)

    await hand.ack(await hand.execute(Job(**running), None))

    assert await kept(hand) == [(inserted.id, 1, "completed", None, None, None, None, "default")]
