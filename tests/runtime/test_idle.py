"""A node without work asks the database once a sweep what is due, and does what is due and nothing else."""

import logging
import re
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from psycopg_pool import AsyncConnectionPool

from oban_powertools.database import Connection
from oban_powertools.runtime.sweep import Swept
from oban_powertools.sweep_parts import ALL_PARTS, PARTS
from tests.support.by_hand import Hand, chain
from tests.support.counting import count_executed, count_sent

TROUBLES = {
    "keep_events": "INSERT INTO powertools.deferred_starts VALUES (1, 1, 1, 1)",
    "project_incidents": "UPDATE powertools.incident_projection SET projected_at = now() - interval '1 min'",
    "rescue": """
        INSERT INTO powertools.executors (
          executor_id, node, producer, producer_scope, started_at, stopped_at, beat_at, loop_beat_at, beating_since,
          gone_after
        ) VALUES ('p1', 'node-a', 'p1', 'default', now(), now(), now(), now(), now(), '2 h')
    """,
    "seal_audit": """
        INSERT INTO powertools.audit (actor_id, actor_type, action, target_type, target_id, outcome, surface)
        VALUES ('ops', 'user', 'job_retry', 'job', '1', 'executed', 'api')
    """,
    "dispatch_webhooks": "INSERT INTO powertools.webhook_endpoints (url, cursor) VALUES ('https://app.example', 0)",
}
"""Of each part that is not one of the engine -> what makes it due."""


@asynccontextmanager
async def sweeping(hand: Hand) -> AsyncIterator[list[list[str]]]:
    """Its sweeps run on connections of our own as in a process; the statements that they send, by connection."""
    sent: list[list[str]] = []

    async def watch(conn: Connection) -> None:
        sent.append(count_sent(conn))

    async with AsyncConnectionPool(
        hand.dsn, min_size=1, max_size=2, open=False, configure=watch, kwargs={"autocommit": True}
    ) as pool:
        hand.powertools._attachment.own_pool = pool
        yield sent


async def count_a_sweep(hand: Hand) -> list[int]:
    """Statements of each of nine sweeps, after what is due at a start."""
    counts: list[int] = []
    async with sweeping(hand) as sent:
        last = Swept()
        for number in range(12):
            before = sum(len(statements) for statements in sent)
            last = await hand.powertools._sweep(last)
            if number >= 3:
                counts.append(sum(len(statements) for statements in sent) - before)
    return counts


async def test_an_idle_node_sends_one_statement_a_sweep(hand: Hand) -> None:
    await hand.run_all(await hand.insert(chain(2)))

    counts = await count_a_sweep(hand)

    # what has its own time, as the pulse, comes once in seconds
    assert (statistics.median(counts), max(counts) <= 5) == (1, True)


async def test_a_node_with_open_workflows_compares_their_steps_too(hand: Hand) -> None:
    await hand.insert(chain(2))

    assert statistics.median(await count_a_sweep(hand)) == 2


async def test_what_is_due_is_found_by_index_though_statistics_come_from_busier_times(hand: Hand) -> None:
    for _ in range(20):
        await hand.run_all(await hand.insert(chain(3)))
    await hand.rows("ANALYZE")
    await hand.rows("SELECT powertools.place_events_v1(true)")

    async with count_executed(hand.conn) as plans:
        await hand.rows("SELECT powertools.due_parts_v1('5 s', '7 days')")

    assert len(plans) > 1  # those inside the function too
    assert set(re.findall(r"Seq Scan on (\w+)", "".join(plans))) <= {"executors", "incident_projection", "unnest"}


def test_every_further_part_has_its_trouble() -> None:
    assert {*TROUBLES, "reconcile"} == ALL_PARTS - set(PARTS)


@pytest.mark.parametrize("part", TROUBLES)
async def test_each_further_part_is_due_when_there_is_something_to_do(hand: Hand, part: str) -> None:
    async with sweeping(hand):
        quiet = await hand.powertools._sweep(await hand.powertools._sweep(Swept()))
        await hand.rows(TROUBLES[part])

        troubled = await hand.powertools._sweep(quiet)
    await hand.leave_empty()

    assert part not in quiet.due
    assert part in troubled.due


async def test_when_what_is_due_cannot_be_read_everything_is_tried(
    hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.rows("TRUNCATE oban_jobs")
    await hand.rows("ALTER TABLE powertools.webhook_endpoints RENAME TO away")
    try:
        async with sweeping(hand):
            with caplog.at_level(logging.ERROR):
                swept = await hand.powertools._sweep(Swept())
    finally:
        await hand.rows("ALTER TABLE powertools.away RENAME TO webhook_endpoints")

    assert swept.due == ALL_PARTS
    assert swept.reconciled == 1
    assert (await hand.workflow(workflow_id)).state == "failed"
    assert "what is due could not be read: everything is tried" in caplog.messages
