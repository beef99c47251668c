"""Whatever is wrong with a job or with our own functions, a change of a job commits: its step is settled later.

Rules: invariant/I6.
"""

from typing import Any

import psycopg
import pytest
from oban.schema import install_sql

from oban_powertools import Workflow, schema
from oban_powertools.events import Cursor
from tests.support.by_hand import Hand, by_hand, step

ENDS = "UPDATE oban_jobs SET state = 'completed', completed_at = timezone('UTC', now()) WHERE state = 'available'"


def alone(names: str) -> Workflow:
    workflow = Workflow("alone")
    workflow.add_many({name: step(max_attempts=2) for name in names})
    return workflow


@pytest.mark.parametrize("turbo", [True, False], ids=["turbo", "stock"])
@pytest.mark.parametrize("attempt", [32_766, 32_767, 32_768, 40_000, 2_000_000_000])
async def test_a_job_that_was_tried_more_often_than_a_smallint_counts_is_settled(
    empty_dsn: str, turbo: bool, attempt: int
) -> None:
    """As in tables that Oban's Elixir migrations made."""
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn:
        await conn.execute(install_sql().encode())
        await conn.execute("ALTER TABLE oban_jobs ALTER attempt TYPE int, ALTER max_attempts TYPE int")
        await schema.install(conn)
    async with by_hand(empty_dsn, turbo=turbo) as hand:
        workflow_id = await hand.insert(alone("ab"))
        await hand.rows("UPDATE oban_jobs SET attempt = %s, max_attempts = %s WHERE id = 1", attempt, attempt + 9)

        await hand.run(workflow_id, {"a": ValueError("again"), "b": 1})
        await hand.run(workflow_id, {"a": 2})

        steps = await hand.steps(workflow_id)
        events = await hand.powertools.events.read(since=Cursor(0))
        assert await hand.workflows.results(workflow_id) == {"a": 2, "b": 1}
        assert steps["a"].attempt == attempt + 2
        assert max(getattr(event, "attempt", None) or 0 for event in events) == attempt + 2
        assert await hand.rows("SELECT * FROM powertools.settle_faults") == []


@pytest.mark.parametrize("setting", ["no json", "[]", "5", '"x"', "{", "null", '{"1": 5}', '{"1": [1]}'])
async def test_whatever_stands_in_the_setting_for_results_a_change_of_jobs_commits(hand: Hand, setting: str) -> None:
    workflow_id = await hand.insert(alone("ab"))

    await hand.rows("SELECT set_config('powertools.results', %s, false)", setting)
    try:
        await hand.rows(ENDS)
    finally:
        await hand.rows("SELECT set_config('powertools.results', '', false)")

    await hand.sweep()
    assert await hand.states(workflow_id) == {"a": "completed", "b": "completed"}


@pytest.mark.parametrize(
    "errors",
    ["{}", '"x"', "5", "null", "[null]", "[5]", '["x"]', "[[]]", '[{"error": {"a": 1}}]', '[{"text": []}]', "[]"],
)
@pytest.mark.parametrize("state", ["discarded", "cancelled", "retryable"])
async def test_whatever_stands_where_errors_belong_a_change_of_jobs_is_settled(
    hand: Hand, errors: str, state: str
) -> None:
    workflow_id = await hand.insert(alone("ab"))
    jobs = await hand.start(1, 2)

    await hand.rows("UPDATE oban_jobs SET state = %s::oban_job_state, errors = %s::jsonb", state, errors)

    steps = await hand.steps(workflow_id)
    assert len(jobs) == 2
    assert {s.state for s in steps.values()} == {state}
    assert (await hand.powertools.explain.workflow_step(workflow_id, "a")).summary
    assert await hand.rows("SELECT * FROM powertools.settle_faults") == []
    await hand.rows("UPDATE oban_jobs SET errors = '[]'")


BROKEN = (
    "settle_guarded(powertools.outcome[])",
    "settle(powertools.outcome[])",
    "told_error_v1(jsonb)",
    "defer_starts_guarded(powertools.change[])",
    "record_settle_fault(powertools.outcome, text, text)",
    "notify_v1(text, text)",
)


@pytest.mark.parametrize("function", BROKEN)
async def test_whatever_function_of_ours_is_missing_a_change_of_jobs_commits(each_hand: Hand, function: str) -> None:
    workflow_id = await each_hand.insert(alone("ab"))
    name = f"powertools.{function}"
    away = f"powertools.away{function[function.index('(') :]}"

    await each_hand.rows(f"ALTER FUNCTION {name} RENAME TO away")
    try:
        acked = await each_hand.run(workflow_id, {"a": 1, "b": ValueError("no")})
    finally:
        await each_hand.rows(f"ALTER FUNCTION {away} RENAME TO {function[: function.index('(')]}")

    await each_hand.rows("UPDATE powertools.settle_faults SET last_fault_at = now() - interval '1 hour'")
    await each_hand.sweep()
    assert len(acked) == 2
    assert await each_hand.states(workflow_id) == {"a": "completed", "b": "retryable"}
    assert await each_hand.workflows.results(workflow_id) == {"a": 1}


async def test_a_deleted_job_is_deleted_whatever_function_of_ours_is_missing(hand: Hand) -> None:
    workflow_id = await hand.insert(alone("ab"))

    await hand.rows("ALTER FUNCTION powertools.settle_guarded(powertools.outcome[]) RENAME TO away")
    try:
        await hand.rows("DELETE FROM oban_jobs WHERE id = 1")
    finally:
        await hand.rows("ALTER FUNCTION powertools.away(powertools.outcome[]) RENAME TO settle_guarded")

    await hand.sweep()
    assert await hand.states(workflow_id) == {"a": "cancelled", "b": "available"}


COUNTS: dict[str, Any] = {"rescued": ["1e30", "-5", "null", '"x"', "{}", "99999999999999999999", "1.5"]}


@pytest.mark.parametrize("rescued", COUNTS["rescued"])
async def test_whatever_stands_where_a_count_belongs_it_counts_from_nothing(hand: Hand, rescued: str) -> None:
    assert await hand.one("SELECT powertools.count_of(%s::jsonb) AS count", rescued) == 0
