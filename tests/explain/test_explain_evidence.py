"""Explanations from what queues, executors and our own lagging rows show, known or not."""

import pytest

from oban_powertools import Workflow
from oban_powertools.explain import Scope
from oban_powertools.states import OperatorStatus
from tests.support.by_hand import Hand, step
from tests.support.explaining import FAILURE, NODE, causes, codes, job_id_of, register, sync


async def test_a_queue_without_an_executor_blocks_a_step_and_all_that_wait_for_it(hand: Hand) -> None:
    await register(hand, "other")
    workflow_id = await hand.insert(sync())

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")
    waiting = await hand.powertools.explain.workflow_step(workflow_id, "notify")

    [blocker] = explained.blockers
    assert (blocker.code, blocker.scope, explained.status) == (
        "queue_has_no_executor",
        Scope.QUEUE,
        OperatorStatus.BLOCKED,
    )
    assert (waiting.status, causes(waiting)) == (OperatorStatus.BLOCKED, {"fetch": "queue_has_no_executor"})
    assert waiting.summary == "notify waits for fetch, which cannot start: no executor works on queue default"


async def test_an_executor_that_was_not_refreshed_for_a_minute_counts_as_none(hand: Hand) -> None:
    await register(hand, age=61)
    workflow_id = await hand.insert(sync())

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert codes(explained) == ["queue_has_no_executor"]


async def test_a_queue_is_paused_when_every_executor_is(hand: Hand) -> None:
    await register(hand, paused=True)
    await register(hand, uuid="11111111-0000-0000-0000-000000000000", paused=True)
    workflow_id = await hand.insert(sync())

    paused = await hand.powertools.explain.workflow_step(workflow_id, "fetch")
    await hand.rows("UPDATE oban_producers SET meta = meta || '{\"paused\": false}' WHERE uuid = %s", NODE)
    resumed = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (paused.status, codes(paused)) == (OperatorStatus.BLOCKED, ["queue_paused"])
    assert (resumed.status, codes(resumed)) == (OperatorStatus.RUNNABLE, [])


async def test_a_saturated_queue_says_how_many_run(hand: Hand) -> None:
    await register(hand, local_limit=2)
    workflow = Workflow("wide")
    workflow.add_many({name: step() for name in "abc"})
    workflow_id = await hand.insert(workflow)
    await hand.start(*[(await hand.job(workflow_id, name)).id for name in "ab"])

    explained = await hand.powertools.explain.workflow_step(workflow_id, "c")

    assert (explained.status, codes(explained)) == (OperatorStatus.WAITING, ["queue_saturated"])
    assert explained.summary == "c waits for a place in queue default (2 of 2 running)"


async def test_a_dead_executors_jobs_do_not_saturate_a_queue(hand: Hand) -> None:
    await register(hand, uuid="11111111-0000-0000-0000-000000000000", local_limit=1)
    workflow = Workflow("wide")
    workflow.add_many({name: step() for name in "ab"})
    workflow_id = await hand.insert(workflow)
    await hand.start((await hand.job(workflow_id, "a")).id)

    explained = await hand.powertools.explain.workflow_step(workflow_id, "b")

    assert codes(explained) == []


@pytest.mark.parametrize("age", [180, None], ids=["late", "gone"])
async def test_an_executing_step_whose_executor_is_missing_is_orphaned(hand: Hand, age: int | None) -> None:
    if age is not None:
        await register(hand, age=age)
    workflow_id = await hand.insert(sync())
    await hand.start(await job_id_of(hand, workflow_id, "fetch"))

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.BLOCKED, ["orphaned_by_missing_executor"])
    assert explained.summary == "fetch is marked executing, but nobody knows its executor on node"


async def test_an_available_job_without_attempts_left_needs_a_review(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.rows("UPDATE oban_jobs SET attempt = max_attempts")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.NEEDS_REVIEW, ["attempts_exhausted"])


async def test_a_retry_that_is_due_in_a_queue_without_executor_waits_for_the_executor_first(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": None})
    await hand.run(workflow_id, {"sync_billing": FAILURE})

    later = await hand.powertools.explain.workflow_step(workflow_id, "sync_billing")
    await hand.rows("UPDATE oban_jobs SET scheduled_at = now() - interval '1 hour' WHERE state = 'retryable'")
    due = await hand.powertools.explain.workflow_step(workflow_id, "sync_billing")

    assert codes(later) == ["retry_backoff", "queue_has_no_executor"]
    assert codes(due) == ["queue_has_no_executor", "retry_backoff"]
    assert later.status is due.status is OperatorStatus.BLOCKED


async def test_a_worker_that_an_executor_could_not_import_needs_a_review(hand: Hand) -> None:
    await register(hand)
    workflow = Workflow("w")
    job = step(max_attempts=3)
    job.worker = "no_such_module.Worker"
    workflow.add("lost", job)
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"lost": None})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "lost")

    assert (explained.status, codes(explained)) == (
        OperatorStatus.NEEDS_REVIEW,
        ["worker_not_importable", "retry_backoff"],
    )
    assert "an executor could not import its worker no_such_module.Worker" in explained.summary
    assert explained.blockers[0].details["found_by"] == "executor"


async def test_a_worker_is_imported_here_only_when_asked_for(hand: Hand) -> None:
    await register(hand)
    workflow = Workflow("w")
    job = step()
    job.worker = "no_such_module.Worker"
    workflow.add("lost", job)
    workflow_id = await hand.insert(workflow)

    silent = await hand.powertools.explain.workflow_step(workflow_id, "lost")
    asked = await hand.powertools.explain.workflow_step(workflow_id, "lost", check_import=True)

    assert codes(silent) == []
    assert (asked.status, codes(asked)) == (OperatorStatus.NEEDS_REVIEW, ["worker_not_importable"])
    assert asked.blockers[0].details["found_by"] == "this_process"


