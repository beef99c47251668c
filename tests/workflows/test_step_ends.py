"""A number of failed steps counts what failed; the cancelled and expired are counted by their own words everywhere."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from oban import Cancel

from oban_powertools import Workflow
from oban_powertools.states import StepState, WorkflowId
from oban_powertools.workflows.records import WorkflowRecord
from tests.support.by_hand import Hand, step
from tests.support.command import powertools

ASKED: Any = {"actor": "ada", "reason": "because of a test"}


async def failed_and_cancelled(hand: Hand) -> WorkflowId:
    workflow = Workflow("order")
    workflow.add("charge", step())
    workflow.add("mail", step(), deps=["charge"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"charge": ValueError("no")})
    return workflow_id


async def cancelled_by_its_worker(hand: Hand) -> WorkflowId:
    workflow = Workflow("order")
    workflow.add("charge", step())
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"charge": Cancel("nothing to do")})
    return workflow_id


async def cancelled_as_a_whole(hand: Hand) -> WorkflowId:
    workflow = Workflow("order")
    workflow.add("charge", step())
    workflow.add("mail", step(), deps=["charge"])
    workflow_id = await hand.insert(workflow)
    await hand.workflows.request_cancel(workflow_id, **ASKED)
    return workflow_id


async def cancelled_by_an_operator_before_one_that_failed(hand: Hand) -> WorkflowId:
    workflow = Workflow("order")
    workflow.add("gift", step())
    workflow.add("charge", step())
    workflow_id = await hand.insert(workflow)
    await hand.workflows.recover(workflow_id, "gift", "cancel", **ASKED)
    await hand.run(workflow_id, {"charge": ValueError("no")})
    return workflow_id


async def skipped(hand: Hand) -> WorkflowId:
    workflow = Workflow("order")
    workflow.add("charge", step())
    workflow_id = await hand.insert(workflow)
    await hand.workflows.recover(workflow_id, "charge", "skip", **ASKED)
    return workflow_id


async def expired(hand: Hand) -> WorkflowId:
    workflow = Workflow("order")
    workflow.await_signal("approval", signal="approved", correlation_key="7", deadline=timedelta(hours=1))
    workflow_id = await hand.insert(workflow)
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() - interval '1 s'")
    await hand.sweep()
    return workflow_id


ENDS: dict[str, tuple[Any, str, str]] = {
    "failed, and cancelled because of it": (
        failed_and_cancelled,
        "2 of 2 ended, 1 failed, 1 cancelled",
        "charge: failed",
    ),
    "cancelled by its worker": (cancelled_by_its_worker, "1 of 1 ended, 1 cancelled", "charge: cancelled"),
    "cancelled as a whole": (cancelled_as_a_whole, "2 of 2 ended, 2 cancelled", ""),
    "cancelled by an operator before another failed": (
        cancelled_by_an_operator_before_one_that_failed,
        "2 of 2 ended, 1 failed, 1 cancelled",
        "charge: failed",
    ),
    "skipped": (skipped, "1 of 1 ended", ""),
    "expired": (expired, "1 of 1 ended, 1 expired", "approval: expired"),
}


async def counted(hand: Hand, workflow_id: WorkflowId) -> dict[str, int]:
    states = [*(await hand.states(workflow_id)).values()]
    words = {"failed": StepState.DISCARDED, "cancelled": StepState.CANCELLED, "expired": StepState.EXPIRED}
    return {word: states.count(state) for word, state in words.items()}


def told(record: WorkflowRecord) -> dict[str, int]:
    return {"failed": record.failed, "cancelled": record.cancelled, "expired": record.expired}


@pytest.mark.parametrize("name", ENDS)
async def test_each_is_counted_by_its_own_word(hand: Hand, name: str) -> None:
    make, steps, why = ENDS[name]
    workflow_id = await make(hand)

    record = await hand.workflow(workflow_id)
    shown = (await asyncio.to_thread(powertools, "workflow", "show", str(workflow_id), dsn=hand.dsn)).out
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in shown.split("\n\n")[0].splitlines() if "  " in line)

    assert told(record) == await counted(hand, workflow_id)
    assert facts["steps"] == steps
    assert facts.get("why", "") == why


async def test_a_step_that_runs_a_workflow_counts_its_steps_likewise(hand: Hand) -> None:
    inner = Workflow("inner")
    inner.add("charge", step())
    inner.add("mail", step(), deps=["charge"])
    workflow = Workflow("outer")
    workflow.add_workflow("child", inner)
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["child"].child_id
    assert child_id is not None

    await hand.run(child_id, {"charge": ValueError("no")})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "child")
    assert "2 of 2 steps ended, 1 failed, 1 cancelled" in explained.summary
    assert (await hand.steps(workflow_id))["child"].error == {
        "error": f"workflow {child_id} failed, 1 of 2 steps failed, 1 cancelled",
        "workflow_id": child_id,
    }
