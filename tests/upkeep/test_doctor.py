"""The doctor: a sound database is sound, every seeded corruption is found, and a broken check is told."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import psycopg
import pytest

from oban_powertools import Workflow
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session, connect
from oban_powertools.schema import install
from oban_powertools.upkeep.doctor import Finding, Level, Report, examine
from oban_powertools.upkeep.doctor.checks import ROW_CHECKS
from oban_powertools.upkeep.doctor.expected import expected
from tests.support.by_hand import Hand, by_hand, chain
from tests.support.command import powertools

HOUSE = {"durability", "roles"}
"""Found on the tests' own server, which is not durable and has the roles of other tests."""

UNGUARDED = "SET session_replication_role = replica; {}; SET session_replication_role = origin"

TRIGGER = "trigger powertools_jobs_{} on public.oban_jobs"

ANOTHER_SCHEMA = """
CREATE SCHEMA powertools_b;
CREATE FUNCTION powertools_b.jobs_updated_v1() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER powertools_b_jobs_updated AFTER UPDATE ON oban_jobs FOR EACH STATEMENT
EXECUTE FUNCTION powertools_b.jobs_updated_v1()
"""
SET_UP = {
    "a trigger is switched off": (
        "ALTER TABLE oban_jobs DISABLE TRIGGER powertools_jobs_updated",
        "triggers",
        TRIGGER.format("updated"),
        "disabled",
    ),
    "a trigger fires for replicas only": (
        "ALTER TABLE oban_jobs ENABLE REPLICA TRIGGER powertools_jobs_deleted",
        "triggers",
        TRIGGER.format("deleted"),
        "enabled for replicas only",
    ),
    "a trigger is dropped": (
        "DROP TRIGGER powertools_jobs_deleted ON oban_jobs",
        "triggers",
        TRIGGER.format("deleted"),
        "missing",
    ),
    "a trigger runs something else": (
        """
        DROP TRIGGER powertools_jobs_deleted ON oban_jobs;
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER powertools_jobs_deleted AFTER DELETE ON oban_jobs FOR EACH STATEMENT EXECUTE FUNCTION nothing()
        """,
        "triggers",
        TRIGGER.format("deleted"),
        "runs public.nothing",
    ),
    "a function is altered": (
        """
        CREATE OR REPLACE FUNCTION powertools.settle_guarded(outcomes powertools.outcome[]) RETURNS void
        LANGUAGE plpgsql AS 'BEGIN END'
        """,
        "functions",
        "function settle_guarded",
        "another text",
    ),
    "a function is dropped": (
        "DROP FUNCTION powertools.outgrown_tables",
        "functions",
        "function outgrown_tables",
        "missing",
    ),
    "a function lost its rights": (
        "ALTER FUNCTION powertools.jobs_updated_v1 SECURITY INVOKER",
        "functions",
        "function jobs_updated_v1",
        "runs with the rights of its caller",
    ),
    "an index is dropped": (
        "DROP INDEX powertools.workflows_unfinished",
        "relations",
        "index workflows_unfinished",
        "missing",
    ),
    "an index is not valid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'powertools.waits_key'::regclass",
        "relations",
        "index waits_key",
        "not valid: a build did not end",
    ),
    "a constraint is dropped": (
        "ALTER TABLE powertools.steps DROP CONSTRAINT step_pending",
        "relations",
        "constraint step_pending of table steps",
        "missing",
    ),
    "a table is dropped": (
        "DROP TABLE powertools.archive",
        "relations",
        "table archive",
        "missing",
    ),
    "a table is unlogged": (
        "ALTER TABLE powertools.steps SET UNLOGGED",
        "relations",
        "table steps",
        "UNLOGGED: a crash of the server empties it",
    ),
    "another schema is on the same jobs": (
        ANOTHER_SCHEMA,
        "schema",
        "the schema",
        "schema powertools_b moves the same jobs: each takes the other's results",
    ),
    "the schema is behind": (
        "DELETE FROM powertools.migrations WHERE version > 3",
        "schema",
        "the schema",
        "version 3",
    ),
    "the schema is ahead": (
        "INSERT INTO powertools.migrations (version, name) VALUES (999, 'newer')",
        "schema",
        "the schema",
        "version 999",
    ),
    "a table is not vacuumed": (
        "ALTER TABLE powertools.steps SET (autovacuum_enabled = false)",
        "vacuum",
        "table powertools.steps",
        "autovacuum is switched off for it",
    ),
    "a row that Oban rejects": (
        "INSERT INTO oban_jobs (worker, priority) VALUES (' ', 10)",
        "rejected_jobs",
        "job 1 in queue 'default'",
        "priority 10, a blank worker",
    ),
    "a job without an attempt left": (
        "INSERT INTO oban_jobs (worker, attempt, max_attempts) VALUES ('w', 1, 1)",
        "exhausted_jobs",
        "queue default",
        "1 job available without an attempt left, such as job 1",
    ),
    "a queue without an executor": (
        "INSERT INTO oban_jobs (worker, queue, scheduled_at) VALUES ('w', 'mail', now() - interval '1 day')",
        "queues",
        "queue mail",
        "1 job available for over a minute, and no executor works on it",
    ),
    "producers lost in a crash": (
        "INSERT INTO oban_jobs (worker, state, attempted_at) VALUES ('w', 'executing', timezone('UTC', now()))",
        "unlogged",
        "table oban_producers",
        "empty, while 1 job began to execute in the last 5 minutes",
    ),
    "a sweep that is too old": (
        "UPDATE powertools.sweep_parts SET succeeded_at = '2026-01-02 03:04:05+00'",
        "sweep",
        "the sweep",
        "it last succeeded at 2026-01-02 03:04:05 UTC",
    ),
    "a part of the sweep that gets nothing done": (
        """
        UPDATE powertools.sweep_parts SET succeeded_at = now();
        UPDATE powertools.sweep_parts SET succeeded_at = '2026-01-02 03:04:05+00' WHERE name = 'rescue'
        """,
        "sweep",
        "the sweep's part rescue",
        "it last succeeded at 2026-01-02 03:04:05 UTC",
    ),
    "a part of the sweep that never did anything": (
        "UPDATE powertools.sweep_parts SET succeeded_at = now() WHERE name <> 'seal_audit'",
        "sweep",
        "the sweep's part seal_audit",
        "it never succeeded",
    ),
    "a sweep that succeeded by a clock that was ahead": (
        "UPDATE powertools.sweep_parts SET succeeded_at = '2226-01-02 03:04:05+00'",
        "sweep",
        "the sweep",
        "it last succeeded at 2226-01-02 03:04:05 UTC",
    ),
    "a sweep that never ran": (
        """
        INSERT INTO powertools.workflows (name, total, open, root_id, inserted_at)
        VALUES ('lonely', 1, 1, 1, now() - interval '1 hour')
        """,
        "sweep",
        "the sweep",
        "it never succeeded, and there are unfinished workflows",
    ),
    "a retention that failed": (
        """
        INSERT INTO powertools.prune_runs (reason, finished_at, outcome, error)
        VALUES ('r', now(), 'failed', 'audit: no')
        """,
        "retention",
        "retention run 1",
        "failed: audit: no",
    ),
    "a process that was started with another setting": (
        """
        INSERT INTO powertools.executors (
          executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
          started_with
        )
        VALUES ('e', 'node-a', 'p', 'default', now(), now(), now(), now(), '1 h', '{"incident_failing_count": 7}')
        """,
        "settings",
        "incident_failing_count",
        "5 in the database, 7 where node-a was started",
    ),
    "an audit that is not sealed": (
        """
        INSERT INTO powertools.audit (at, actor_id, actor_type, action, target_type, target_id, outcome, surface)
        VALUES ('2026-01-02 03:04:05+00', 'a', 'user', 'job_retry', 'job', '1', 'executed', 'cli')
        """,
        "audit",
        "the audit",
        "rows since 2026-01-02 03:04:05 UTC are not sealed",
    ),
    "an outcome that is not settled": (
        """
        INSERT INTO powertools.settle_faults (
          job_id, workflow_id, position, state, attempt, sqlstate, message, first_fault_at
        )
        VALUES (7, 1, 0, 'completed', 1, 'XX000', 'broken', '2026-01-02 03:04:05+00')
        """,
        "settle_faults",
        "job 7 of workflow 1",
        "not settled since 2026-01-02 03:04:05 UTC, tried 1 times: broken",
    ),
}
"""What is wrong -> how it was done, the check, the subject and what is found."""

