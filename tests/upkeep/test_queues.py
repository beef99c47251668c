"""Queues are shown as they are; pausing, resuming and scaling them are audited acts that Oban carries out."""

import asyncio
from typing import Any

import pytest

from oban_powertools import OperatorStatus, Powertools
from oban_powertools.errors import NotAuthorizedError, QueueNotFoundError, ReasonRequiredError
from oban_powertools.upkeep.queues import Queues
from tests.support.by_hand import Hand, chain, step
from tests.support.executing import die, rescue, take
from tests.support.ledger import eventually

WHO = {"actor": "ada", "reason": "billing is down"}


async def until(powertools: Powertools, **expected: Any) -> None:
    """Until the only producer of the queue default says so; at most 10 s."""

    async def reached() -> bool:
        [producer] = (await powertools.queues.get("default")).producers
        return all(getattr(producer, name) == value for name, value in expected.items())

    await eventually(reached)


@pytest.fixture
async def listening(powertools: Powertools) -> Powertools:
    """A running Powertools whose Oban hears signals by now."""
    if heard := powertools.oban._notifier._listen_events.get("signal"):
        await asyncio.wait_for(heard.wait(), 10)
    return powertools


async def test_a_paused_queue_takes_no_jobs_until_it_is_resumed(listening: Powertools) -> None:
    assert await listening.queues.pause("default", **WHO) == 1
    await until(listening, paused=True)
    handle = await listening.workflows.insert(chain(1))
    paused = await listening.workflows.get(handle.id)
    queue = await listening.queues.get("default")

    await listening.queues.resume("default", **WHO)
    await handle.wait()

    assert (paused.status, paused.blocker, paused.held_up_by) == (OperatorStatus.BLOCKED, "queue_paused", "s0")
    assert (queue.status, queue.available, queue.paused) == (OperatorStatus.BLOCKED, 1, 1)


async def test_a_scaled_queue_has_its_new_limit_on_each_executor(listening: Powertools) -> None:
    await listening.queues.scale("default", 3, **WHO)

    await until(listening, places=3)


@pytest.mark.parametrize(
    ("act", "options", "expected"),
    [("pause", {}, {"paused": True}), ("scale", {"limit": 3}, {"places": 3})],
    ids=["pause", "scale"],
)
async def test_what_is_told_while_an_executor_does_not_listen_yet_is_told_again(
    listening: Powertools, act: str, options: dict[str, int], expected: dict[str, Any]
) -> None:
    heard_by = listening.oban._notifier._subscriptions["signal"]
    callbacks = dict(heard_by)
    heard_by.clear()

    telling = asyncio.create_task(getattr(listening.queues, act)("default", **options, **WHO))

    async def recorded() -> bool:
        return bool(await listening.audit.list(action=f"queue_{act}"))

    await eventually(recorded)
    heard_by.update(callbacks)

    assert await telling == 1
    await until(listening, **expected)


async def test_only_the_named_node_is_told(listening: Powertools) -> None:
    [producer] = (await listening.queues.get("default")).producers

    assert await listening.queues.pause("default", node=producer.node, **WHO) == 1
    await until(listening, paused=True)
    with pytest.raises(QueueNotFoundError):
        await listening.queues.resume("default", node="nowhere", **WHO)


async def test_an_act_on_a_queue_is_on_record_with_what_it_was_before(listening: Powertools) -> None:
    await listening.queues.pause("default", **WHO)

    [record] = await listening.audit.list(action="queue_pause")

    assert (record.target_type, record.target_id, record.reason) == ("queue", "default", "billing is down")
    assert [one["paused"] for one in record.before["executors"].values()] == [False]


async def test_who_may_not_pauses_nothing_and_that_is_on_record(hand: Hand) -> None:
    queues = Queues(hand.services(guard=type(hand.services().guard)(None)))

    with pytest.raises(NotAuthorizedError):
        await queues.pause("default", **WHO)

    assert [record.outcome for record in await hand.powertools.audit.list(action="queue_pause")] == ["refused"]


async def test_a_queue_is_not_paused_without_a_reason(hand: Hand) -> None:
    with pytest.raises(ReasonRequiredError):
        await hand.powertools.queues.pause("default", actor="ada", reason="")


async def test_a_queue_that_nobody_serves_is_blocked_and_shows_since_when(hand: Hand) -> None:
    await hand.oban.enqueue(step(queue="mail"))

    [queue] = await hand.powertools.queues.list()

    assert (queue.name, queue.status, queue.available, queue.executors) == ("mail", OperatorStatus.BLOCKED, 1, 0)
    assert queue.oldest_due_at is not None


async def test_the_jobs_that_hold_a_queues_places_are_named(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    job = await hand.job(workflow_id, "s0")
    await hand.start(job.id)

    [holder] = (await hand.powertools.queues.get("default")).holders

    assert (holder.job_id, holder.workflow_id, holder.step) == (job.id, workflow_id, "s0")


async def test_a_queue_without_executors_and_jobs_is_unknown(hand: Hand) -> None:
    with pytest.raises(QueueNotFoundError):
        await hand.powertools.queues.get("nothing")


async def test_a_rescued_job_is_due_since_its_rescue_and_hides_no_older_one(hand: Hand) -> None:
    inserted = await hand.oban.enqueue_many(step(max_attempts=3), step())
    await hand.rows(
        "UPDATE oban_jobs SET scheduled_at = scheduled_at - make_interval(hours => 3 - id::int),"
        " inserted_at = inserted_at - interval '3 h'"
    )
    await take(hand, inserted[0].id, "p1")
    await die(hand, "p1")
    await rescue(hand)

    queue = await hand.powertools.queues.get("default")

    other = await hand.one("SELECT scheduled_at AT TIME ZONE 'UTC' FROM oban_jobs WHERE id = %s", inserted[1].id)
    assert queue.oldest_due_at == other
    await hand.rows("DELETE FROM oban_jobs WHERE id = %s", inserted[1].id)
    alone = await hand.powertools.queues.get("default")
    assert alone.oldest_due_at == await hand.one("SELECT at FROM powertools.rescues")
