"""What people are shown of executors when no process lives that could witness anything (executors/R7)."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from oban_powertools import OperatorStatus
from oban_powertools.errors import HeartbeatLateError, RepairRequiresMissingExecutorError
from oban_powertools.states import JobId, WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.executing import LONG_AGO, beat, health, restarted, silent, take, watching

PRODUCER = """
INSERT INTO oban_producers (uuid, name, node, queue, meta, updated_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'oban', 'node-a', 'default', '{"local_limit": 10}',
  timezone('UTC', now()))
"""
"""As Oban left it, less than a minute ago."""

PRODUCER_ID = "00000000-0000-0000-0000-000000000001"


@pytest_asyncio.fixture(autouse=True)
async def _the_server_runs_for_long(hand: Hand) -> AsyncIterator[None]:
    async with restarted(hand, LONG_AGO):
        yield


async def killed(hand: Hand, *, seconds: float) -> WorkflowId:
    """A step runs on the only process, which was killed so many seconds ago."""
    workflow_id = await hand.insert(chain(1))
    await hand.rows(PRODUCER)
    await beat(hand, PRODUCER_ID)
    await take(hand, (await hand.job(workflow_id, "s0")).id, PRODUCER_ID, ago=seconds)
    await silent(hand, PRODUCER_ID, seconds)
    return workflow_id


async def shown(hand: Hand, workflow_id: WorkflowId) -> dict[str, Any]:
    """What each screen says of it: the executor, the step, its workflow, its job, its queue, and the explanation."""
    job_id = (await hand.job(workflow_id, "s0")).id
    assert job_id is not None
    [queue] = await hand.powertools.queues.list()
    detail = await hand.powertools.queues.get("default")
    return {
        "executor": (await health(hand))[PRODUCER_ID].status,
        "step": (await hand.steps(workflow_id))["s0"].status,
        "workflow": (await hand.workflow(workflow_id)).status,
        "job": (await hand.powertools.jobs.list()).jobs[0].status,
        "explained": (await hand.powertools.explain.job(JobId(job_id))).status,
        "queue": queue.status,
        "producers": len(detail.producers),
    }


async def test_within_the_promise_of_its_heartbeats_it_runs(hand: Hand) -> None:
    workflow_id = await killed(hand, seconds=14)

    assert await shown(hand, workflow_id) == {
        "executor": "Healthy",
        "step": OperatorStatus.RUNNING,
        "workflow": OperatorStatus.RUNNING,
        "job": OperatorStatus.RUNNING,
        "explained": OperatorStatus.RUNNING,
        "queue": OperatorStatus.RUNNING,
        "producers": 1,
    }


@pytest.mark.parametrize(("seconds", "word"), [(16, "Late"), (119, "Late"), (121, "Missing"), (7200, "Missing")])
async def test_after_it_every_screen_says_that_nobody_works(hand: Hand, seconds: float, word: str) -> None:
    workflow_id = await killed(hand, seconds=seconds)

    assert await shown(hand, workflow_id) == {
        "executor": word,
        "step": OperatorStatus.BLOCKED,
        "workflow": OperatorStatus.BLOCKED,
        "job": OperatorStatus.BLOCKED,
        "explained": OperatorStatus.BLOCKED,
        "queue": OperatorStatus.BLOCKED,
        "producers": 0,
    }


async def refusal(hand: Hand, workflow_id: WorkflowId, error: type[Exception]) -> str:
    job_id = (await hand.job(workflow_id, "s0")).id
    assert job_id is not None
    with pytest.raises(error) as refused:
        await hand.powertools.lifeline.preview_repair("ada", action="job_rescue", target_type="job", target_id=job_id)
    return str(refused.value)


async def test_a_refused_rescue_says_when_it_is_missing_and_what_to_do(hand: Hand) -> None:
    workflow_id = await killed(hand, seconds=40)

    told = await refusal(hand, workflow_id, HeartbeatLateError)

    assert re.search(
        r"its last heartbeat came 40 s ago; it counts as missing in (79|80) s: try again then, or start", told
    )
    assert "powertools start --queues default:10" in told


async def test_after_a_restart_of_the_server_a_refusal_calls_nobody_alive_who_was_not_heard_since(
    hand: Hand,
) -> None:
    workflow_id = await killed(hand, seconds=3600)

    async with restarted(hand):
        told = await refusal(hand, workflow_id, HeartbeatLateError)

    assert re.search(
        r"its last heartbeat came 3600 s ago; the database server has started since: it counts as missing in "
        r"(119|120) s if that stays up, or start a process \(powertools start --queues default:10\)",
        told,
    )


async def test_with_a_witness_it_is_missing_sooner_and_the_refusal_says_so(hand: Hand) -> None:
    workflow_id = await killed(hand, seconds=10)
    await watching(hand, 60)

    told = await refusal(hand, workflow_id, RepairRequiresMissingExecutorError)

    assert re.search(
        r"is alive; cancel the job instead; if its process has ended, it counts as missing in [45] s", told
    )


async def test_a_process_that_just_started_makes_it_missing_after_it_has_watched_for_so_long(hand: Hand) -> None:
    workflow_id = await killed(hand, seconds=40)
    await watching(hand, 5)

    told = await refusal(hand, workflow_id, HeartbeatLateError)

    assert re.search(r"it counts as missing in (9|10) s", told)


async def test_one_that_is_missing_may_be_rescued(hand: Hand) -> None:
    workflow_id = await killed(hand, seconds=121)
    job_id = (await hand.job(workflow_id, "s0")).id
    assert job_id is not None

    preview = await hand.powertools.lifeline.preview_repair(
        "ada", action="job_rescue", target_type="job", target_id=job_id
    )

    assert preview.action == "job_rescue"
