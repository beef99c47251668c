"""Whatever the doctor can say is said of something that was really spoilt; a finding that no test seeds fails here."""

import ast
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import psycopg
import pytest

from oban_powertools import Workflow
from oban_powertools.database.functions import body_of
from oban_powertools.upkeep.doctor.checks import ROW_CHECKS
from oban_powertools.upkeep.doctor.doctor import CHECKS
from tests.crash.server import Server
from tests.events import test_wires
from tests.support.by_hand import by_hand, chain, step
from tests.support.command import powertools
from tests.upkeep.test_doctor import DATA, SET_UP, look
from tests.upkeep.test_doctor_locks import LOCKS, SKEWED

pgbouncer, pooled_dsn = test_wires.pgbouncer, test_wires.pooled_dsn

ROOT = Path(__file__).parents[2] / "src" / "oban_powertools"

UNFIRED = """
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database());
END $$
"""

WORSE = {
    "a function got the owner's rights": (
        "ALTER FUNCTION powertools.outgrown_tables SECURITY DEFINER",
        "functions",
        "function outgrown_tables",
        "runs with the rights of its owner",
    ),
    "a constraint is not validated": (
        "UPDATE pg_constraint SET convalidated = false WHERE conname = 'step_pending'",
        "relations",
        "constraint step_pending of table steps",
        "not validated",
    ),
    "a workflow of another release": (
        """
        INSERT INTO powertools.workflows (name, total, open, root_id, semantics_version) VALUES ('w', 1, 1, 1, 7)
        """,
        "semantics",
        "workflow 1",
        "semantics version 7",
    ),
    "a retention whose process died": (
        "INSERT INTO powertools.prune_runs (reason, started_at) VALUES ('r', now() - interval '2 days')",
        "retention",
        "retention run 1",
        "under way since over a day",
    ),
    "a row that Oban rejects for all it can": (
        """
        INSERT INTO oban_jobs (worker, queue, args, meta) VALUES ('w', ' ', '[]', '7')
        """,
        "rejected_jobs",
        "job 1 in queue ' '",
        "a blank queue, args that are no object, meta that is no object",
    ),
    "a queue that is full and deserted": (
        """
        INSERT INTO oban_jobs (worker, queue, scheduled_at)
        SELECT 'w', 'mail', now() - interval '1 day' FROM generate_series(1, 1000)
        """,
        "queues",
        "queue mail",
        "1000 or more jobs available for over a minute, and no executor works on it",
    ),
    "outcomes that an executor cannot store": (
        """
        INSERT INTO powertools.executors (
          executor_id, node, producer, producer_scope, started_at, beat_at, loop_beat_at, beating_since, gone_after,
          aside, aside_since
        )
        SELECT 'e', 'n', 'p', 'q', n, n, n, n, '15 s', 2, n - interval '90 s' FROM clock_timestamp() AS n
        """,
        "outcomes_aside",
        "executor e",
        "holds 2 that could not be stored, the oldest for 90 s, as its last heartbeat reported",
    ),
    "an event without its place": (
        """
        INSERT INTO powertools.event_batches (inserted_at, events, workflow_ids, first_numbers, last_numbers)
        VALUES ('2026-01-02 03:04:05+00', 1, '{1}', '{1}', '{1}')
        """,
        "event_log",
        "the event log",
        "1 batch of events without a place, the oldest since 2026-01-02 03:04:05 UTC",
    ),
    "a database in another encoding": (
        "UPDATE pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = current_database()",
        "encoding",
        "the database",
        "encoded in LATIN1",
    ),
    "sessions in another encoding": (
        """
        DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET client_encoding = LATIN1', current_database()); END $$
        """,
        "encoding",
        "new sessions",
        "given client_encoding=latin1",
    ),
    "sessions in which no trigger fires": (
        UNFIRED,
        "replication_role",
        "new sessions",
        "given session_replication_role=replica",
    ),
    "the doctor's own session fires no trigger": (
        UNFIRED,
        "replication_role",
        "this session, and others like it",
        "given session_replication_role=replica",
    ),
    "sessions of a role in which no trigger fires": (
        """
        INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig)
        SELECT d.oid, 'pg_monitor'::regrole, '{session_replication_role=replica}'
        FROM pg_database d WHERE d.datname = current_database()
        """,
        "replication_role",
        "new sessions of role pg_monitor",
        "given session_replication_role=replica",
    ),
    "this machine's clock is behind": (
        SKEWED.format("5 min"),
        "session",
        "this machine's clock",
        "300 s off",
    ),
    "this machine's clock is ahead": (
        SKEWED.format("-5 min"),
        "session",
        "this machine's clock",
        "300 s off",
    ),
    "there is no schema of ours": (
        "DROP SCHEMA powertools CASCADE",
        "schema",
        "the schema",
        "version 0",
    ),
    "there is no schema of Oban's": (
        "DROP TABLE oban_jobs, oban_leaders, oban_producers CASCADE",
        "schema",
        "the schema",
        "no Oban tables in schema public",
    ),
    "the schema is of a state that nobody released": (
        "UPDATE powertools.migrations SET name = 'something_else' WHERE version = 20",
        "schema",
        "the schema",
        "migrations 20 something_else: a state that this release does not know",
    ),
}
"""As SET_UP of test_doctor: what is wrong -> how it was done, the check, the subject and what is found."""

