"""The engine plans once a session: what it planned while tables were nearly empty stays right when they have grown."""

from typing import Any

import pytest
from psycopg import AsyncConnection

from oban_powertools import Settings, Workflow
from oban_powertools.database import Session
from oban_powertools.explain.explain import explain_step, explain_workflow
from oban_powertools.runtime.sweep import Swept, sweep_once
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step
from tests.support.counted import count_now

OUTGROWN = "SELECT ARRAY(SELECT powertools.outgrown_tables()::text)"
READ = "SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_xact_user_tables"


def fan(width: int) -> Workflow:
    workflow = Workflow("fan")
    workflow.add("first", step())
    workflow.add_many({f"middle{n}": step() for n in range(width)}, deps="first")
    workflow.add("last", step(), deps=[f"middle{n}" for n in range(width)])
    return workflow


async def finish(hand: Hand, workflow_id: WorkflowId, *names: str, failing: bool = False) -> int:
    """End these steps in one bulk ack of this session; how many rows the engine read for it."""
    jobs = await hand.start(*[(await hand.job(workflow_id, name)).id for name in names])
    jobs.sort(key=lambda job: job.id or 0)
    count = len(jobs)
    args: dict[str, Any] = {
        "ids": [job.id for job in jobs],
        "attempted_ats": [job.attempted_at for job in jobs],
        "states": ["discarded" if failing else "completed"] * count,
        "attempt_changes": [None] * count,
        "schedule_ins": [None] * count,
        "errors": [None] * count,
        "metas": [None] * count,
        "results": None,
        "fetching": None,
    }
    async with hand.conn.transaction():
        before = await hand.one(READ)
        await hand.conn.execute(hand.powertools._services.queries["ack_jobs"], args)
        return await hand.one(READ) - (before or 0)


@pytest.mark.parametrize("statistics", ["VACUUM ANALYZE", "SELECT"])
async def test_a_plan_made_for_nearly_empty_tables_reads_few_rows_when_they_have_grown(
    hand: Hand, statistics: str
) -> None:
    first = await hand.insert(chain(2))
    for _ in range(2):
        await hand.insert(chain(2))
    await hand.rows(statistics)
    await finish(hand, first, "s0")
    await finish(hand, first, "s1")
    small, failed = await hand.insert(fan(10)), await hand.insert(fan(2))
    await finish(hand, failed, "first", failing=True)
    alone = [await finish(hand, small, "first"), await finish(hand, small, *[f"middle{n}" for n in range(10)])]

    await hand.insert(fan(2000))
    for _ in range(20):
        await hand.insert(chain(10))
    crowded = await hand.insert(fan(10))
    among_many = [await finish(hand, crowded, "first"), await finish(hand, crowded, *[f"middle{n}" for n in range(10)])]

    assert all(now <= 2 * then for now, then in zip(among_many, alone, strict=True)), (alone, among_many)


async def test_the_rows_an_ack_reads_grow_with_the_batch_alone(hand: Hand) -> None:
    workflow_id = await hand.insert(fan(1000))
    await finish(hand, workflow_id, "first")

    ten = await finish(hand, workflow_id, *[f"middle{n}" for n in range(10)])
    hundred = await finish(hand, workflow_id, *[f"middle{n}" for n in range(10, 110)])

    assert hundred <= 11 * ten


async def test_the_sweep_has_tables_analyzed_that_have_grown_many_times_over(hand: Hand) -> None:
    await hand.rows("VACUUM ANALYZE")
    await hand.workflows.insert(fan(2000), conn=hand.conn)
    await count_now(hand.conn)
    assert await hand.one(OUTGROWN) == ["powertools.steps"]

    await sweep_once(hand.session, Swept(), Settings(sweep_batch=10))

    assert await hand.one(OUTGROWN) == []
    assert await hand.one("SELECT reltuples::int FROM pg_class WHERE oid = 'powertools.steps'::regclass") == 2002


async def test_a_table_is_analyzed_by_what_is_committed_in_it(hand: Hand) -> None:
    """Found in an open transaction, pages without rows had every later plan take one row for granted."""
    await hand.insert(fan(10))
    await hand.rows("VACUUM ANALYZE")
    async with await AsyncConnection.connect(hand.dsn) as inserting:
        await hand.workflows.insert(fan(2000), conn=inserting)
        meanwhile = await hand.one(OUTGROWN)
        await hand.rows("ANALYZE powertools.steps")  # by anybody else
        await inserting.commit()
        await count_now(inserting)
        await inserting.commit()

    assert (meanwhile, await hand.one(OUTGROWN)) == ([], ["powertools.steps"])


async def test_a_table_whose_rows_the_server_no_longer_counts_is_analyzed_by_its_size(hand: Hand) -> None:
    await hand.insert(fan(10))
    await hand.rows("VACUUM ANALYZE")
    await hand.insert(fan(4000))
    await count_now(hand.conn)
    await hand.rows("SELECT pg_stat_reset()")

    assert await hand.one(OUTGROWN) == ["powertools.steps"]


@pytest.mark.parametrize("statistics", ["SELECT", "VACUUM ANALYZE"])
async def test_explaining_a_failed_chain_reads_as_many_rows_of_each_step_however_long_it_is(
    hand: Hand, statistics: str
) -> None:
    await hand.rows(statistics)  # of empty tables, or none
    read: dict[int, tuple[int, int]] = {}
    for length in (100, 2000):
        workflow_id = await hand.insert(chain(length))
        await finish(hand, workflow_id, "s0", failing=True)
        read[length] = await rows_explained(hand, workflow_id, f"s{length - 1}")

    # 20 times as many, and one more a step where statistics made an index scan of another; squares would be 400 times.
    assert all(long <= 25 * short for short, long in zip(read[100], read[2000], strict=True)), read


async def rows_explained(hand: Hand, workflow_id: WorkflowId, last: str) -> tuple[int, int]:
    """How many rows are read to explain the last step of a workflow, and the workflow."""
    queries = hand.powertools._services.queries
    found: list[int] = []
    for explaining in (
        lambda: explain_step(Session(hand.conn, queries), workflow_id, last),
        lambda: explain_workflow(Session(hand.conn, queries), workflow_id),
    ):
        async with hand.session.snapshot():
            before = await hand.one(READ)
            await explaining()
            found.append(await hand.one(READ) - (before or 0))
    return found[0], found[1]
