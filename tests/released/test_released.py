"""A schema of an earlier state with workflows under way is upgraded and run to its end, by new workers and by old ones.

``615a837`` is the state before functions had one current text, ``5aa1e6a`` a later one that knows which schemas it
works on; ``make_dump`` says how they came to be.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest
from oban import Job
from psycopg import AsyncConnection

from oban_powertools import Actor, AllowAll, Powertools, Workflow, WorkflowId, open_calls, schema
from oban_powertools.database import connect
from tests.database.test_queries import prepare
from tests.released.work import MENDED
from tests.support.catalog import catalog

HERE = Path(__file__).parent
ANA = Actor(id="ana")
PATIENCE = timedelta(seconds=60)


@pytest.fixture(params=["615a837", "5aa1e6a"])
def old(request: pytest.FixtureRequest) -> Path:
    """The directory of an earlier state: its dump and its sources."""
    return HERE / request.param


@pytest.fixture(params=["empty_dsn", "pg15_dsn"])
async def old_dsn(old: Path, request: pytest.FixtureRequest) -> str:
    """A database as the earlier state left it, on each server."""
    dsn: str = request.getfixturevalue(request.param)
    async with await connect(dsn) as conn:
        await conn.execute((old / "database.dump").read_text().encode())
    return dsn


@asynccontextmanager
async def old_node(old: Path, dsn: str) -> AsyncIterator[None]:
    """A process of the earlier state, at work."""
    sources = str(old / "oban_powertools.zip")
    path = os.pathsep.join((sources, str(Path(__file__).parents[2])))
    node = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.released.node",
        dsn,
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert node.stdin is not None
    assert node.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            assert (await node.stdout.readline()).decode().startswith(sources)
        yield
    finally:
        node.stdin.close()
        await asyncio.wait_for(node.wait(), 30)


async def go_on(powertools: Powertools, conn: AsyncConnection[Any]) -> dict[str, WorkflowId]:
    """Bring what the others wait for; the ids of the workflows, by their names."""
    rows = await (await conn.execute("SELECT name, id FROM powertools.workflows WHERE parent_id IS NULL")).fetchall()
    ids = dict(rows)
    await powertools.workflows.signal("go", "k", {"told": "go"})
    await powertools.workflows.release(ids["held"], "c", actor=ANA, reason="the audit is done")
    await powertools.workflows.request_cancel(ids["delayed"], actor=ANA, reason="nobody waits a year")
    return ids


async def results(powertools: Powertools, ids: dict[str, WorkflowId]) -> dict[str, tuple[str, Any]]:
    """Name of a workflow -> its state in the end, and the result of its last step."""
    ended = {name: await powertools.workflows.wait(workflow_id, timeout=PATIENCE) for name, workflow_id in ids.items()}
    return {name: (end.state, (await powertools.workflows.results(ids[name])).get("c")) for name, end in ended.items()}


FREE_NUMBERS = ["found_signals", "workers"]
"""Migrations with numbers that were free, so that the workers of both states go on; outside a transaction, so last."""

UPGRADES = {
    "615a837": [
        "bulk_incidents",
        "agents",
        "endpoints_seen",
        "before_release",
        "settings",
        "classes_and_callbacks",
        "compatible",
        *FREE_NUMBERS,
        "finding",
    ],
    "5aa1e6a": ["bulk_incidents", "agents", "endpoints_seen", *FREE_NUMBERS],
}
"""The migrations that each was without."""

REFUSED = {"615a837": {"record_command", "record_recovery"}, "5aa1e6a": set[str]()}
"""What an operator's act would write to ledgers that are no more, so it is refused."""

IN_THE_END = {
    "finished": ("completed", [1, 2, 3]),
    "chain": ("completed", [1, 2, 3]),
    "waiting": ("completed", {"told": "go"}),
    "early": ("completed", {"told": "early"}),
    "held": ("completed", [1, 2, 3]),
    "failed": ("failed", None),
    "nested": ("completed", {"x": 7, "y": 7}),
    "mapped": ("completed", [2, 4, 6]),
    "delayed": ("cancelled", None),
}


# The schema


async def test_an_earlier_schema_is_upgraded_to_a_fresh_one(old: Path, old_dsn: str) -> None:
    async with await connect(old_dsn) as conn:
        await conn.execute("ALTER SCHEMA powertools RENAME TO earlier")
        await conn.execute("ALTER SCHEMA public RENAME TO jobs_earlier")
        await conn.execute("CREATE SCHEMA public")
        await schema.install(conn)
        fresh = await catalog(conn)
        await conn.execute("DROP SCHEMA powertools, public CASCADE")
        await conn.execute("ALTER SCHEMA earlier RENAME TO powertools")
        await conn.execute("ALTER SCHEMA jobs_earlier RENAME TO public")

        applied = await schema.upgrade(conn)

        assert applied == UPGRADES[old.name]
        assert await catalog(conn) == fresh


async def test_every_query_of_an_earlier_worker_can_be_prepared_on_the_schema_of_this_one(old: Path, dsn: str) -> None:
    faults: dict[str, str] = {}
    blocks: dict[str, str] = {}
    with ZipFile(old / "oban_powertools.zip") as sources:
        for file in sources.namelist():
            if "/sql/queries/" in file:
                for block in sources.read(file).decode().split("-- name: ")[1:]:
                    name, _, blocks[name.strip()] = block.partition("\n")

    async with await connect(dsn) as conn:
        for name, text in blocks.items():
            try:
                await prepare(conn, name, text)
            except psycopg.Error as error:
                faults[name] = str(error)

    assert {*faults} == REFUSED[old.name]
    assert len(blocks) > 100


