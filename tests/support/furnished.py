"""A shop at three in the morning: a database with fixed names and ages, to be looked at.

Everything that the command line lists is there: one workflow of each kind of trouble, a dead executor, incidents, a
queue that nobody serves, a webhook whose receiver is away, and what operators did about it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from oban_powertools import Workflow
from oban_powertools.errors import CommandRefusedError
from tests.support.by_hand import GUARD, UNGUARD, Hand, by_hand, step
from tests.support.executing import LONG_AGO, restarted
from tests.support.troubles import project

ADA: Any = {"actor": "ada", "source": "cli"}
DEAD = "app:oban:default:node-a:0b5c2f7d-1e44-4b7e-9a51-3f5a1e8c3b77"
ALIVE = "app:oban:default:node-b:7c9e1b52-6a0f-4a7d-8c11-94d2e7f0a613"

AGES = """
SET session_replication_role = replica;
UPDATE powertools.workflows w
SET inserted_at = now() - age, finished_at = CASE WHEN finished_at IS NOT NULL THEN now() - age + interval '42.4 s' END
FROM (VALUES (1, interval '2.5 days'), (2, interval '1.5 hours'), (3, interval '25.5 min'), (4, interval '24.5 min'),
             (5, interval '20.5 min'), (6, interval '9.5 min')) AS ages (id, age)
WHERE ages.id = w.id;
UPDATE powertools.steps s
SET released_at = w.inserted_at,
    started_at = CASE WHEN s.started_at IS NOT NULL THEN w.inserted_at + interval '2 s' END,
    finished_at = CASE WHEN s.finished_at IS NOT NULL THEN w.inserted_at + interval '5.2 s' END
FROM powertools.workflows w WHERE w.id = s.workflow_id AND s.released_at IS NOT NULL;
UPDATE powertools.signals SET inserted_at = now() - interval '8.5 min';
UPDATE powertools.waits SET registered_at = now() - interval '24.5 min', deadline_at = now() + interval '5.51 h';
UPDATE powertools.steps SET worker = 'shop.workers.' || initcap(name) WHERE worker IS NOT NULL;
UPDATE oban_jobs
SET worker = 'shop.workers.' || initcap(meta ->> 'step') WHERE meta ? 'step';
UPDATE oban_jobs
SET inserted_at = timezone('UTC', now() - interval '20.5 min'),
    scheduled_at = timezone('UTC', now() - interval '20.5 min'),
    attempted_at = CASE WHEN attempted_at IS NOT NULL THEN timezone('UTC', now() - interval '12.5 min') END;
UPDATE powertools.webhook_deliveries
SET state = 'dead', attempts = 12, error = 'HTTP 503', status = 503, finished_at = now(),
    queued_at = now() - interval '9.5 min', attempted_at = now() - interval '2.5 min';
UPDATE powertools.executors
SET started_at = now() - interval '3.5 h', beating_since = now() - interval '3.5 h',
    beat_at = now() - beat, loop_beat_at = now() - beat
FROM (VALUES ('node-a', interval '6.5 min'), ('node-b', interval '20 s')) AS beats (beat_node, beat)
WHERE beat_node = node;
UPDATE powertools.incidents
SET opened_at = now() - interval '4.5 min', first_detected_at = now() - interval '4.5 min',
    last_detected_at = now() - interval '20 s';
UPDATE powertools.incident_projection SET projected_at = now() - interval '20 s';
UPDATE powertools.incident_entries SET at = now() - interval '4.5 min';
UPDATE powertools.audit SET at = now() - (10.5 - id) * interval '1 min';
UPDATE powertools.audit_links l SET row_hash = powertools.audit_hash_v1(a)
FROM powertools.audit a WHERE a.id = l.audit_id;
SET session_replication_role = origin
"""


def order() -> Workflow:
    """charge -> pack -> mail."""
    workflow = Workflow("order", context={"account_id": 42}, tags=["shop"])
    workflow.add("charge", step({"order": 7}))
    workflow.add("pack", step(max_attempts=3), deps=["charge"])
    workflow.add("mail", step(), deps=["pack"])
    return workflow


def refund() -> Workflow:
    """Waits for a person."""
    workflow = Workflow("refund")
    workflow.await_signal("approval", signal="approved", correlation_key="expense-7", deadline=timedelta(hours=6))
    workflow.add("pay", step(), deps=["approval"])
    return workflow


def newsletter() -> Workflow:
    """Runs in a queue that nobody serves."""
    workflow = Workflow("newsletter")
    workflow.add("send", step(queue="mail"))
    return workflow


@asynccontextmanager
async def furnished(dsn: str) -> AsyncIterator[Hand]:
    """The shop, on a database with both schemas that nothing happened in yet."""
    async with by_hand(dsn, turbo=True) as hand, restarted(hand, LONG_AGO):
        await _furnish(hand)
        yield hand


async def _furnish(hand: Hand) -> None:
    await _executors(hand)
    await _workflows(hand)
    await _operators(hand)
    await _webhook(hand)
    await set_ages(hand)
    await project(hand)
    await hand.rows("ANALYZE")  # numbers of rows are estimates


async def set_ages(hand: Hand) -> None:
    """Let everything be as old as it is on the page of screens, whenever it was made."""
    await hand.rows(f"{UNGUARD}; {AGES}; {GUARD}")


async def _executors(hand: Hand) -> None:
    beats = [
        {
            "executor_id": executor_id,
            "node": executor_id.split(":")[3],
            "producer_scope": "default",
            "gone_after": timedelta(minutes=1),
        }
        for executor_id in (DEAD, ALIVE)
    ]
    await hand.powertools.lifeline.refresh_heartbeats(beats)


async def _workflows(hand: Hand) -> None:
    done = await hand.insert(order())
    await hand.run_all(done, {"paid": 30})
    failed = await hand.insert(order())
    await hand.run(failed, {"charge": ConnectionError("the bank is down")})
    lost = await hand.insert(order())
    await hand.run(lost, {"charge": {"paid": 30}})
    job = await hand.job(lost, "pack")
    await hand.rows(
        "UPDATE oban_jobs SET state = 'executing', attempt = 1, attempted_by = ARRAY['node-a', %s],"
        " attempted_at = timezone('UTC', now()) WHERE id = %s",
        DEAD.rpartition(":")[2],
        job.id,
    )
    await hand.insert(refund())
    await hand.insert(newsletter())
    await hand.workflows.signal("approved", "Expense 7", {"by": "Grace"})


async def _operators(hand: Hand) -> None:
    await hand.workflows.hold("4", "pay", hold_for=timedelta(hours=2), reason="the account is checked first", **ADA)
    with suppress(CommandRefusedError):
        await hand.workflows.recover("1", reason="it looks wrong to me", **ADA)


async def _webhook(hand: Hand) -> None:
    await hand.powertools.webhooks.add("https://ledger.example/hook", reason="the ledger wants to know", **ADA)
    await hand.run_all(await hand.insert(order()), {"paid": 30})
    await hand.powertools.webhooks.dispatch()
