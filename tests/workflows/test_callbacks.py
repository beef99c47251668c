"""What became of an on_finished job is kept, also when its job is gone."""

from typing import Any

import psycopg
import pytest

from oban_powertools import CallbackState, Workflow
from oban_powertools.errors import WorkflowNotFoundError
from tests.support.by_hand import Hand, step


def called_back(**options: Any) -> Workflow:
    workflow = Workflow("ends", on_finished=step(**options))
    workflow.add("a", step())
    return workflow


async def run_callback(hand: Hand, outcome: Any) -> None:
    """Run what is due of them, once."""
    rows = await hand.rows("SELECT id FROM oban_jobs WHERE meta ? 'outcome'")
    for job in await hand.start(*[row["id"] for row in rows]):
        await hand.ack(await hand.execute(job, outcome))


async def prune(hand: Hand) -> None:
    await hand.rows("DELETE FROM oban_jobs WHERE state IN ('completed', 'discarded', 'cancelled')")


async def test_a_callback_that_has_not_run_is_there_with_its_job(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(called_back())
    await each_hand.run(workflow_id, {"a": 1})

    [callback] = await each_hand.workflows.callbacks(workflow_id)

    job_id = await each_hand.one("SELECT id FROM oban_jobs WHERE meta ? 'outcome'")
    assert (callback.workflow_id, callback.generation, callback.job_id) == (workflow_id, 1, job_id)
    assert (callback.state, callback.attempt, callback.ended_at) == (CallbackState.AVAILABLE, 0, None)


async def test_one_that_completed_is_still_there_when_its_job_was_pruned(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(called_back())
    await each_hand.run(workflow_id, {"a": 1})
    await run_callback(each_hand, "done")
    [before] = await each_hand.workflows.callbacks(workflow_id)

    await prune(each_hand)

    [callback] = await each_hand.workflows.callbacks(workflow_id)
    assert (callback.state, callback.attempt, callback.error) == (CallbackState.COMPLETED, 1, None)
    assert (callback.attempted_at, callback.job_id) == (before.attempted_at, before.job_id)
    assert callback.attempted_at is not None
    assert callback.ended_at is not None
    assert callback.inserted_at <= callback.attempted_at <= callback.ended_at


async def test_one_that_failed_keeps_its_attempts_and_its_last_error(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(called_back(max_attempts=2))
    await each_hand.run(workflow_id, {"a": 1})
    await run_callback(each_hand, ValueError("first"))
    [retried] = await each_hand.workflows.callbacks(workflow_id)
    await run_callback(each_hand, ValueError("second"))

    await prune(each_hand)

    [callback] = await each_hand.workflows.callbacks(workflow_id)
    assert (retried.state, retried.attempt, retried.error["text"]) == (CallbackState.RETRYABLE, 1, "first")
    assert (callback.state, callback.attempt, callback.error["text"]) == (CallbackState.DISCARDED, 2, "second")


@pytest.mark.parametrize("triggers", ["ENABLE", "DISABLE"])
async def test_one_whose_job_was_deleted_before_it_ran_says_so(hand: Hand, triggers: str) -> None:
    workflow_id = await hand.insert(called_back())
    await hand.run(workflow_id, {"a": 1})

    await hand.rows(f"ALTER TABLE oban_jobs {triggers} TRIGGER powertools_jobs_deleted")
    await hand.rows("DELETE FROM oban_jobs WHERE meta ? 'outcome'")

    [callback] = await hand.workflows.callbacks(workflow_id)
    assert callback.state is CallbackState.JOB_DELETED


async def test_each_end_of_a_workflow_that_was_recovered_has_its_own(hand: Hand) -> None:
    workflow_id = await hand.insert(called_back())
    await hand.run(workflow_id, {"a": ValueError("x")})
    await hand.workflows.recover(workflow_id, "a", actor="ana", reason="the cause is mended")
    await hand.run(workflow_id, {"a": 1})

    callbacks = await hand.workflows.callbacks(workflow_id)

    assert [(callback.generation, callback.state) for callback in callbacks] == [
        (1, CallbackState.AVAILABLE),
        (2, CallbackState.AVAILABLE),
    ]


async def test_a_job_that_only_says_that_it_is_a_callback_changes_none(hand: Hand) -> None:
    workflow_id = await hand.insert(called_back())
    await hand.run(workflow_id, {"a": 1})
    [before] = await hand.workflows.callbacks(workflow_id)

    await hand.rows(
        "INSERT INTO oban_jobs (state, worker, queue, meta) SELECT 'available', worker, 'other', meta FROM oban_jobs "
        "WHERE meta ? 'outcome'"
    )
    await hand.rows("UPDATE oban_jobs SET state = 'discarded', discarded_at = now() WHERE queue = 'other'")

    [callback] = await hand.workflows.callbacks(workflow_id)
    await hand.rows("DELETE FROM oban_jobs WHERE queue = 'other'")
    assert callback == before


async def test_a_fault_in_the_bookkeeping_keeps_no_job_from_ending(hand: Hand) -> None:
    workflow_id = await hand.insert(called_back())
    await hand.run(workflow_id, {"a": 1})

    async with await psycopg.AsyncConnection.connect(hand.dsn, autocommit=True) as other:
        await other.execute(
            "ALTER TABLE powertools.callbacks ADD CONSTRAINT broken CHECK (state <> 'completed') NOT VALID"
        )
        await run_callback(hand, "done")
        await other.execute("ALTER TABLE powertools.callbacks DROP CONSTRAINT broken")

    [callback] = await hand.workflows.callbacks(workflow_id)
    assert callback.state is CallbackState.COMPLETED


async def test_a_workflow_without_a_callback_has_none(hand: Hand) -> None:
    workflow = Workflow("plain")
    workflow.add("a", step())

    assert await hand.workflows.callbacks(await hand.insert(workflow)) == []


async def test_a_workflow_that_does_not_exist_has_no_callbacks_to_tell_of(hand: Hand) -> None:
    with pytest.raises(WorkflowNotFoundError):
        await hand.workflows.callbacks("4711")
