"""Every class of incident, as something that happens and something that ends it: on the fixture ``hand``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from oban import Job

from oban_powertools import Incident, Workflow
from oban_powertools.lifeline.incidents import Projector
from tests.support.breaking import broken_steps, faulty_root
from tests.support.by_hand import Hand, chain, step
from tests.support.executing import beat, die, rescue, silent, stop, take

DECIDED = """
SET session_replication_role = replica;
UPDATE powertools.late_results SET dismissed_at = now(), decided_by = 'ada' WHERE dismissed_at IS NULL;
SET session_replication_role = origin
"""
"""As if somebody had, long ago: without the record that the database asks for."""

ADA: Any = {"actor": "ada", "reason": "because of a test"}


@dataclass
class Trouble:
    """Something that goes wrong, can be ended, and can happen again."""

    fingerprint: str
    happen: Callable[[Hand], Awaitable[None]]
    end: Callable[[Hand], Awaitable[None]]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


async def project(hand: Hand, fingerprint: str | None = None, **settings: Any) -> dict[str, Incident]:
    """Project with these settings: fingerprint -> incident, of those that are open."""
    await Projector(await hand.settings(**settings)).project(hand.session, fingerprint)
    return {incident.fingerprint: incident for incident in await hand.powertools.lifeline.list_incidents(limit=1000)}


async def plain(hand: Hand, **options: Any) -> int:
    [inserted] = await hand.oban.enqueue_many(step(**options))
    assert inserted.id is not None
    return inserted.id


async def fail(hand: Hand, *job_ids: int, error: Exception | None = None) -> None:
    """Start these jobs; they fail for good."""
    acks = [await hand.execute(job, error or ValueError("no")) for job in await hand.start(*job_ids)]
    await hand.ack(*acks)


async def _late(hand: Hand) -> None:
    await beat(hand, "p1")
    await silent(hand, "p1", 60)


async def _beats(hand: Hand) -> None:
    await beat(hand, "p1")


async def _dies_with_two_jobs(hand: Hand) -> None:
    for _ in range(2):
        await take(hand, await plain(hand, max_attempts=9), "p1")
    await die(hand, "p1")


async def _rescued(hand: Hand) -> None:
    await rescue(hand)


async def _orphaned(hand: Hand) -> None:
    await hand.start(await plain(hand))


async def _all_completed(hand: Hand) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'completed', completed_at = now() WHERE state = 'executing'")


async def _hangs(hand: Hand) -> None:
    await beat(hand, "p1")
    await take(hand, await plain(hand, max_attempts=9), "p1", ago=9000)


async def _waits_in_line(hand: Hand) -> None:
    await beat(hand, "p1")
    await plain(hand, max_attempts=9)
    await hand.rows("UPDATE oban_jobs SET inserted_at = now() - interval '1 h', scheduled_at = now() - interval '1 h'")


async def _caught_up(hand: Hand) -> None:
    for row in await hand.rows("SELECT id FROM oban_jobs WHERE state = 'available'"):
        await take(hand, row["id"], "p1")
    await _all_completed(hand)


async def _deserted(hand: Hand) -> None:
    await stop(hand, "p1")
    await silent(hand, "p1", 600)
    await hand.rows("UPDATE powertools.executors SET stopped_at = beat_at WHERE stopped_at IS NOT NULL")
    await hand.insert(chain(1))
    await hand.rows("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '10 min'")


async def _overdue(hand: Hand) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="7", deadline=timedelta(hours=1))
    await hand.insert(workflow)
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() - interval '1 min' WHERE state = 'waiting'")


async def _swept(hand: Hand) -> None:
    await hand.sweep()


async def _webhook_unserved(hand: Hand) -> None:
    await hand.powertools.webhooks.add("https://example.com/", **ADA)
    await hand.insert(chain(1))
    await hand.powertools.webhooks.dispatch()
    await hand.rows(
        "UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '10 min' WHERE worker LIKE '%Webhooks'"
    )


async def _webhook_served(hand: Hand) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'completed', completed_at = now() WHERE worker LIKE '%Webhooks'")


async def _misdirected(hand: Hand) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="order-7")
    await hand.insert(workflow)
    await hand.powertools.workflows.signal("payment", "Order 7", {"paid": True})
    await hand.rows("UPDATE powertools.signals SET inserted_at = inserted_at - interval '2 h'")


async def _taken(hand: Hand) -> None:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal="payment", correlation_key="Order 7")
    await hand.insert(workflow)


async def _quarantined(hand: Hand) -> None:
    if await hand.one("SELECT count(*) FROM oban_jobs") == 0:
        await plain(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'suspended'")
    await hand.rows(
        "INSERT INTO powertools.rescues (job_id, attempt, attempted_at, attempted_by, why, action, crashes, queue,"
        " worker) SELECT id, 3, now(), '{node-a,p3}', 'gone', 'quarantined', 3, queue, worker FROM oban_jobs"
    )


async def _let_out(hand: Hand) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'available'")


async def _five_fail(hand: Hand) -> None:
    await fail(hand, *[await plain(hand) for _ in range(5)])


async def _time_passes(hand: Hand) -> None:
    await hand.rows("UPDATE oban_jobs SET discarded_at = discarded_at - interval '1 h'")
    await hand.rows("UPDATE powertools.incidents SET holds_until = holds_until - interval '1 h'")


async def _late_success(hand: Hand) -> None:
    workflow = Workflow("retried")
    workflow.add("s0", step(max_attempts=9))
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1")
    running = await hand.job(workflow_id, "s0")
    await die(hand, "p1")
    await rescue(hand)
    await hand.ack(await hand.execute(running, {"x": 1}))


async def _dismissed(hand: Hand) -> None:
    await hand.rows(DECIDED)


async def _deleted(hand: Hand) -> None:
    if await hand.one("SELECT count(*) FROM powertools.workflows") == 0:
        await hand.insert(chain(2))
    await hand.rows("DELETE FROM oban_jobs")


async def _recovered(hand: Hand) -> None:
    [workflow] = await hand.workflows.list()
    await hand.workflows.recover(workflow.id, "s0", **ADA)


async def _unsettled(hand: Hand) -> None:
    workflow_id = await hand.insert(faulty_root())
    async with broken_steps(hand):
        await hand.run(workflow_id, {"faulty": 1})


async def _callback_fails(hand: Hand) -> None:
    workflow = Workflow("ends", on_finished=step())
    workflow.add("a", step())
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": 1})
    await fail(hand, await hand.one("SELECT max(id) FROM oban_jobs WHERE meta ? 'outcome'"))


async def _cannot_be_imported(hand: Hand) -> None:
    if await hand.one("SELECT count(*) FROM oban_jobs") == 0:
        await hand.oban.enqueue_many(Job("tests.no_such_module.Worker", max_attempts=1))
    [job] = await hand.start(*[row["id"] for row in await hand.rows("SELECT id FROM oban_jobs")])
    await hand.ack(await hand.execute(job, None))


async def _snoozed(hand: Hand) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'scheduled'")


async def _callback_retried(hand: Hand) -> None:
    await hand.rows("UPDATE oban_jobs SET state = 'available', discarded_at = NULL WHERE state = 'discarded'")


_EXECUTOR = "app:oban:default:node-a:p1"
_SCRIPTED = "tests.support.by_hand.Scripted"

TROUBLES = {
    "executor_late": Trouble(
        f"executor_late:{_EXECUTOR}",
        _late,
        _beats,
        {"executor_late_after": timedelta(seconds=2), "executor_missing_after": timedelta(hours=1)},
    ),
    "executor_missing": Trouble(
        f"executor_missing:{_EXECUTOR}",
        _late,
        _beats,
        {"executor_late_after": timedelta(seconds=1), "executor_missing_after": timedelta(seconds=2)},
    ),
    "dead_executor": Trouble(f"dead_executor:{_EXECUTOR}", _dies_with_two_jobs, _rescued),
    "orphaned_jobs": Trouble("orphaned_jobs:node:00000000-0000-0000-0000-000000000000", _orphaned, _all_completed),
    "workflow_stuck": Trouble("workflow_stuck:queue:default", _deserted, _beats),
    "hung_jobs": Trouble(f"hung_jobs:{_SCRIPTED}", _hangs, _all_completed),
    "queue_late": Trouble("queue_late:default", _waits_in_line, _caught_up),
    "wait_overdue": Trouble("wait_overdue:payment", _overdue, _swept),
    "webhook_unserved": Trouble("webhook_unserved:1", _webhook_unserved, _webhook_served),
    "unclaimed_signal": Trouble("unclaimed_signal:payment", _misdirected, _taken),
    "poison_job": Trouble("poison_job:1", _quarantined, _let_out),
    "failing_jobs": Trouble(f"failing_jobs:{_SCRIPTED}:ValueError", _five_fail, _time_passes),
    "late_result": Trouble("late_result:node-a:p1", _late_success, _dismissed),
    "outside_edit": Trouble(f"outside_edit:job_deleted:{_SCRIPTED}", _deleted, _recovered),
    "bookkeeping_fault": Trouble("bookkeeping_fault:P0001", _unsettled, _swept),
    "callback_failed": Trouble(f"callback_failed:{_SCRIPTED}", _callback_fails, _callback_retried),
    "worker_not_importable": Trouble(
        "worker_not_importable:tests.no_such_module.Worker", _cannot_be_imported, _snoozed
    ),
}
"""Class -> how it comes and goes."""