WAITING = {
    "nothing_starts_while_stopping": (
        "UPDATE powertools.workflows SET state = 'cancel_requested', cancel_requested_at = now() WHERE name = 'waiting'"
    ),
    "nested_workflow_and_its_step_agree": "UPDATE powertools.steps SET child_id = 4711 WHERE state = 'executing'",
    "wait_and_its_step_agree": (
        "UPDATE powertools.waits SET state = 'cancelled', ended_at = now() WHERE state = 'waiting'"
    ),
    "consumed_wait_has_one_signal": "DELETE FROM powertools.signals WHERE status = 'consumed'",
    "on_finished_once_a_generation": (
        "INSERT INTO oban_jobs (worker, meta) SELECT worker, meta FROM oban_jobs WHERE meta ? 'outcome'"
    ),
    "finished_is_the_last_event": "DELETE FROM powertools.events WHERE change = 'finished'",
    "finished_once_a_generation": (
        "UPDATE powertools.events SET change = 'finished', position = NULL, generation = 1, failed_steps = '{}' "
        "WHERE workflow_id = 1 AND number = 1"
    ),
}
"""Violated invariant -> how, where an ended workflow, a wait, a consumed signal and a nested workflow are."""

SERVER = {
    "connections": {"the server's connections\n* of 9 are in use"},
    "notifications": {"the queue of NOTIFY\n* percent of it are used; the oldest transaction is that of session *"},
    "durability": {
        f"setting {name}\noff: what was committed can be lost in a crash"
        for name in ("fsync", "full_page_writes", "synchronous_commit")
    },
    "vacuum": {"setting autovacuum\noff", "setting track_counts\noff"},
    "transactions": {
        "session * (left open)\nin one transaction since *",
        "prepared transaction left-over\nprepared since *",
    },
}
"""Check -> what it says of a server that is set up badly, and in use; * stands for what varies."""

ELSEWHERE = {
    "leader": {"Oban's leader lease\n3 s long, with 2 nodes: each of them leads most of the time"},
    "sweep": {
        "the sweep\nno process with Powertools has run here yet, and nothing waits for one",
        "the sweep\nit last succeeded at *; the event loops of node-a are blocked",
    },
    "invariants": {"one_live_job_a_step"},
    "locks": {*LOCKS.values()},
    "roles": {"role powertools_test_stranger\nmay connect to this database"},
    "session": {"this connection\ngoes through a pooler"},
    "oban": {"oban 0.6.7\nnot the release this one is for"},
}
"""Check -> what tests of their own seed, here, in test_doctor and in test_answers_at_night."""


