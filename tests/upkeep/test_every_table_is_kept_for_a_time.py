"""Every table of the schema has a time after which its rows go, or a reason why they stay; and what is needed stays."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oban_powertools.config import RETENTION
from oban_powertools.upkeep.retention import TABLES, RecordClass
from tests.support.by_hand import Hand, by_hand
from tests.upkeep.test_retention import INCIDENT, OLD, count, ended, prune

ROOT = Path(__file__).parents[2]
FUNCTIONS = "".join(path.read_text() for path in (ROOT / "src/oban_powertools/database/sql/functions").glob("*.sql"))
PAGE = (ROOT / "docs/reference/retention.md").read_text().partition("## Every table")[2]

JOB = "INSERT INTO oban_jobs (worker, state, attempt, errors) VALUES ('w', %s, 1, '{}') RETURNING id"
RESCUE = """
INSERT INTO powertools.rescues (at, job_id, attempt, attempted_at, attempted_by, why, action, crashes, queue, worker)
VALUES (now() - interval '31 days', %s, 1, now(), '{}', 'gone', 'retried', 1, 'q', 'w')
"""
BULK = """
INSERT INTO powertools.bulks (
  status, actor_id, action, filter, arguments, manifest_hash, total, token_hash, expires_at, started_at, ended_at
)
SELECT b.status, 'ada', 'job_retry', '{}', '{}', 'h', 1, sha256(random()::text::bytea), t.at,
  CASE WHEN b.status IN ('running', 'done') THEN t.at END, CASE WHEN b.status IN ('done', 'expired') THEN t.at END
FROM (VALUES (%s, %s::interval)) AS b (status, age) CROSS JOIN LATERAL (SELECT now() - b.age AS at) AS t
RETURNING id
"""
RUN = """
INSERT INTO powertools.prune_runs (started_at, finished_at, reason, outcome, archived)
VALUES (now() - %s::interval, now() - %s::interval, 'r', 'done', %s) RETURNING id
"""
ARCHIVED = """
INSERT INTO powertools.archive (class, original_id, run_id, archived_at, record)
VALUES ('audit', 1, %s, now() - %s::interval, '{}')
"""
NAMES_A_JOB = """
UPDATE powertools.incidents
SET subject_type = 'worker', evidence = jsonb_build_object('id_type', 'job', 'ids', jsonb_build_array(%s::bigint))
"""
RESOLVED = "UPDATE powertools.incidents SET state = 'resolved', resolved_at = now()"
EXECUTOR = """
INSERT INTO powertools.executors (
  executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after, relieved_at
)
SELECT 'e1', 'n', 'p', 'q', t, t, t, t, '15 s', t FROM (SELECT now() - interval '9 days' AS t) AS t
"""
CALLBACK = """
UPDATE oban_jobs
SET meta = jsonb_build_object('workflow_id', %s::bigint, 'outcome', 'completed', 'failed_steps', '[]'::jsonb)
WHERE id = %s
"""


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Hand]:
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


async def test_every_table_has_a_policy_or_a_reason_and_no_other_is_declared(hand: Hand) -> None:
    found = {row["tablename"] for row in await hand.rows("SELECT * FROM pg_tables WHERE schemaname = 'powertools'")}

    assert found == {*TABLES}


@pytest.mark.parametrize("table", TABLES)
def test_what_is_declared_of_a_table_is_true_and_in_the_reference(table: str) -> None:
    kept = TABLES[table]

    [row] = re.findall(rf"^\| `{table}` \| (.+) \|$", PAGE, re.MULTILINE)
    if isinstance(kept, RecordClass):
        assert re.search(rf"DELETE FROM powertools\.{table}\b", FUNCTIONS)
        assert f"`{kept}`" in row
    else:
        assert len(kept) > 20
        assert row == kept


def test_every_class_is_of_some_table_and_has_a_default() -> None:
    assert {*TABLES.values()} >= {*RecordClass}
    assert RETENTION.keys() == {*RecordClass}


@pytest.mark.parametrize(
    ("status", "age", "kept"),
    [
        ("ready", "8 days", False),
        ("expired", "8 days", False),
        ("ready", "6 days", True),
        # what was begun is in the audit, and stays as long
        ("running", "8 days", True),
        ("done", "300 days", True),
        ("done", "366 days", False),
        ("running", "366 days", False),
    ],
)
async def test_a_bulk_goes_with_its_items_when_nothing_tells_of_it(
    hand: Hand, status: str, age: str, kept: bool
) -> None:
    bulk = await hand.one(BULK, status, age)
    await hand.rows("INSERT INTO powertools.bulk_items (bulk_id, place, target_id) VALUES (%s, 0, '1')", bulk)

    run = await prune(hand)

    assert (await count(hand, "bulks"), await count(hand, "bulk_items")) == (int(kept), int(kept))
    assert run.pruned.get("bulks", 0) == (0 if kept else 2)


async def test_a_run_of_the_retention_goes_when_nothing_it_archived_is_left_and_the_audit_no_longer_names_it(
    hand: Hand,
) -> None:
    empty = await hand.one(RUN, "400 days", "399 days", "{}")
    archived = await hand.one(RUN, "400 days", "399 days", '{"audit": 1}')
    emptied = await hand.one(RUN, "400 days", "399 days", '{"audit": 1}')
    recent = await hand.one(RUN, "300 days", "300 days", "{}")
    await hand.rows(ARCHIVED, archived, "400 days")

    run = await prune(hand)

    left = [row["id"] for row in await hand.rows("SELECT id FROM powertools.prune_runs ORDER BY id")]
    assert left == [archived, recent, run.id]
    assert {empty, emptied}.isdisjoint(left)


async def test_rescues_of_a_job_that_an_open_incident_names_are_kept_for_its_timeline(hand: Hand) -> None:
    named, other = [await hand.one(JOB, "discarded") for _ in range(2)]
    for job in (named, other):
        await hand.rows(RESCUE, job)
    await hand.rows(INCIDENT, "failing_jobs:w:E", "active", "w", None)
    await hand.rows(NAMES_A_JOB, named)

    await prune(hand)
    kept = [row["job_id"] for row in await hand.rows("SELECT job_id FROM powertools.rescues")]
    await hand.rows(RESOLVED)
    await prune(hand)

    assert kept == [named]
    assert await count(hand, "rescues") == 0


async def test_an_executor_that_an_open_incident_is_about_is_kept(hand: Hand) -> None:
    await hand.rows(EXECUTOR)
    await hand.rows(INCIDENT, "executor_missing:e1", "active", "e1", None)
    await hand.rows("UPDATE powertools.incidents SET subject_type = 'executor'")

    await prune(hand)
    kept = await count(hand, "executors")
    await hand.rows(RESOLVED)
    await prune(hand)

    assert (kept, await count(hand, "executors")) == (1, 0)


async def test_the_workflow_of_a_callback_that_failed_is_kept_while_that_is_an_open_incident(hand: Hand) -> None:
    workflow_id = await ended(hand)
    callback = await hand.one(JOB, "discarded")
    await hand.rows(CALLBACK, workflow_id, callback)
    await hand.rows(OLD)
    await hand.rows(INCIDENT, "callback_failed:w", "active", "w", None)
    await hand.rows(NAMES_A_JOB, callback)

    await prune(hand)
    kept = await count(hand, "workflows")
    await hand.rows(RESOLVED)
    await prune(hand)

    assert (kept, await count(hand, "workflows")) == (1, 0)
