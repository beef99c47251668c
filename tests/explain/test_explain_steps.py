"""Explanations of steps: the operator's word, the blockers, the root causes and what may be done."""

import re
from datetime import timedelta
from typing import Any

import pytest
from oban import Cancel, Snooze

from oban_powertools import Workflow
from oban_powertools.explain import Scope
from oban_powertools.states import OperatorStatus
from tests.support.by_hand import Hand, step
from tests.support.explaining import FAILURE, causes, codes, job_id_of, register, sync


async def test_a_step_with_nothing_in_its_way_is_runnable(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.state, explained.status, explained.blockers) == ("available", OperatorStatus.RUNNABLE, ())
    assert explained.summary == "fetch is ready to run in queue default"


async def test_an_executing_step_is_running(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.start(await job_id_of(hand, workflow_id, "fetch"))

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.state, explained.status, explained.blockers) == ("executing", OperatorStatus.RUNNING, ())
    assert explained.summary == "fetch is running (attempt 1 of 1, for 0 s)"


async def test_a_pending_step_waits_on_its_dependencies(hand: Hand) -> None:
    await register(hand)
    workflow = Workflow("join")
    for name in ("a", "b"):
        workflow.add(name, step())
    workflow.add("c", step(), deps={"b": "continue", "a": "cancel"})
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": {"n": 1}})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "c")

    assert (explained.state, explained.status) == ("pending", OperatorStatus.WAITING)
    [blocker] = explained.blockers
    assert (blocker.code, blocker.scope, blocker.summary) == ("waiting_on_dependencies", Scope.STEP, "c waits for b")
    assert blocker.details == {"waiting_on": ["b"], "pending": 1, "parents": 2}
    assert [(d.name, d.state, d.policy, d.has_result) for d in explained.dependencies] == [
        ("b", "available", "continue", False),
        ("a", "completed", "cancel", True),
    ]
    assert explained.summary == "c waits for b, which is ready to run in queue default"


async def test_a_retrying_parent_is_a_blocker_of_its_child(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": None})
    await hand.run(workflow_id, {"sync_billing": FAILURE})
    due_at = (await hand.job(workflow_id, "sync_billing")).scheduled_at

    explained = await hand.powertools.explain.workflow_step(workflow_id, "notify")

    assert codes(explained) == ["waiting_on_dependencies", "waiting_on_retryable_dependency"]
    assert explained.blockers[1].retry_at == due_at
    assert explained.status is OperatorStatus.WAITING


async def test_a_retrying_grandparent_is_named_as_the_root_cause(hand: Hand) -> None:
    await register(hand)
    workflow = sync()
    workflow.add("report", step(), deps=["notify"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"fetch": None})
    await hand.run(workflow_id, {"sync_billing": FAILURE})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "report")

    assert codes(explained) == ["waiting_on_dependencies"]
    assert causes(explained) == {"sync_billing": "retry_backoff"}
    assert re.fullmatch(
        r"report waits for sync_billing, which is retrying \(attempt 1 of 5, next in (59 s|1 min)\): "
        r"RuntimeError: HTTP 503 from billing",
        explained.summary,
    )


async def test_a_retrying_step_says_when_and_why(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": None})
    await hand.run(workflow_id, {"sync_billing": FAILURE})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "sync_billing")

    [blocker] = explained.blockers
    assert (explained.state, explained.status, blocker.code) == ("retryable", OperatorStatus.WAITING, "retry_backoff")
    assert blocker.retry_at is not None
    assert timedelta(0) < blocker.retry_at - explained.explained_at <= timedelta(minutes=1)
    assert blocker.details == {"attempt": 1, "max_attempts": 5, "error": "RuntimeError: HTTP 503 from billing"}


async def test_a_snoozed_step_is_scheduled(hand: Hand) -> None:
    await register(hand)
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": Snooze(600)})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.state, explained.status, codes(explained)) == (
        "scheduled",
        OperatorStatus.WAITING,
        ["scheduled"],
    )
    assert explained.summary == "fetch is scheduled, due in 10 min"


async def test_a_completed_step_is_finished_and_nothing_blocks_it(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": {"id": 1}})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.state, explained.status, explained.blockers) == ("completed", OperatorStatus.FINISHED, ())


async def test_a_discarded_step_tells_its_attempts_and_its_error(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": FAILURE})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.FINISHED, ["attempts_exhausted"])
    assert explained.summary == "fetch failed after 1 of 1 attempts: RuntimeError: HTTP 503 from billing"


async def test_a_step_discarded_with_attempts_left_does_not_claim_they_are_used_up(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": None})
    await hand.workflows.complete_step(workflow_id, "sync_billing", status="discarded", payload={"why": "closed"})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "sync_billing")

    assert codes(explained) == ["job_discarded"]
    assert explained.summary == 'sync_billing was discarded at attempt 0 of 5: {"why":"closed"}'


async def test_a_step_whose_worker_cancelled_it_tells_the_reason(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": Cancel("no such account")})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, codes(explained)) == (OperatorStatus.FINISHED, ["job_cancelled"])
    assert explained.summary == "fetch was cancelled: no such account"


async def test_a_step_whose_job_was_deleted_tells_the_cause(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.rows("DELETE FROM oban_jobs")

    explained = await hand.powertools.explain.workflow_step(workflow_id, "fetch")

    assert (explained.status, explained.cause, codes(explained)) == (
        OperatorStatus.FINISHED,
        "job_deleted",
        ["job_deleted"],
    )


async def test_a_cascade_is_traced_to_the_ancestor_that_failed(hand: Hand) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run(workflow_id, {"fetch": FAILURE})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "notify")

    assert (explained.state, explained.status, explained.cause) == (
        "cancelled",
        OperatorStatus.FINISHED,
        "cancelled_by_dependency",
    )
    assert codes(explained) == ["cancelled_by_dependency"]
    assert causes(explained) == {"fetch": "attempts_exhausted"}
    assert explained.summary == (
        "notify was cancelled because fetch failed after 1 of 1 attempts: RuntimeError: HTTP 503 from billing"
    )
    assert [(d.name, d.state) for d in explained.dependencies] == [("sync_billing", "cancelled")]


async def test_a_failure_on_a_continue_edge_is_not_blamed_for_a_cascade(hand: Hand) -> None:
    workflow = Workflow("two")
    workflow.add_many({"tolerated": step(), "fatal": step()})
    workflow.add("child", step(), deps={"tolerated": "continue", "fatal": "cancel"})
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"tolerated": FAILURE, "fatal": FAILURE})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "child")

    assert causes(explained) == {"fatal": "attempts_exhausted"}


@pytest.mark.parametrize("outcome", [None, FAILURE, Cancel("enough")], ids=["completed", "failed", "cancelled"])
async def test_a_finished_workflow_is_finished_in_every_part(hand: Hand, outcome: Any) -> None:
    workflow_id = await hand.insert(sync())
    await hand.run_all(workflow_id, outcome) if outcome is None else await hand.run(workflow_id, {"fetch": outcome})
    await hand.run_all(workflow_id)
    explain = hand.powertools.explain

    words = {(await explain.workflow_step(workflow_id, name)).status for name in ("fetch", "sync_billing", "notify")}
    words.add((await explain.workflow(workflow_id)).status)
    words.add((await explain.job(await job_id_of(hand, workflow_id, "fetch"))).status)

    assert words == {OperatorStatus.FINISHED}
