"""States that must not exist cannot be written, whoever tries (property/P23, P26)."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from oban_powertools import Workflow
from tests.support.by_hand import Hand, chain, step


@pytest.fixture
async def diamond(hand: Hand) -> Hand:
    """Workflow 1: a completed, b available, c and d pending; b and c hang on a, d on both."""
    workflow = Workflow("diamond")
    workflow.add("a", step())
    workflow.add("b", step(), deps="a")
    workflow.add("c", step(scheduled_in=60), deps={"a": "continue"})
    workflow.add("d", step(), deps=["b", "c"])
    await hand.run(await hand.insert(workflow), {"a": 1})
    return hand


ILLEGAL_STEPS = {
    "an unknown state": "state = 'done' WHERE name = 'd'",
    "a negative count": "pending = -1 WHERE name = 'd'",
    "released before its parents": "state = 'available', job_id = 7 WHERE name = 'd'",
    "available without a job": "job_id = NULL WHERE name = 'b'",
    "pending with a job": "job_id = 7 WHERE name = 'd'",
    "ended without an instant": "finished_at = NULL WHERE name = 'a'",
    "not ended with an instant": "finished_at = now() WHERE name = 'd'",
    "a result of a step that did not complete": "result = '1' WHERE name = 'b'",
    "args beside references": "template = '[]' WHERE name = 'd'",
    "neither args nor references": "args = NULL WHERE name = 'd'",
    "unknown effects": "effects = 'maybe' WHERE name = 'd'",
    "an unknown cause": "cause = 'bad luck' WHERE name = 'a'",
    "an empty name": "name = '' WHERE name = 'd'",
    "two steps of one name": "name = 'a' WHERE name = 'd'",
    "a negative position": "position = -1 WHERE name = 'd'",
    "no attempts": "max_attempts = 0 WHERE name = 'd'",
    "a priority Oban does not know": "priority = 10 WHERE name = 'd'",
    "a job without a worker": "worker = '' WHERE name = 'd'",
    "a job without a queue": "queue = NULL WHERE name = 'd'",
}

ILLEGAL_WORKFLOWS = {
    "an unknown state": "state = 'done'",
    "more open steps than steps": "open = total + 1",
    "fewer than no open steps": "open = -1",
    "more failures than ended steps": "failed = total",
    "no steps": "total = 0, open = 0",
    "running with nothing open": "open = 0",
    "ended with open steps": "state = 'completed', finished_at = now()",
    "running with an end": "finished_at = now()",
    "an empty name": "name = ''",
    "a key without a definition": "idempotency_key = 'k'",
    "generation zero": "generation = 0",
}


@pytest.mark.parametrize("what", ILLEGAL_STEPS)
async def test_a_step_cannot_have(diamond: Hand, what: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        await diamond.rows(f"UPDATE powertools.steps SET {ILLEGAL_STEPS[what]}")


@pytest.mark.parametrize("what", ILLEGAL_WORKFLOWS)
async def test_a_workflow_cannot_have(diamond: Hand, what: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        await diamond.rows(f"UPDATE powertools.workflows SET {ILLEGAL_WORKFLOWS[what]}")


async def test_two_workflows_cannot_have_one_key(hand: Hand) -> None:
    await hand.insert(chain(1, idempotency_key="k"))
    await hand.insert(chain(1, idempotency_key="l"))

    with pytest.raises(psycopg.errors.UniqueViolation):
        await hand.rows("UPDATE powertools.workflows SET idempotency_key = 'k'")


INSERT_STEPS = """
INSERT INTO powertools.steps (
  workflow_id, position, pending, depth, name, worker, queue, args, parents, children,
  continue_parents, continue_children
)
SELECT 1, s.position, 9, s.depth, 'x' || s.position, 'w', 'q', '{}', coalesce(s.parents, '{}'),
  coalesce(s.children, '{}'), s.continue_parents, s.continue_children