DATA = {
    "counters_equal_rows": "UPDATE powertools.workflows SET total = total + 1, open = open + 1",
    "state_follows_the_steps": ("UPDATE powertools.workflows SET cancel_requested_at = now()"),
    "pending_counts_open_parents": "UPDATE powertools.steps SET pending = 2 WHERE position = 2",
    "ready_step_is_released": "UPDATE powertools.steps SET pending = 0 WHERE position = 2",
    "released_after_its_parents": (
        "UPDATE powertools.steps SET state = 'available', pending = 0, job_id = 1 WHERE position = 2"
    ),
    "live_step_has_its_job": UNGUARDED.format("DELETE FROM oban_jobs WHERE state = 'available'"),
    "live_step_has_its_own_job": UNGUARDED.format("UPDATE oban_jobs SET meta = '{}' WHERE state = 'available'"),
    "live_step_has_a_live_job": UNGUARDED.format("UPDATE oban_jobs SET state = 'completed'"),
    "both_ends_know_an_edge": "UPDATE powertools.steps SET children = '{}' WHERE position = 1",
    "edges_lead_forward_inside": "UPDATE powertools.steps SET depth = 0",
    "events_are_numbered_without_gap": "DELETE FROM powertools.events WHERE number = 2",
    "last_event_tells_the_state": "UPDATE powertools.events SET change = 'cancelled' WHERE position = 0",
    "cancelled_for_a_reason": (
        "UPDATE powertools.steps SET state = 'cancelled', cause = 'cancelled_by_dependency', finished_at = now() "
        "WHERE position = 2"
    ),
    "failure_cascades": ("UPDATE powertools.steps SET state = 'discarded', finished_at = now() WHERE position = 1"),
    "suspended_job_is_held": UNGUARDED.format("UPDATE oban_jobs SET state = 'suspended' WHERE state = 'available'"),
}
"""Violated invariant -> how, on a chain of three whose first step has completed."""


