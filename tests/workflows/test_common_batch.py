"""The common batch, whose jobs all completed, goes in one statement: what follows is the same as in any other batch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_powertools import Workflow, job
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, step

COMPLETED_AND_DISCARDED = """
UPDATE oban_jobs SET state = (CASE WHEN id = ANY (%s) THEN 'completed' ELSE 'discarded' END)::oban_job_state,
  meta = meta || '{"return": {"json": {"n": [1, 2]}}}'
WHERE id = ANY (%s)
"""
STEPS = """
SELECT k.position, k.name, k.state, k.cause, k.pending, k.attempt, k.result, k.error, k.generation,
  k.job_id IS NULL AS jobless, k.wait_id IS NULL AS waitless, k.child_id IS NULL AS childless,
  k.started_at IS NULL AS unstarted, k.released_at IS NULL AS unreleased, k.finished_at IS NULL AS unfinished,
  k.held_until IS NULL AS unheld
FROM powertools.steps k WHERE k.workflow_id = %s ORDER BY k.position
"""
JOBS = """
SELECT j.state::text, j.queue, j.worker, j.args, j.priority, j.max_attempts, j.tags,
  j.meta - '{workflow_id,uid}'::text[] AS meta, j.scheduled_at > timezone('UTC', now()) AS is_scheduled
FROM oban_jobs j WHERE (j.meta ->> 'workflow_id')::bigint = %s ORDER BY (j.meta ->> 'position')::int
"""
EVENTS = """
SELECT e.number, e.position, e.change, e.state, e.attempt, e.has_result, e.error, e.generation,
  e.job_id IS NULL AS jobless
FROM powertools.events e WHERE e.workflow_id = %s ORDER BY e.number
"""
WORKFLOW = (
    "SELECT state, open, failed, stopped, finished_at IS NULL AS unfinished FROM powertools.workflows WHERE id = %s"
)


@job(queue="bulk")
def send(item: Any) -> None:
    """Never run."""


def every_kind(key: str) -> Workflow:
    """Roots ``a`` and ``b``, and below them a step of every kind."""
    workflow = Workflow("every kind", context={"account": 42})
    a, b = workflow.add("a", step(meta={"mine": 1})), workflow.add("b", step())
    workflow.add(
        "plain", step({"n": 1}, queue="slow", priority=3, tags=["x"], max_attempts=7, meta={"mine": [1]}), deps=a
    )
    workflow.add("referring", step({"of": a.result["n"][1], "all": b.result}), deps=[a, b])
    workflow.add("later", step(scheduled_at=datetime.now(UTC) + timedelta(days=1)), deps=a)
    workflow.add("delayed", step(), deps=b, delay=timedelta(hours=1))
    workflow.add("both", step(), deps=[a, b])
    workflow.add("below", step(), deps="both")
    workflow.add("held", step(), deps=a)
    workflow.await_signal("wait", signal="paid", correlation_key=key, deps=a)
    workflow.map("each", send, over=a.result["n"])
    inner = Workflow("inner")
    inner.add("inside", step())
    workflow.add_workflow("nested", inner, deps=b)
    return workflow


async def finish(hand: Hand, *, with_a_failure: bool) -> WorkflowId:
    """Its roots complete in one statement, which goes the general way with a failure of another workflow in it."""
    workflow_id = await hand.insert(every_kind(str(with_a_failure)))
    other = Workflow("other")
    other.add("fails", step(max_attempts=1))
    others = await hand.insert(other)
    await hand.rows("SELECT powertools.hold_v1(%s, 8, now() + interval '1 day', 'not yet')", workflow_id)
    completing = [(await hand.job(workflow_id, name)).id for name in "ab"]
    failing = [(await hand.job(others, "fails")).id] if with_a_failure else []
    await hand.start(*completing, *failing)
    await hand.rows(COMPLETED_AND_DISCARDED, completing, [*completing, *failing])
    return workflow_id


async def test_steps_that_complete_alone_move_everything_on_as_among_failures(hand: Hand) -> None:
    alone, among = await finish(hand, with_a_failure=False), await finish(hand, with_a_failure=True)

    for query in (STEPS, JOBS, EVENTS, WORKFLOW):
        assert await hand.rows(query, alone) == await hand.rows(query, among)
    assert await hand.violations() == []


@pytest.mark.timeout(300)
async def test_a_step_with_more_children_than_one_statement_takes_releases_them_all(hand: Hand) -> None:
    workflow = Workflow("wide")
    first = workflow.add("first", step())
    workflow.add_many({f"s{n}": step() for n in range(10_001)}, deps=first)
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"first": None})

    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE state = 'available'") == 10_001
    assert await hand.rows(
        "SELECT max(events) <= 20000 AS ok, sum(events)::int AS all FROM powertools.event_batches"
    ) == [{"ok": True, "all": 10_004}]
    assert await hand.violations() == []