async def test_a_worker_that_can_be_imported_is_no_blocker(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch", check_import=True)

    assert codes(explained) == []


async def test_a_settle_fault_is_a_blocker_with_its_message(damaged: Hand) -> None:
    await register(damaged)
    workflow_id = await damaged.insert(sync())
    await damaged.rows("ALTER TABLE powertools.steps ADD CONSTRAINT full_disk CHECK (state <> 'completed')")
    await damaged.run(workflow_id, {"fetch": None})
    job_id = await job_id_of(damaged, workflow_id, "fetch")

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "fetch")
    waiting = await damaged.powertools.explain.workflow_step(workflow_id, "notify")
    job = await damaged.powertools.explain.job(job_id)

    assert (explained.status, codes(explained)) == (OperatorStatus.NEEDS_REVIEW, ["bookkeeping_fault"])
    assert "full_disk" in explained.summary
    assert explained.blockers[0].details["sqlstate"] == "23514"
    assert (waiting.status, causes(waiting)) == (OperatorStatus.BLOCKED, {"fetch": "bookkeeping_fault"})
    assert (job.state, job.status, codes(job)) == ("completed", OperatorStatus.NEEDS_REVIEW, ["bookkeeping_fault"])


async def test_a_repaired_fault_no_longer_needs_a_review(damaged: Hand) -> None:
    await register(damaged)
    workflow_id = await damaged.insert(sync())
    await damaged.rows("ALTER TABLE powertools.steps ADD CONSTRAINT full_disk CHECK (state <> 'completed')")
    await damaged.run(workflow_id, {"fetch": None})
    await damaged.rows("ALTER TABLE powertools.steps DROP CONSTRAINT full_disk")
    await damaged.rows("UPDATE powertools.settle_faults SET last_fault_at = last_fault_at - interval '1 hour'")
    await damaged.sweep()

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.FINISHED, [])


@pytest.mark.parametrize("lost", ["TRUNCATE oban_jobs", "UPDATE oban_jobs SET state = 'completed'"])
async def test_an_outcome_no_trigger_saw_is_told_until_the_sweep_settles_it(damaged: Hand, lost: str) -> None:
    workflow_id = await damaged.insert(sync())
    await damaged.rows("ALTER TABLE oban_jobs DISABLE TRIGGER USER")
    await damaged.rows(lost)

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.NEEDS_REVIEW, ["bookkeeping_fault"])


async def test_a_pending_step_that_nothing_can_release_needs_a_review(damaged: Hand) -> None:
    workflow_id = await damaged.insert(sync())
    await damaged.rows("UPDATE powertools.steps SET state = 'completed', finished_at = now() WHERE name = 'fetch'")
    await damaged.rows("UPDATE powertools.workflows SET open = 2")

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "notify")
    whole = await damaged.powertools.explain.workflow(workflow_id)

    assert (explained.status, codes(explained)) == (OperatorStatus.NEEDS_REVIEW, ["bookkeeping_fault"])
    assert (whole.status, codes(whole)) == (OperatorStatus.NEEDS_REVIEW, ["bookkeeping_fault"])


async def test_an_unknown_job_state_is_shown_verbatim(damaged: Hand) -> None:
    await register(damaged)
    workflow_id = await damaged.insert(sync())
    await damaged.rows("ALTER TYPE oban_job_state ADD VALUE 'haunted'")
    await damaged.rows("UPDATE oban_jobs SET state = 'haunted'")

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "fetch")
    job = await damaged.powertools.explain.job(await job_id_of(damaged, workflow_id, "fetch"))
    whole = await damaged.powertools.explain.workflow(workflow_id)

    assert (explained.state, explained.status, codes(explained)) == (
        "haunted",
        OperatorStatus.NEEDS_REVIEW,
        ["haunted"],
    )
    assert (job.state, codes(job)) == ("haunted", ["haunted"])
    assert whole.counts == {"haunted": 1, "pending": 2}


async def test_an_expired_step_tells_that_its_wait_expired(damaged: Hand) -> None:
    workflow_id = await damaged.insert(sync())
    await damaged.rows("UPDATE powertools.steps SET state = 'expired', finished_at = now() WHERE name = 'fetch'")

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.FINISHED, ["expired_wait"])


async def test_unknown_states_of_our_own_rows_are_shown_verbatim(damaged: Hand) -> None:
    workflow_id = await damaged.insert(sync())
    await damaged.rows("ALTER TABLE powertools.steps DROP CONSTRAINT step_state, DROP CONSTRAINT step_cause")
    await damaged.rows("ALTER TABLE powertools.workflows DROP CONSTRAINT workflow_state")
    await damaged.rows("ALTER TABLE powertools.workflows DROP CONSTRAINT workflow_ends_with_its_last_step")
    await damaged.rows("UPDATE powertools.steps SET state = 'dreaming', cause = 'moonlight' WHERE name = 'fetch'")
    await damaged.rows("UPDATE powertools.workflows SET state = 'dreaming'")

    explained = await damaged.powertools.explain.workflow_step(workflow_id, "fetch")
    whole = await damaged.powertools.explain.workflow(workflow_id)

    assert (explained.state, explained.cause, explained.workflow_state) == ("dreaming", "moonlight", "dreaming")
    assert (explained.status, codes(explained)) == (OperatorStatus.NEEDS_REVIEW, ["dreaming"])
    assert (whole.state, whole.counts) == ("dreaming", {"dreaming": 1, "pending": 2})


async def test_a_workflow_of_another_semantics_version_is_explained_and_may_not_be_changed(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 7")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert explained.legal_actions == ()
    assert {action.refusal for action in explained.illegal_actions} == {"unsupported_semantics"}
