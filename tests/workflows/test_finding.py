"""Workflows are found by what they are, by their steps, and by the operator's word, newest first and in pages."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from oban_powertools import Calls, OperatorStatus, Workflow, open_calls
from oban_powertools.errors import InvalidArgumentError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, Scripted, step

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
BILL = "tests.workflows.test_finding.Bill"
GENERATE = Path(__file__).parents[2] / "bench/finding.sql"
READ = "SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables"
MOST_READ = 12_000
"""Rows of tables, of 120,000 that there are."""


class Bill(Scripted):
    """Another worker."""


async def insert(hand: Hand, name: str = "sync", **options: Any) -> WorkflowId:
    workflow = Workflow(name, **options)
    workflow.add("fetch", step(max_attempts=2))
    workflow.add("notify", step(queue="mail"), deps=["fetch"])
    return await hand.insert(workflow)


async def found(hand: Hand, **filters: Any) -> list[WorkflowId]:
    return [workflow.id for workflow in await hand.workflows.list(**filters)]


@pytest.mark.parametrize(
    "filters",
    [
        {"name": "bill"},
        {"tag": "vip"},
        {"idempotency_key": "invoice-7"},
        {"label": "Customer sync"},
        {"context": {"account_id": 42}},
        {"context": {"address": {"city": "Graz"}}},
        {"name": "bill", "tag": "vip", "context": {"account_id": 42}, "worker": BILL, "step": "bill"},
        {"worker": BILL},
        {"step": "bill"},
        {"error": "no account 42"},
        {"error": "ValueError"},
        {"error": "valueerr acc"},
        {"state": "failed"},
        {"status": "Finished"},
        {"finished_from": NOW - HOUR, "finished_to": NOW + HOUR},
        {"inserted_from": NOW - HOUR, "error": "account"},
        {"inserted_to": NOW + HOUR, "state": "failed"},
    ],
)
async def test_a_workflow_is_found_by_what_it_is(hand: Hand, filters: dict[str, Any]) -> None:
    await insert(hand, context={"account_id": 41, "label": "Others"}, tags=["new"], idempotency_key="invoice-6")
    context = {"account_id": 42, "label": "Customer sync", "address": {"city": "Graz", "zip": "8010"}}
    workflow = Workflow("bill", context=context, tags=["vip"], idempotency_key="invoice-7")
    job = step()
    job.worker = BILL
    workflow.add("bill", job)
    bill = await hand.insert(workflow)
    await hand.run(bill, {"bill": ValueError("no account 42")})
    await insert(hand)

    assert await found(hand, **filters) == [bill]


async def test_a_step_that_is_to_be_tried_again_is_found_by_its_error(hand: Hand) -> None:
    await insert(hand)
    retrying = await insert(hand)
    await hand.run(retrying, {"fetch": ConnectionError("no route to billing")})

    assert await found(hand, error="route billing") == [retrying]


@pytest.mark.parametrize("filters", [{}, {"name": "sync"}, {"worker": "tests.support.by_hand.Scripted"}, {"tag": "t"}])
async def test_pages_follow_one_another_without_gap_or_repetition(hand: Hand, filters: dict[str, Any]) -> None:
    ids = [await insert(hand, tags=["t"]) for _ in range(7)]

    first = await found(hand, limit=3, **filters)
    second = await found(hand, limit=3, before=first[-1], **filters)
    third = await found(hand, limit=3, before=second[-1], **filters)

    assert [*first, *second, *third] == ids[::-1]


@pytest.mark.parametrize(
    ("filters", "old"), [({"inserted_to": NOW - HOUR}, True), ({"inserted_from": NOW - HOUR}, False)]
)
async def test_a_time_range_leaves_out_what_is_beyond_it(hand: Hand, filters: dict[str, Any], old: bool) -> None:
    ids = {True: await insert(hand), False: await insert(hand)}
    await hand.rows(
        "UPDATE powertools.workflows SET inserted_at = inserted_at - interval '1 d' WHERE id = %s", ids[True]
    )

    assert await found(hand, **filters) == [ids[old]]


async def test_a_word_finds_those_whose_record_says_it(hand: Hand) -> None:
    for queue in ("default", "mail"):
        await hand.rows(
            "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at)"
            " VALUES (gen_random_uuid(), 'node', %s, jsonb_build_object('local_limit', 9, 'paused', %s::bool),"
            " timezone('UTC', now()))",
            queue,
            queue == "mail",
        )
    for outcome in (None, ConnectionError("no"), None):
        await hand.run(await insert(hand), {"fetch": outcome})
    waiting, outer = Workflow("wait"), Workflow("outer")
    waiting.await_signal("approve", signal="approved", correlation_key="1")
    outer.add_workflow("inner", waiting)
    await hand.insert(outer)
    await hand.run_all(await insert(hand))
    suspended = await insert(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'suspended' WHERE id = %s", (await hand.job(suspended, "fetch")).id)
    await insert(hand)
    records = await hand.workflows.list()

    by_word = {word: await found(hand, status=word) for word in OperatorStatus}

    assert by_word == {word: [record.id for record in records if record.status == word] for word in OperatorStatus}
    assert {word for word, ids in by_word.items() if ids} >= {*OperatorStatus} - {OperatorStatus.RUNNING}
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE state = 'suspended'")


LOCKS = {
    "the workflow": "SELECT FROM powertools.workflows WHERE id = %s FOR UPDATE",
    "its job": "SELECT FROM oban_jobs WHERE id IN (SELECT job_id FROM powertools.steps WHERE workflow_id = %s)"
    " FOR UPDATE",
}


@pytest.mark.parametrize("what", LOCKS)
async def test_a_workflow_that_only_a_lock_blocks_is_found_as_blocked(hand: Hand, what: str) -> None:
    await hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, meta, updated_at) VALUES (gen_random_uuid(), 'node', 'default',"
        """ '{"local_limit": 9, "paused": false}', timezone('UTC', now()))"""
    )
    await insert(hand)
    locked = await insert(hand)
    before = await found(hand, status="Blocked")
    async with await AsyncConnection.connect(hand.dsn) as other:
        await other.execute(LOCKS[what].encode(), (locked,))
        meanwhile = await found(hand, status="Blocked")
        [record] = await hand.workflows.list(status="Blocked")

    assert (before, meanwhile) == ([], [locked])
    assert (record.status, record.blocker) == (OperatorStatus.BLOCKED, "locked")


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "Stuck"},
        {"state": "stuck"},
        {"context": {}},
        {"inserted_from": datetime(2026, 1, 1)},  # noqa: DTZ001 - that is refused
        {"error": ""},
        {"limit": 0},
    ],
)
async def test_what_cannot_be_searched_for_is_refused(hand: Hand, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        await hand.workflows.list(**filters)


SEARCHES: dict[str, dict[str, Any]] = {
    "newest": {},
    "failed": {"state": "failed"},
    "needs review": {"status": "Needs Review"},
    "waiting": {"status": "Waiting"},
    "tag": {"tag": "vip"},
    "key": {"idempotency_key": "key-7"},
    "context": {"context": {"account_id": 77}},
    "nobody's context": {"context": {"account_id": -1}},
    "worker": {"worker": "app.Rare"},
    "step": {"step": "rare"},
    "error": {"error": "no account 51"},
    "inserted": {"inserted_to": NOW - timedelta(days=15)},
    "finished": {"state": "failed", "finished_from": NOW - timedelta(days=15), "finished_to": NOW - timedelta(days=14)},
}


BOUNDED = {"jobs of no worker": 20_100}
"""Rows that a search may read which looks at the newest 10,000 and then counts them, of 40,000 jobs."""

LISTS: dict[str, Callable[[Calls], Awaitable[Any]]] = {
    "jobs": lambda calls: calls.jobs.list(),
    "jobs of a state": lambda calls: calls.jobs.list(state="executing"),
    "jobs of a queue": lambda calls: calls.jobs.list(queue="deserted"),
    "jobs by error": lambda calls: calls.jobs.list(state="retryable", error="billing"),
    "jobs of no worker": lambda calls: calls.jobs.list(worker="app.None"),
    "jobs of each state": lambda calls: calls.jobs.count(),
    "signals": lambda calls: calls.workflows.list_signals(),
    "signals of a name": lambda calls: calls.workflows.list_signals(signal="paid7", correlation_key="47"),
    "waits": lambda calls: calls.workflows.list_waits(),
    "waits of a workflow": lambda calls: calls.workflows.list_waits(workflow_id=WorkflowId(500)),
    "history": lambda calls: calls.workflows.history(WorkflowId(1001)),
    "steps": lambda calls: calls.workflows.list_steps(WorkflowId(500)),
    "outline": lambda calls: calls.workflows.outline(WorkflowId(500)),
    "spells": lambda calls: calls.workflows.spells(WorkflowId(1001)),
    "queues": lambda calls: calls.queues.list(),
    "incidents": lambda calls: calls.lifeline.list_incidents(),
    "audit": lambda calls: calls.audit.list(actor="ada7"),
    "commands": lambda calls: calls.workflows.commands(WorkflowId(500)),
}


@pytest.mark.timeout(180)
async def test_no_search_reads_the_whole_table(hand: Hand) -> None:
    """With 40,000 workflows here; bench.finding has 1,000,000."""
    for statement in GENERATE.read_text().replace("%(n)s", "40000").split(";\n"):
        await hand.conn.execute(statement.encode())
    await hand.conn.execute("VACUUM ANALYZE")

    searches = {name: _searching(filters) for name, filters in SEARCHES.items()} | LISTS
    reads = {name: await rows_read(hand, search) for name, search in searches.items()}
    await hand.leave_empty()

    assert {name: rows for name, rows in reads.items() if rows > BOUNDED.get(name, MOST_READ)} == {}


def _searching(filters: dict[str, Any]) -> Callable[[Calls], Awaitable[Any]]:
    return lambda calls: calls.workflows.list(**filters)


async def rows_read(hand: Hand, search: Callable[[Calls], Awaitable[Any]]) -> int:
    """How many rows of tables a search reads."""
    async with open_calls(hand.conn) as calls, hand.conn.transaction():
        before = await hand.one(READ)
        await search(calls)
        return await hand.one(READ) - before


@pytest.mark.parametrize(
    ("nested", "names"), [(None, ["inner", "outer", "sync"]), (False, ["outer", "sync"]), (True, ["inner"])]
)
async def test_workflows_that_run_in_others_are_told_apart(hand: Hand, nested: bool | None, names: list[str]) -> None:
    await insert(hand)
    outer, inner = Workflow("outer"), Workflow("inner")
    inner.add("work", step())
    outer.add_workflow("child", inner)
    await hand.insert(outer)

    assert sorted(workflow.name for workflow in await hand.workflows.list(nested=nested)) == names
    assert sorted(workflow.name for workflow in await hand.workflows.list(nested=nested, state="running")) == names
