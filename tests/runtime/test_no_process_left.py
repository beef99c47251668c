"""What people are shown of executors when no process lives that could witness anything (executors/R7)."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from oban_powertools import OperatorStatus
from oban_powertools.errors import HeartbeatLateError, RepairRequiresMissingExecutorError
from oban_powertools.states import JobId, WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.executing import LONG_AGO, beat, health, restarted, silent, take, watching
from tests.support.troubles import plain, project

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


# What is told of a queue goes by the same rule (``queue_facts_v1``).

OLD_JOBS = (
    "UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '1 h', inserted_at = inserted_at - interval '1 h'"
)


async def told(hand: Hand, *, seconds: float) -> dict[str, Any]:
    """What each door says of a queue with jobs that are due for an hour, whose only process was killed so long ago."""
    await killed(hand, seconds=seconds)
    job_id = await plain(hand, max_attempts=9)
    await hand.rows(OLD_JOBS)
    found = await project(hand, incident_stuck_after=timedelta(seconds=10))
    queue = await hand.powertools.queues.get("default")
    doctor = await hand.powertools.examine()
    return {
        "executors": queue.executors,
        "explained": [one.code for one in (await hand.powertools.explain.job(JobId(job_id))).blockers],
        "incidents": sorted(name for name in found if name.startswith(("queue_late", "workflow_stuck"))),
        "doctor": [one.found for one in doctor.findings if one.subject == "queue default"],
    }


async def test_a_queue_whose_process_lives_is_late_for_each_door(hand: Hand) -> None:
    assert await told(hand, seconds=14) == {
        "executors": 1,
        "explained": [],
        "incidents": ["queue_late:default"],
        "doctor": [],
    }


@pytest.mark.parametrize("seconds", [16, 59, 119, 121])
async def test_a_queue_whose_process_was_killed_has_no_executor_for_each_door_at_the_same_instant(
    hand: Hand, seconds: float
) -> None:
    assert await told(hand, seconds=seconds) == {
        "executors": 0,
        "explained": ["queue_has_no_executor"],
        "incidents": ["workflow_stuck:queue:default"],
        "doctor": ["1 job available for over a minute, and no executor works on it"],
    }


async def test_a_late_queue_whose_process_is_killed_ends_for_that_reason(hand: Hand) -> None:
    await killed(hand, seconds=14)
    await plain(hand, max_attempts=9)
    await hand.rows(OLD_JOBS)
    await project(hand)

    await silent(hand, PRODUCER_ID, 5)
    await project(hand)

    ended = (await hand.powertools.lifeline.get_incident("queue_late:default")).timeline[-1]
    assert (ended.kind, ended.detail["because"]) == ("resolved", "nobody works on the queue any more")


async def test_the_places_of_a_late_queue_count_only_what_is_in_living_hands(hand: Hand) -> None:
    await killed(hand, seconds=60)
    await beat(hand, "p2")
    await hand.rows(PRODUCER.replace("0001", "0002").replace("10}", "1}"))
    await plain(hand, max_attempts=9)
    await hand.rows(OLD_JOBS)

    incident = (await project(hand))["queue_late:default"]

    assert incident.title.endswith("its executors take none or too few")
    assert (incident.evidence["places"], incident.evidence["executing"]) == (1, 0)