def seeded() -> dict[str, set[str]]:
    """Check -> every subject and finding (of invariants: which one) that some test seeds."""
    said: dict[str, set[str]] = {"invariants": {*DATA, *WAITING}}
    for _, check, subject, found in [*SET_UP.values(), *WORSE.values()]:
        said.setdefault(check, set()).add(f"{subject}\n{found}")
    for check, sentences in [*SERVER.items(), *ELSEWHERE.items()]:
        said.setdefault(check, set()).update(sentences)
    return said


def sayable() -> Iterator[tuple[str, str]]:
    """(check, a piece of a sentence with %s for what varies) of all that the doctor's code and queries can say."""
    queries = "".join(path.read_text() for path in sorted((ROOT / "database/sql/queries").glob("doctor*.sql")))
    for check in ROW_CHECKS:
        text = queries.partition(f"-- name: doctor_check_{check.name}\n")[2].partition("-- name: ")[0]
        lines = (line for line in text.splitlines() if not line.startswith("--") and not line.endswith(" AS todo"))
        code = "\n".join(lines)  # what to do is no finding: test_plain_answers
        for literal in re.findall(r"'((?:[^']|'')*)'", code):
            if " " in literal and not re.fullmatch(r"\d+ \w+|YYYY.*|client backend|[ \\a-z]{0,12}\\v", literal):
                yield check.name, literal.replace("''", "'").replace("%%s", "%s")
    modules = {
        "session": "session",
        "oban": "oban_defects",
        "functions relations triggers": "catalog",
        "schema": "doctor",
    }
    for checks, module in modules.items():
        for sentence in _sentences(ast.parse((ROOT / "upkeep" / "doctor" / f"{module}.py").read_text())):
            yield checks, sentence
    for invariant in re.findall(r"^  SELECT '(\w+)'", body_of("check_invariants_v1"), re.MULTILINE):
        yield "invariants", invariant