# Its audit

SAID = """
INSERT INTO powertools.audit (actor_id, actor_type, action, target_type, target_id, reason, outcome, surface)
VALUES ('ana', 'user', 'step_release', 'step', '5/c', 'not sealed yet', 'executed', 'api')
"""
UNGUARDED = "ALTER TABLE powertools.{0} DISABLE TRIGGER USER; {1}; ALTER TABLE powertools.{0} ENABLE TRIGGER USER"


async def tampered(conn: AsyncConnection[Any], statement: str) -> list[tuple[str, int | None]]:
    """What is found after an upgrade, when the owner has changed the audit behind the triggers' back."""
    await conn.execute(UNGUARDED.format("audit", statement).encode())
    await conn.execute("ALTER TABLE powertools.audit ENABLE ALWAYS TRIGGER audit_guard")
    await conn.execute("ALTER TABLE powertools.audit ENABLE ALWAYS TRIGGER audit_guard_all")
    async with open_calls(conn, authorize=AllowAll()) as calls:
        return [(found.kind.value, found.audit_id) for found in (await calls.audit.verify()).findings]


async def test_the_records_of_an_earlier_state_hold_after_an_upgrade_sealed_or_not(old_dsn: str) -> None:
    async with await connect(old_dsn) as conn:
        await conn.execute(SAID)
        await schema.upgrade(conn)
        async with open_calls(conn, authorize=AllowAll()) as calls:
            await calls.workflows.release(WorkflowId(5), "c", actor=ANA, reason="the audit is done")
            found = await calls.audit.verify()

    assert (found.findings, found.rows, found.seals, found.unsealed) == ((), 3, 1, 2)


@pytest.mark.parametrize("column", ["workflow_id = 6", "step = 'b'", "reason = 'another'", "actor_id = 'eve'"])
async def test_a_record_of_an_earlier_state_that_was_changed_is_found(old_dsn: str, column: str) -> None:
    async with await connect(old_dsn) as conn:
        await schema.upgrade(conn)

        found = await tampered(conn, f"UPDATE powertools.audit SET {column} WHERE id = 1")

    assert found == [("changed", 1)]


async def test_a_later_record_is_not_taken_for_one_of_an_earlier_state(old_dsn: str) -> None:
    async with await connect(old_dsn) as conn:
        await schema.upgrade(conn)
        async with open_calls(conn, authorize=AllowAll()) as calls:
            await calls.workflows.release(WorkflowId(5), "c", actor=ANA, reason="the audit is done")

        found = await tampered(conn, "UPDATE powertools.audit SET workflow_id = NULL, step = NULL WHERE id > 1")

    assert found == [("changed", 2)]


# Its workflows


async def test_workflows_under_way_are_run_to_their_end(old_dsn: str) -> None:
    async with await connect(old_dsn) as conn:
        await schema.upgrade(conn)
        async with Powertools.open(
            old_dsn, queues={"default": 5, "later": 5}, authorize=AllowAll(), leadership=False
        ) as powertools:
            ids = await go_on(powertools, conn)
            assert await results(powertools, ids) == IN_THE_END
            MENDED.add("mail")
            await powertools.workflows.recover(ids["failed"], actor=ANA, reason="the mail server is back")
            assert (await results(powertools, {"failed": ids["failed"]}))["failed"] == ("completed", "mended")

        assert await schema.check_invariants(conn) == []
        assert await (await conn.execute("SELECT * FROM powertools.settle_faults")).fetchall() == []


# A rolling deploy


async def test_workers_of_the_earlier_state_go_on_while_the_schema_is_upgraded_under_them(
    old: Path, old_dsn: str
) -> None:
    async with await connect(old_dsn) as conn, old_node(old, old_dsn):
        await schema.upgrade(conn)
        async with Powertools.open(old_dsn, authorize=AllowAll(), leadership=False) as powertools:
            assert await results(powertools, await go_on(powertools, conn)) == IN_THE_END

        assert await schema.check_invariants(conn) == []
        assert await (await conn.execute("SELECT * FROM powertools.settle_faults")).fetchall() == []


async def test_a_worker_of_the_earlier_state_that_starts_anew_is_not_stranded(old: Path, dsn: str) -> None:
    workflow = Workflow("new")
    workflow.add("b", echo(workflow.add("a", echo(1)).result))

    async with Powertools.open(dsn, leadership=False) as powertools:
        handle = await powertools.workflows.insert(workflow)
        async with old_node(old, dsn):
            ended = await handle.wait(PATIENCE)

        assert (ended.state, await powertools.workflows.results(handle.id)) == ("completed", {"a": 1, "b": 1})


async def test_workers_of_both_states_share_a_workflow(old: Path, dsn: str) -> None:
    workflows = [Workflow(f"shared {number}") for number in range(10)]
    for workflow in workflows:
        workflow.add("c", echo(workflow.add("b", echo(workflow.add("a", echo(1)).result, "later")).result))

    async with (
        old_node(old, dsn),
        await connect(dsn) as conn,
        Powertools.open(dsn, queues={"default": 2}, leadership=False) as powertools,
    ):
        handles = await powertools.workflows.insert_many(workflows)
        ended = [(await handle.wait(PATIENCE)).state for handle in handles]

        assert ended == ["completed"] * 10
        assert await schema.check_invariants(conn) == []


def echo(value: Any, queue: str = "default") -> Job:
    """A job that returns a value."""
    return Job("tests.released.work.Echo", args={"x": value}, queue=queue)
