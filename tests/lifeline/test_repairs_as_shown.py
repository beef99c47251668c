"""Whatever the graph and the repair: what the preview showed is what execute did, row by row.

Rules: invariant/I3, property/P31 to P33.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from oban_powertools.errors import CommandRefusedError, NotFoundError
from oban_powertools.lifeline.repairs import Change, RepairPreview
from tests.support.by_hand import Hand, by_hand
from tests.support.random_workflows import WorkflowPlan, define, workflow_plans
from tests.support.repairing import everything, execute, preview

EXAMPLES = int(os.environ.get("POWERTOOLS_EXAMPLES", "25"))
TABLES = {
    "workflow": "powertools.workflows",
    "step": "powertools.steps",
    "job": "oban_jobs",
    "wait": "powertools.waits",
}
REPAIRS = [
    "step_retry",
    "step_cancel",
    "step_complete",
    "step_skip",
    "step_hold",
    "workflow_retry",
    "workflow_cancel",
    "workflow_hold",
    "job_retry",
    "job_cancel",
    "job_discard",
    "callback_retry",
]
ENDINGS = st.sampled_from(["completed", "completed", "discarded", "cancelled", "retryable"])
CLEAR = """
DELETE FROM oban_jobs; DELETE FROM powertools.workflows; DELETE FROM powertools.steps; DELETE FROM powertools.waits;
DELETE FROM powertools.signals; DELETE FROM powertools.events; DELETE FROM powertools.event_batches;
DELETE FROM powertools.deferred_starts;
DELETE FROM powertools.settle_faults
"""
NOTHING_TO_COMPARE = {"args", "meta", "errors", "result", "error"}


@pytest.fixture
def stage(dsn: str) -> Iterator[tuple[asyncio.Runner, Hand]]:
    with asyncio.Runner() as runner:
        context = by_hand(dsn, turbo=True)
        yield runner, runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.timeout(300)
@given(
    plan=workflow_plans(most=5),
    endings=st.lists(st.tuples(st.integers(0, 99), ENDINGS), max_size=8),
    actions=st.permutations(REPAIRS),
    pick=st.integers(0, 99),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
def test_what_the_preview_showed_is_what_execute_did(
    stage: tuple[asyncio.Runner, Hand],
    plan: WorkflowPlan,
    endings: list[tuple[int, str]],
    actions: list[str],
    pick: int,
) -> None:
    runner, hand = stage
    assert assume(runner.run(_repaired_as_shown(hand, plan, endings, actions, pick)))


async def _repaired_as_shown(
    hand: Hand, plan: WorkflowPlan, endings: list[tuple[int, str]], actions: list[str], pick: int
) -> bool:
    await hand.rows(CLEAR)
    await hand.workflows.insert(define(plan))
    for number, state in endings:
        await _end(hand, number, state)
    before = await everything(hand)

    shown: RepairPreview | None = None
    for action in actions:
        target, more = _target(before, action, pick), _arguments(action)
        with suppress(CommandRefusedError, NotFoundError):
            shown = await preview(hand, action, target, **more)
            assert (await preview(hand, action, target, **more)).plan_hash == shown.plan_hash
            break
    assert await everything(hand) == before
    if shown is None:
        return False

    done = await execute(hand, shown)
    after = await everything(hand)

    assert done.total_changes == shown.total_changes == len(shown.changes)
    for source, table in TABLES.items():
        _compare([c for c in shown.changes if c.source == source], _rows(before[table]), _rows(after[table]))
    assert _told(after) - _told(before) == sum(shown.effect.events.values())
    assert await hand.violations() == []
    return True


def _told(state: dict[str, Any]) -> int:
    return sum(event["change"] != "started" for event in state["powertools.events"])


def _compare(shown: list[Change], before: dict[str, Any], after: dict[str, Any]) -> None:
    changed = {c.id: c for c in shown if c.before is not None}
    differing = {row_id for row_id, row in before.items() if after[row_id] != row}
    assert changed.keys() == differing
    new = [row for row_id, row in after.items() if row_id not in before]
    assert len(new) == sum(c.before is None for c in shown)
    assert sorted(str(row.get("state")) for row in new) == sorted(str(c.after["state"]) for c in shown if c.is_new)
    for row_id, change in changed.items():
        for name, value in change.after.items():
            _agree(name, value, before[row_id].get(name), after[row_id].get(name))


def _agree(name: str, shown: Any, before: Any, after: Any) -> None:
    if name in NOTHING_TO_COMPARE or (name == "hold_reason" and shown is not None):
        assert (shown is None) == (after is None or (name == "errors" and after == []))
    elif shown == "now" or str(shown).startswith("new "):
        assert after is not None
        assert after != before
    elif name not in ("workflow_id", "position"):
        assert shown == after or str(shown)[:19] == str(after)[:19]


def _rows(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"{row['workflow_id']}/{row['position']}" if "pending" in row else str(row["id"]): row for row in rows}


def _target(state: dict[str, Any], action: str, pick: int) -> str:
    kind = action.partition("_")[0]
    if kind == "step":
        row = state["powertools.steps"][pick % len(state["powertools.steps"])]
        return f"{row['workflow_id']}/{row['name']}"
    jobs = [row for row in state["oban_jobs"] if kind != "callback" or "outcome" in row["meta"]]
    rows = state["powertools.workflows"] if kind == "workflow" else jobs
    return str(rows[pick % len(rows)]["id"]) if rows else "1"


def _arguments(action: str) -> dict[str, Any]:
    if action.endswith("_hold"):
        return {"hold_for": timedelta(hours=1)}
    return {"payload": {"list": [1.5], "key": "k0"}} if action == "step_complete" else {}


async def _end(hand: Hand, number: int, state: str) -> None:
    jobs = await hand.rows(
        "SELECT id FROM oban_jobs WHERE state NOT IN ('completed', 'discarded', 'cancelled') ORDER BY id"
    )
    if jobs:
        await hand.rows(
            'UPDATE oban_jobs SET state = %s::oban_job_state, meta = meta || \'{"return": {"json": {"list": [1, 2]}}}\''
            " WHERE id = %s",
            state,
            jobs[number % len(jobs)]["id"],
        )