def _sentences(tree: ast.AST) -> Iterator[str]:
    """What is given as ``found``, by name or as the first argument of ``_schema_finding``."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        level = {ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == "level"}
        given = [keyword.value for keyword in call.keywords if keyword.arg == "found"]
        if isinstance(call.func, ast.Name) and call.func.id == "_schema_finding":
            given = call.args[:1]
        if level == {"Level.NOTE"} or (isinstance(call.func, ast.Name) and call.func.id == "Defect"):
            continue  # good to know, of every database
        for value in given:
            yield from _texts(value)


def _texts(value: ast.expr) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "%s" for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case _:
            pass


def test_whatever_the_doctor_can_say_is_seeded() -> None:
    said = seeded()
    unseeded: list[tuple[str, str]] = []
    pieces = [*sayable()]
    for checks, piece in pieces:
        pattern = re.escape(piece).replace("%s", ".*")
        if not any(re.search(pattern, text) for check in checks.split() for text in said.get(check, ())):
            unseeded.append((checks, piece))

    assert len(pieces) > 60
    assert unseeded == []


def test_every_check_is_seeded() -> None:
    assert {*CHECKS} == {*seeded()}


@pytest.fixture
async def worse(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute("SET TimeZone = 'UTC'; SET allow_system_table_mods = on")
        yield conn


def _clocks_apart(what: str) -> Any:
    """Its clock stands in the search path, where that of spoiled notifications does too."""
    return pytest.param(what, marks=pytest.mark.notified) if "clock is" in what else what


@pytest.mark.parametrize("what", [_clocks_apart(what) for what in WORSE])
async def test_it_is_found_with_what_to_do(what: str, dsn: str, worse: psycopg.AsyncConnection) -> None:
    spoil, check, subject, is_found = WORSE[what]
    await worse.execute(spoil.encode())

    report = await look(dsn)

    matching = [f for f in report.findings if (f.check, f.subject, f.found) == (check, subject, is_found)]
    assert len(matching) == 1, report.findings
    assert matching[0].expected and matching[0].todo


@pytest.mark.parametrize(
    ("invariant", "deep"),
    # no index leads to the callbacks of a workflow: only a deep look reads all jobs
    [(i, deep) for i in WAITING for deep in (False, True) if deep or i != "on_finished_once_a_generation"],
)
async def test_corrupt_waits_and_nested_workflows_are_found(invariant: str, deep: bool, dsn: str) -> None:
    async with waiting(dsn) as conn:
        await conn.execute(WAITING[invariant].encode())
        report = await look(dsn, deep=deep)

    assert report.broken == ()
    assert invariant in {finding.expected for finding in report.findings if finding.check == "invariants"}


async def test_a_pooler_in_between_is_told_of(pooled_dsn: str) -> None:
    report = await look(pooled_dsn)

    [finding] = [f for f in report.findings if f.check == "session"]
    assert f"{finding.subject}\n{finding.found}" in ELSEWHERE["session"]


async def test_a_server_that_is_set_up_badly_and_in_use_is_told_of(server_directory: Path) -> None:
    async with bad_server(server_directory) as dsn:
        report = await look(dsn)

    for check, patterns in SERVER.items():
        found = {f"{f.subject}\n{f.found}" for f in report.findings if f.check == check}
        assert len(found) >= len(patterns), (check, found)
        for pattern in patterns:
            assert any(fnmatchcase(text, pattern) for text in found), (pattern, found)


def test_another_release_of_oban_is_told_of(dsn: str, tmp_path: Path) -> None:
    other = tmp_path / "oban-0.6.7.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: oban\nVersion: 0.6.7\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    ended = powertools("doctor", "--json", dsn=dsn, PYTHONPATH=path)

    found = {f"{f['subject']}\n{f['found']}" for f in json.loads(ended.out)["findings"] if f["check"] == "oban"}
    assert (ended.code, found) == (6, ELSEWHERE["oban"])


@asynccontextmanager
async def waiting(dsn: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """An ended workflow with its callback, and one that waits, has waited, and runs another; gone in the end."""
    workflow = Workflow("waiting")
    workflow.await_signal("approval", signal="approved", correlation_key="7", deadline=timedelta(days=1))
    workflow.await_signal("payment", signal="paid", correlation_key="7", deadline=timedelta(days=1))
    workflow.add_workflow("nested", chain(2))
    async with by_hand(dsn, turbo=True) as hand:
        ended = await hand.insert(chain(2, on_finished=step()))
        await hand.run_all(ended)
        await hand.insert(workflow)
        await hand.workflows.signal("paid", "7")
        yield hand.conn
        await hand.leave_empty()


@asynccontextmanager
async def bad_server(directory: Path) -> AsyncIterator[str]:
    """A server with few connections, most of them taken, with nothing durable and nothing cleaned up."""
    settings = {
        "max_connections": "12",
        "superuser_reserved_connections": "3",
        "max_prepared_transactions": "2",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "autovacuum": "off",
        "track_counts": "off",
        "max_notify_queue_pages": "64",
    }
    async with Server.running(directory) as server, AsyncExitStack() as sessions:
        async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as conn:
            for name, value in settings.items():
                await conn.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        await server.stop("fast")
        await server.start()
        left_open, *_ = [
            await sessions.enter_async_context(await psycopg.AsyncConnection.connect(server.dsn, application_name=name))
            for name in ("left open", *["idle"] * 6)
        ]
        await left_open.execute("LISTEN nobody")
        await left_open.commit()
        await left_open.execute("SELECT 1")
        async with await psycopg.AsyncConnection.connect(server.dsn, autocommit=True) as conn:
            await conn.execute("SELECT pg_notify('nobody', n || repeat('x', 7000)) FROM generate_series(1, 20) AS n")
            await conn.execute("BEGIN")
            await conn.execute("CREATE TABLE half ()")
            await conn.execute("PREPARE TRANSACTION 'left-over'")
            # a clock that is far ahead makes old what was begun now
            await conn.execute(SKEWED.format("11 min").encode())
        yield server.dsn
