"""The job that is inserted in the transaction that ends a workflow, once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oban import Cancel, Job
from oban._executor import _current_job

from oban_powertools import Workflow
from oban_powertools.runtime.step import FinishedWorkflow, current_workflow
from tests.support.by_hand import Hand, step

CALLED_BACK = "SELECT * FROM oban_jobs WHERE meta ? 'outcome'"


def two_steps(on_finished: Job) -> Workflow:
    workflow = Workflow("ends", on_finished=on_finished)
    workflow.add("a", step())
    workflow.add("b", step(), deps="a")
    return workflow


def handled() -> Workflow:
    workflow = Workflow("handled", on_finished=step())
    workflow.add("a", step())
    workflow.add("b", step(), deps="a", on_failure="continue")
    return workflow


async def test_it_comes_with_the_last_step_in_its_transaction_and_with_all_its_options(each_hand: Hand) -> None:
    due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    given = step({"n": 1}, queue="after", priority=2, tags=["t"], max_attempts=5, meta={"mine": 1}, scheduled_at=due_at)
    workflow_id = await each_hand.insert(two_steps(given))
    await each_hand.run(workflow_id, {"a": 1})
    before_the_end = await each_hand.rows(CALLED_BACK)

    await each_hand.run(workflow_id, {"b": 2})

    [job] = await each_hand.rows(CALLED_BACK)
    assert before_the_end == []
    assert (job["queue"], job["priority"], job["tags"], job["max_attempts"]) == ("after", 2, ["t"], 5)
    assert (job["args"], job["state"], job["scheduled_at"].replace(tzinfo=UTC)) == ({"n": 1}, "scheduled", due_at)
    assert job["meta"] == {
        "mine": 1,
        "workflow_id": workflow_id,
        "workflow_name": "ends",
        "outcome": "completed",
        "generation": 1,
        "failed_steps": [],
        "failures_handled": None,
    }
    assert await each_hand.one(
        "SELECT j.xmin = w.xmin FROM oban_jobs j, powertools.workflows w WHERE j.meta ? 'outcome'"
    )


async def test_it_is_not_inserted_again_by_what_comes_later(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(two_steps(step()))
    await each_hand.run(workflow_id, {"a": 1})
    await each_hand.run(workflow_id, {"b": 1})

    await each_hand.oban.retry_job((await each_hand.job(workflow_id, "b")).id or 0)
    await each_hand.run(workflow_id, {"b": 1})
    await each_hand.rows("UPDATE oban_jobs SET state = 'discarded'")
    await each_hand.rows("DELETE FROM oban_jobs WHERE NOT meta ? 'outcome'")
    await each_hand.sweep()

    assert len(await each_hand.rows(CALLED_BACK)) == 1


async def test_it_is_not_there_when_the_end_is_rolled_back(hand: Hand) -> None:
    await hand.insert(two_steps(step()))

    async with hand.conn.transaction(force_rollback=True):
        await hand.rows("UPDATE oban_jobs SET state = 'discarded'")
        inside = await hand.rows(CALLED_BACK)

    assert (len(inside), await hand.rows(CALLED_BACK)) == (1, [])


@pytest.mark.parametrize(
    ("outcome", "said", "failed", "is_handled"),
    [
        (ValueError("x"), "failed", ("a", "b"), False),
        (1, "completed", (), None),
        (Cancel("y"), "failed", ("a", "b"), False),
    ],
)
async def test_its_worker_is_told_how_the_workflow_ended(
    each_hand: Hand, outcome: Any, said: str, failed: tuple[str, ...], is_handled: bool | None
) -> None:
    workflow_id = await each_hand.insert(two_steps(step()))
    await each_hand.run(workflow_id, {"a": outcome})
    await each_hand.run_all(workflow_id)

    told = await told_to_its_worker(each_hand)

    assert (told.workflow_id, told.workflow_name, told.outcome) == (workflow_id, "ends", said)
    assert (told.failed_steps, told.failures_handled, told.generation) == (failed, is_handled, 1)


async def test_its_worker_is_told_when_continue_edges_handled_every_failure(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(handled())
    await each_hand.run(workflow_id, {"a": ValueError("x")})
    await each_hand.run_all(workflow_id)

    told = await told_to_its_worker(each_hand)

    assert (told.outcome, told.failed_steps, told.failures_handled) == ("failed", ("a",), True)


async def test_it_is_an_ordinary_job_whose_own_end_moves_nothing(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(handled())
    await each_hand.run_all(workflow_id)
    before = await each_hand.workflow(workflow_id)

    await each_hand.rows("UPDATE oban_jobs SET state = 'discarded' WHERE meta ? 'outcome'")
    await each_hand.rows("DELETE FROM oban_jobs WHERE meta ? 'outcome'")

    assert await each_hand.workflow(workflow_id) == before
    assert await each_hand.rows("SELECT * FROM powertools.settle_faults") == []


async def told_to_its_worker(hand: Hand) -> FinishedWorkflow:
    job = await hand.oban.get_job((await hand.rows(CALLED_BACK))[0]["id"])
    token = _current_job.set(job)
    try:
        return current_workflow()
    finally:
        _current_job.reset(token)