FROM jsonb_to_recordset(%s) AS s (
  position int, depth int, parents int[], children int[], continue_parents int[], continue_children int[]
)
"""


def at(position: int, depth: int, **edges: list[int]) -> dict[str, Any]:
    return {"position": position, "depth": depth, **edges}


@pytest.mark.parametrize(
    "steps",
    [
        [at(10, 0, parents=[10], children=[10])],
        [at(10, 0, children=[11], parents=[11]), at(11, 1, parents=[10], children=[10])],
        [
            at(10, 0, children=[11], parents=[12]),
            at(11, 1, parents=[10], continue_children=[12]),
            at(12, 2, continue_parents=[11], children=[10]),
        ],
        [at(10, 0), at(11, 1, parents=[10])],
        [at(10, 0, children=[11]), at(11, 1)],
        [at(10, 0, children=[11]), at(11, 1, continue_parents=[10])],
        [at(10, 1, children=[11]), at(11, 1, parents=[10])],
        [at(10, 1, children=[11]), at(11, 0, parents=[10])],
        [at(10, 0, children=[99])],
        [at(10, 1, parents=[99])],
    ],
    ids=[
        "a self-loop",
        "a cycle of two",
        "a cycle of three",
        "an edge only the child knows",
        "an edge only the parent knows",
        "an edge of two policies",
        "an edge between equal depths",
        "an edge upwards",
        "a child that is not there",
        "a parent that is not there",
    ],
)
async def test_edges_cannot_be_inserted_that_make(diamond: Hand, steps: list[dict[str, Any]]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="does not lead forward inside the workflow"):
        await diamond.rows(INSERT_STEPS, Jsonb(steps))


async def test_edges_that_lead_forward_can_be_inserted(diamond: Hand) -> None:
    steps = [
        at(10, 0, children=[11], continue_children=[12]),
        at(11, 1, parents=[10]),
        at(12, 5, continue_parents=[10]),
    ]

    await diamond.rows(INSERT_STEPS, Jsonb(steps))

    assert await diamond.one("SELECT count(*) FROM powertools.edges WHERE parent = 10") == 2
    await diamond.rows("DELETE FROM powertools.steps WHERE position >= 10")


UNSEEN = "ALTER TABLE oban_jobs DISABLE TRIGGER USER; "
CORRUPTIONS = {
    "live_step_has_its_job": f"{UNSEEN} DELETE FROM oban_jobs WHERE state = 'available'",
    "live_step_has_its_own_job": f"{UNSEEN} UPDATE oban_jobs SET meta = '{{}}' WHERE state = 'available'",
    "live_step_has_a_live_job": f"{UNSEEN} UPDATE oban_jobs SET state = 'completed'",
    "one_live_job_a_step": "INSERT INTO oban_jobs (worker, meta) SELECT worker, meta FROM oban_jobs",
    "pending_counts_open_parents": "UPDATE powertools.steps SET pending = 1 WHERE name = 'd'",
    "ready_step_is_released": "UPDATE powertools.steps SET pending = 0 WHERE name = 'd'",
    "released_after_its_parents": ("UPDATE powertools.steps SET state = 'discarded', result = NULL WHERE name = 'a'"),
    "failure_cascades": "UPDATE powertools.steps SET state = 'discarded', finished_at = now() WHERE name = 'b'",
    "cancelled_for_a_reason": (
        "UPDATE powertools.steps SET state = 'cancelled', cause = 'cancelled_by_dependency', finished_at = now() "
        "WHERE name = 'd'"
    ),
    "edges_lead_forward_inside": "UPDATE powertools.steps SET parents = '{77}' WHERE name = 'd'",
    "both_ends_know_an_edge": "UPDATE powertools.steps SET children = '{}' WHERE name = 'b'",
    "counters_equal_rows": "UPDATE powertools.workflows SET total = total + 1",
    "state_follows_the_steps": "UPDATE powertools.workflows SET state = 'failed', open = 0, finished_at = now()",
    "nothing_starts_while_stopping": "UPDATE powertools.workflows SET state = 'cancel_requested', expired_at = now()",
    "suspended_job_is_held": "UPDATE oban_jobs SET state = 'suspended' WHERE state = 'available'",
    "nested_workflow_and_its_step_agree": (
        "UPDATE powertools.steps SET state = 'executing', kind = 'workflow', worker = NULL, queue = NULL, "
        "child_id = 77 WHERE name = 'b'"
    ),
    "wait_and_its_step_agree": (
        "INSERT INTO powertools.waits (workflow_id, position, generation, signal, correlation_key) "
        "VALUES (1, 1, 1, 'go', 'k')"
    ),
    "consumed_wait_has_one_signal": (
        "INSERT INTO powertools.waits (workflow_id, position, generation, signal, correlation_key, state, ended_at) "
        "VALUES (1, 1, 1, 'go', 'k', 'consumed', now())"
    ),
    "on_finished_once_a_generation": (
        'INSERT INTO oban_jobs (worker, meta) SELECT \'w\', \'{"workflow_id": 1, "outcome": "failed"}\' '
        "FROM generate_series(1, 2)"
    ),
}


@pytest.mark.parametrize("invariant", CORRUPTIONS)
async def test_the_check_of_invariants_finds(diamond: Hand, invariant: str) -> None:
    """The oracle itself: each corruption is seen under its name."""
    before = await diamond.violations()

    await diamond.rows(CORRUPTIONS[invariant])

    found = {violation["invariant"] for violation in await diamond.violations()}
    await diamond.leave_empty()
    assert before == []
    assert invariant in found


@pytest.mark.parametrize(
    "meta",
    ['{"outcome": "x"}', '{"workflow_id": "x", "outcome": 1}', '{"workflow_id": 1}', '{"position": 1}', "[]", '"x"'],
)
async def test_the_check_of_invariants_passes_over_the_meta_of_a_hosts_own_jobs(hand: Hand, meta: str) -> None:
    await hand.rows("INSERT INTO oban_jobs (worker, meta) SELECT 'w', %s FROM generate_series(1, 2)", meta)

    assert await hand.violations() == []
