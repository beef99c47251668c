"""Tables that are published, and copied to a subscriber, work on both sides."""

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from oban_powertools import Cursor, Powertools, Workflow, WorkflowId
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session, connect
from oban_powertools.embedded import _find_programs, start_embedded
from oban_powertools.operators.audit import seal
from oban_powertools.operators.audit.verifying import verify
from oban_powertools.schema import check_invariants, install
from tests.support.by_hand import Hand, everybody_may, step
from tests.support.ledger import eventually

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "replicate-and-restore.md"


async def test_every_table_has_a_replica_identity(hand: Hand) -> None:
    without = await hand.rows(
        "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'p') "
        "AND (c.relnamespace = 'powertools'::regnamespace OR c.relname LIKE 'oban\\_%%') AND NOT EXISTS ("
        "  SELECT FROM pg_index i WHERE i.indrelid = c.oid "
        "  AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END"
        ") AND c.relreplident <> 'f'"
    )

    assert without == []


async def test_a_publication_of_all_tables_stops_nothing(dsn: str) -> None:
    async with Powertools.open(dsn, queues={"default": 2}, authorize=everybody_may) as powertools:
        async with powertools.connect() as conn:
            await conn.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        workflow = Workflow("published")
        workflow.add("a", step(), delay=timedelta(hours=1))
        handle = await powertools.workflows.insert(workflow)
        await powertools.workflows.request_cancel(handle.id, actor="ada", reason="because of a test")
        await handle.wait(timeout=timedelta(seconds=20))

        events = await powertools.events.read(since=Cursor(0), workflow_id=handle.id)

    assert events[-1].to_dict()["type"].endswith("workflow_finished")


@pytest.fixture
def publisher(server_directory: Path) -> Iterator[str]:
    """An empty database of a server that can publish, beside which there is one named ``copy``."""
    server = start_embedded(server_directory)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute("ALTER SYSTEM SET wal_level = logical")
        conn.execute("CREATE DATABASE copy")
        conn.execute("CREATE DATABASE app")
    server.stop()
    server = start_embedded(server_directory)
    yield urlsplit(server.dsn)._replace(path="/app").geturl()
    server.stop()


async def test_a_subscriber_gets_the_audit_and_finds_it_sound(publisher: str) -> None:
    copy = urlsplit(publisher)._replace(path="/copy").geturl()
    queries = Queries(Names())
    async with await connect(publisher) as conn:
        await install(conn)
        async with Powertools.open(publisher, authorize=everybody_may) as powertools:
            await _cancel_one(powertools)
        await seal(Session(conn, queries))
        _copy_schema(publisher, copy)
        await conn.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        await conn.execute("SELECT pg_create_logical_replication_slot('copy', 'pgoutput')")
        async with await connect(copy) as subscriber, _subscribed(subscriber, conn.info):
            await eventually(lambda: _is_copied(subscriber))
            async with Powertools.open(publisher, authorize=everybody_may) as powertools:
                await _cancel_one(powertools)
            await seal(Session(conn, queries))
            there = await verify(Session(conn, queries))
            await eventually(lambda: _has_head(subscriber, queries, there.head))
            here = await verify(Session(subscriber, queries), there.head)

    assert (here.findings, here.rows, here.seals) == ((), there.rows, there.seals)
    assert there.rows == 2


async def test_a_subscriber_takes_over_when_it_has_the_sequences(publisher: str) -> None:
    copy = urlsplit(publisher)._replace(path="/copy").geturl()
    async with await connect(publisher) as conn:
        await install(conn)
        async with Powertools.open(publisher, authorize=everybody_may) as powertools:
            await _cancel_one(powertools)
        await conn.execute("DELETE FROM oban_jobs")
        _copy_schema(publisher, copy)
        await conn.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        await conn.execute("SELECT pg_create_logical_replication_slot('copy', 'pgoutput')")
        async with await connect(copy) as subscriber:
            async with _subscribed(subscriber, conn.info):
                await eventually(lambda: _is_copied(subscriber))
            await _bring_sequences(conn, subscriber)
        last = await (await conn.execute("SELECT last_value FROM oban_jobs_id_seq")).fetchone()

    async with Powertools.open(copy, authorize=everybody_may) as powertools:
        workflow = await _cancel_one(powertools)
        records = await powertools.audit.list()
        steps = await powertools.workflows.steps(workflow)

    assert [record.outcome for record in records] == ["executed", "executed"]
    assert last is not None and steps[0].job_id == last[0] + 1


async def test_a_restored_dump_is_sound(dsn: str, empty_dsn: str, tmp_path: Path) -> None:
    queries = Queries(Names())
    async with Powertools.open(dsn, authorize=everybody_may) as powertools:
        await _cancel_one(powertools)
    async with await connect(dsn) as conn:
        if conn.info.server_version < 170_000:
            pytest.skip("pg_restore 18 sets transaction_timeout, which servers before 17 do not know")
        await seal(Session(conn, queries))
    _restore(dsn, empty_dsn, tmp_path / "dump")

    async with await connect(empty_dsn) as restored:
        found = await verify(Session(restored, queries))
        invariants = await check_invariants(restored)

    assert (found.findings, found.rows, invariants) == ((), 1, [])


@asynccontextmanager
async def _subscribed(conn: psycopg.AsyncConnection, source: psycopg.ConnectionInfo) -> AsyncIterator[None]:
    publisher = f"host={source.host} port={source.port} user=postgres dbname={source.dbname}"
    options = "PUBLICATION everything WITH (create_slot = false)"
    await conn.execute(f"CREATE SUBSCRIPTION copy CONNECTION '{publisher}' {options}".encode())
    try:
        yield
    finally:
        await conn.execute("ALTER SUBSCRIPTION copy DISABLE")
        await conn.execute("ALTER SUBSCRIPTION copy SET (slot_name = NONE)")
        await conn.execute("DROP SUBSCRIPTION copy")


async def _cancel_one(powertools: Powertools) -> WorkflowId:
    workflow = Workflow("cancelled")
    workflow.add("a", step())
    handle = await powertools.workflows.insert(workflow)
    await powertools.workflows.request_cancel(handle.id, actor="ada", reason="because of a test")
    return handle.id


async def _bring_sequences(source: psycopg.AsyncConnection, target: psycopg.AsyncConnection) -> None:
    """As the page says."""
    query = re.search(r'psql -At "\$OLD" -c "(.*?)" \|', PAGE.read_text(), re.DOTALL)
    assert query is not None
    for (statement,) in await (await source.execute(query[1].encode())).fetchall():
        await target.execute(statement)


def _copy_schema(source: str, target: str) -> None:
    programs = _find_programs()
    dump = subprocess.run([programs / "pg_dump", "--schema-only", source], check=True, capture_output=True)
    subprocess.run(
        [programs / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", target],
        check=True,
        capture_output=True,
        input=dump.stdout,
    )


def _restore(source: str, target: str, dump: Path) -> None:
    programs = _find_programs()
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", source], check=True)
    subprocess.run([programs / "pg_restore", "--exit-on-error", f"--dbname={target}", dump], check=True)


async def _is_copied(conn: psycopg.AsyncConnection) -> bool:
    found = await conn.execute("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
    row = await found.fetchone()
    assert row is not None
    return row[0] is True


async def _has_head(conn: psycopg.AsyncConnection, queries: Queries, head: str) -> bool:
    return (await verify(Session(conn, queries))).head == head