@pytest.fixture
async def spoilt(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A session that may spoil the database, which nobody expects to be sound in the end."""
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute("SET TimeZone = 'UTC'; SET allow_system_table_mods = on")
        yield conn


async def look(dsn: str, *, deep: bool = False, names: Names = Names()) -> Report:
    async with await connect(dsn) as conn:
        return await examine(Session(conn, Queries(names)), deep=deep)


def found(report: Report) -> list[Finding]:
    assert report.broken == ()
    return [finding for finding in report.findings if finding.check not in HOUSE]


@pytest.mark.notified
@pytest.mark.parametrize("deep", [False, True], ids=["quick", "deep"])
async def test_a_database_with_workflows_of_every_kind_is_sound(each_hand: Hand, deep: bool) -> None:
    ended = await each_hand.insert(chain(3))
    await each_hand.run_all(ended, {"a": 1})
    failed = await each_hand.insert(chain(3))
    await each_hand.run(failed, {"s0": ValueError("no")})
    waiting = Workflow("waiting")
    waiting.await_signal("approval", signal="approved", correlation_key="7", deadline=timedelta(days=1))
    waiting.add_workflow("nested", chain(2), deps=["approval"])
    waiting.add_workflow("started", chain(2))
    await each_hand.insert(waiting)

    report = await look(each_hand.dsn, deep=deep)

    assert found(report) == []
    assert "invariants" in report.checks


LEADERS = """
INSERT INTO oban_producers (uuid, node, queue) VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'q');
INSERT INTO oban_producers (uuid, node, queue) VALUES ('00000000-0000-0000-0000-000000000002', 'b', 'q');
INSERT INTO oban_leaders (node, elected_at, expires_at) VALUES ('a', now(), now() + interval '3 s')
"""
DEAD_LEADER = b"""
INSERT INTO powertools.executors (
  executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
  died_at, died_seen_by
)
VALUES (
  'b', 'b', '00000000-0000-0000-0000-000000000002', 'q', now(), now(), now(), now(), '15 s', now(), 'a'
)
"""


@pytest.mark.parametrize("what", SET_UP)
async def test_a_wrong_set_up_is_found_with_what_to_do(what: str, dsn: str, spoilt: psycopg.AsyncConnection) -> None:
    spoil, check, subject, is_found = SET_UP[what]
    await spoilt.execute(spoil.encode())

    report = await look(dsn)

    matching = [f for f in report.findings if (f.check, f.subject, f.found) == (check, subject, is_found)]
    assert len(matching) == 1, report.findings
    assert matching[0].expected and matching[0].todo


@pytest.mark.parametrize("deep", [False, True], ids=["quick", "deep"])
@pytest.mark.parametrize("invariant", DATA)
async def test_corrupt_data_is_found(invariant: str, deep: bool, dsn: str, spoilt: psycopg.AsyncConnection) -> None:
    async with corrupt(dsn, spoilt, DATA[invariant]):
        report = await look(dsn, deep=deep)

    assert report.broken == ()
    violated = {(f.expected, f.subject.partition(",")[0]) for f in report.findings if f.check == "invariants"}
    assert (invariant, "workflow 1") in violated


async def test_a_second_job_of_a_step_is_found_by_a_deep_look(dsn: str, spoilt: psycopg.AsyncConnection) -> None:
    copy = "INSERT INTO oban_jobs (worker, meta) SELECT worker, meta FROM oban_jobs WHERE state = 'available'"
    async with corrupt(dsn, spoilt, copy):
        report = await look(dsn, deep=True)

    assert [f.expected for f in report.findings if f.check == "invariants"] == ["one_live_job_a_step"]


@pytest.mark.notified
async def test_a_deep_look_finds_what_a_quick_one_does_not_come_to(hand: Hand) -> None:
    hidden = await hand.insert(chain(1))
    await hand.run_all(hidden)
    await hand.workflows.insert_many([chain(1) for _ in range(500)])
    await hand.rows("UPDATE powertools.workflows SET total = 2 WHERE id = %s", hidden)

    quick, deep = await look(hand.dsn), await look(hand.dsn, deep=True)

    await hand.rows("UPDATE powertools.workflows SET total = 1 WHERE id = %s", hidden)
    assert found(quick) == []
    assert [f.expected for f in found(deep)] == ["counters_equal_rows"]


async def test_other_roles_that_may_connect_are_named(dsn: str, spoilt: psycopg.AsyncConnection) -> None:
    await spoilt.execute("CREATE ROLE powertools_test_stranger LOGIN")
    try:
        report = await look(dsn)
        await spoilt.execute(f"REVOKE CONNECT ON DATABASE {spoilt.info.dbname} FROM PUBLIC".encode())
        revoked = await look(dsn)
    finally:
        await spoilt.execute("DROP ROLE powertools_test_stranger")

    assert "role powertools_test_stranger" in {f.subject for f in report.findings if f.check == "roles"}
    assert [f for f in revoked.findings if f.check == "roles"] == []


async def test_a_transaction_that_stays_open_is_told_of_only_after_ten_minutes(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        await conn.execute("SELECT 1")
        report = await look(dsn)

    assert [f for f in report.findings if f.check == "transactions"] == []


async def test_a_check_that_cannot_be_made_is_broken_and_the_others_are_made(
    dsn: str, spoilt: psycopg.AsyncConnection
) -> None:
    await spoilt.execute("ALTER TABLE powertools.settle_faults RENAME COLUMN message TO text")
    await spoilt.execute("INSERT INTO oban_jobs (worker, priority) VALUES ('w', 10)")

    report = await look(dsn)

    assert "settle_faults" in {broken.check for broken in report.broken}
    assert "rejected_jobs" in {finding.check for finding in report.findings}
    assert not report.sound


async def test_it_looks_where_the_schemas_are(empty_dsn: str) -> None:
    names = Names(schema="ours", prefix="theirs")
    async with await connect(empty_dsn) as conn:
        await install(conn, names)
        await conn.execute(b"ALTER TABLE theirs.oban_jobs DISABLE TRIGGER ours_jobs_updated")

    report = await look(empty_dsn, names=names)

    assert [f.subject for f in found(report)] == ["trigger ours_jobs_updated on theirs.oban_jobs"]


async def test_it_leaves_nothing_behind(dsn: str, spoilt: psycopg.AsyncConnection) -> None:
    async with by_hand(dsn, turbo=True) as hand:
        await hand.insert(chain(2))
        async with await connect(dsn) as conn:
            await examine(Session(conn, Queries(Names())), deep=True)
            await examine(Session(conn, Queries(Names())))
            rows = await (await conn.execute(b"SELECT relname FROM pg_class WHERE relpersistence = 't'")).fetchall()
            limit = await (await conn.execute(b"SHOW statement_timeout")).fetchone()

    assert (rows, limit) == ([], ("1min",))


@pytest.mark.parametrize("dead", [False, True])
async def test_several_leaders_are_good_to_know_and_dead_ones_are_none(
    dsn: str, spoilt: psycopg.AsyncConnection, *, dead: bool
) -> None:
    await spoilt.execute(LEADERS.encode())
    if dead:
        await spoilt.execute(DEAD_LEADER)

    report = await look(dsn)

    told = "3 s long, with 2 nodes: each of them leads most of the time"
    assert [note.found for note in report.notes if note.check == "leader"] == ([] if dead else [told])
    assert [finding for finding in report.findings if finding.check == "leader"] == []


async def test_that_no_process_has_run_yet_is_good_to_know_where_nothing_waits_for_one(dsn: str) -> None:
    report = await look(dsn)

    told = "no process with Powertools has run here yet, and nothing waits for one"
    assert [note.found for note in report.notes if note.check == "sweep"] == [told]
    assert found(report) == []


async def test_every_known_defect_of_oban_is_a_note(dsn: str) -> None:
    report = await look(dsn)

    notes = {note.subject.partition(", ")[2]: note.expected for note in report.notes if note.check == "oban"}
    assert (notes["O1"], notes["O2"]) == ("not mended", "mended by turbo")
    assert {note.level for note in report.notes} == {Level.NOTE}


def test_what_is_expected_of_a_database_is_read_from_the_migrations() -> None:
    wanted = expected(Names())

    [body] = wanted.functions["check_edges_v1"]
    assert body.strip().startswith("DECLARE")
    assert len(wanted.functions["repair_row"]) > 1
    assert {"steps_pkey", "workflows_name"} <= wanted.indexes
    assert {"workflows", "placed_events"} <= wanted.relations


def test_the_query_of_every_check_is_there() -> None:
    queries = Queries(Names())

    named = {name.removeprefix("doctor_check_") for name in queries if name.startswith("doctor_check_")}
    assert named == {check.name for check in ROW_CHECKS}


@pytest.mark.notified
def test_the_command_ends_with_what_it_found(dsn: str) -> None:
    ended = powertools("doctor", "--json", dsn=dsn)

    checks = {finding["check"] for finding in ended.json["findings"]}
    assert (ended.code, checks <= HOUSE) == (6 if checks else 0, True)
    assert ended.json["sound"] == (checks == set())


def test_the_command_never_ends_well_when_a_check_is_broken(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        conn.execute("DROP TABLE powertools.settle_faults CASCADE")

    ended = powertools("doctor", dsn=dsn)

    assert ended.code == 2
    assert "could not be checked: settle_faults: " in ended.err
    assert re.search(r"error \[relations\] [^:]*table settle_faults.*: missing", ended.out)


def test_the_command_says_when_the_server_is_away() -> None:
    assert powertools("doctor", dsn="postgresql://localhost:1/nowhere").code == 7


@asynccontextmanager
async def corrupt(dsn: str, conn: psycopg.AsyncConnection, spoil: str) -> AsyncIterator[None]:
    """A chain of three, its first step completed, then spoilt; gone in the end."""
    async with by_hand(dsn, turbo=True) as hand:
        workflow_id = await hand.insert(chain(3))
        await hand.run(workflow_id, {"s0": 1})
        # What makes some of these rows impossible to write is taken away: the doctor comes when somebody did that.
        for name in ("workflow_counters", "workflow_ends_with_its_last_step"):
            await conn.execute(f"ALTER TABLE powertools.workflows DROP CONSTRAINT {name}".encode())
        await conn.execute(spoil.encode())
        yield
        await hand.leave_empty()


async def test_every_function_of_a_fresh_schema_is_known_by_its_text(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        cursor = await conn.execute(
            "SELECT p.proname, array_agg(p.prosrc) FROM pg_proc p "
            "WHERE p.pronamespace = 'powertools'::regnamespace AND p.prokind = 'f' GROUP BY p.proname"
        )
        there = {name: frozenset(texts) for name, texts in await cursor.fetchall()}

    assert expected(Names()).functions == there


async def test_a_program_gets_the_same_report_with_what_the_display_policy_hides(hand: Hand) -> None:
    async with hand.powertools.connect() as conn:
        found = await examine(Session(conn, Queries(Names())))

    report = await hand.powertools.examine()

    assert report.checks == found.checks
    assert {finding.check for finding in report.findings} == {finding.check for finding in found.findings}
    assert report.broken == ()


async def test_a_program_learns_which_schema_is_installed(hand: Hand) -> None:
    status = await hand.powertools.schema_status()

    assert (status.found, status.pending, status.oban_installed) == (status.expected, (), True)
