"""Courses of events that the state machine found, and that once went wrong."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.errors import IllegalTransitionError
from tests.support.breaking import refusing
from tests.support.by_hand import Hand, chain, step

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}


def before_nested(inner: Workflow) -> Workflow:
    """before -> nested."""
    workflow = Workflow("outer")
    workflow.add("before", step())
    workflow.add_workflow("nested", inner, deps="before")
    return workflow


async def test_a_nested_workflow_that_never_starts_is_cancelled_with_the_step_that_would_have_run_it(
    hand: Hand,
) -> None:
    inner = Workflow("inner")
    inner.add("s0", step())
    inner.add("s1", step(), deps={"s0": "continue"})
    workflow_id = await hand.insert(before_nested(inner))

    await hand.run(workflow_id, {"before": ValueError("boom")})

    states = await hand.rows("SELECT DISTINCT cause FROM powertools.steps WHERE name <> 'before'")
    assert states == [{"cause": "cancelled_by_dependency"}]
    assert await hand.violations() == []


async def test_a_nested_workflow_made_as_new_starts_another_generation_of_each_step(hand: Hand) -> None:
    workflow_id = await hand.insert(before_nested(chain(2)))
    nested_id = (await hand.steps(workflow_id))["nested"].child_id
    assert nested_id is not None
    await hand.workflows.recover(nested_id, "s1", "complete", payload="early", **ASKED)
    await hand.run(workflow_id, {"before": ValueError("boom")})

    await hand.workflows.recover(workflow_id, "before", **ASKED)

    steps = await hand.steps(nested_id)
    assert [(s.state, s.generation, s.result) for s in steps.values()] == [("pending", 2, None), ("pending", 2, None)]
    await hand.run_all(workflow_id)
    await hand.run_all(nested_id)
    assert (await hand.workflow(workflow_id)).state == "completed"


def waiting(name: str) -> Workflow:
    workflow = Workflow(name)
    workflow.await_signal(name, signal="go", correlation_key=name, deadline=timedelta(days=1))
    return workflow


def expiring(name: str) -> Workflow:
    workflow = Workflow(name, expires_in=timedelta(days=1))
    workflow.add(name, step(scheduled_in=60))
    workflow.add(f"{name} too", step(), deps=name)
    return workflow


def held(name: str) -> Workflow:
    workflow = Workflow(name)
    workflow.add("first", step())
    workflow.add(name, step(), deps="first")
    return workflow


STORED = """
INSERT INTO powertools.signals (signal, correlation_key, status)
SELECT signal, correlation_key, 'stored' FROM powertools.waits
"""


@pytest.mark.parametrize(
    ("definition", "what_comes_due", "moved"),
    [
        (waiting, "UPDATE powertools.waits SET deadline_at = now() - interval '1 s'", "expired"),
        (waiting, STORED, "completed"),
        (expiring, "UPDATE powertools.workflows SET expires_at = now() - interval '1 s'", "expired"),
        (held, "UPDATE powertools.steps SET held_until = now() - interval '1 s', hold_reason = 'x'", "pending"),
    ],
    ids=["waits", "missed signals", "workflows", "holds"],
)
async def test_what_the_sweep_cannot_do_for_one_workflow_it_does_for_the_others(
    hand: Hand, definition: Callable[[str], Workflow], what_comes_due: str, moved: str
) -> None:
    names = ["a", "faulty", "z"]
    ids = {name: await hand.insert(definition(name)) for name in names}
    await hand.rows(what_comes_due)

    async with refusing(hand, "powertools.steps", "UPDATE", "NEW.name LIKE 'faulty%'"):
        await hand.sweep()
        meanwhile = {name: (await hand.steps(ids[name]))[name] for name in names}
    await hand.sweep()
    mended = (await hand.steps(ids["faulty"]))["faulty"]

    assert (meanwhile["a"].state, meanwhile["z"].state, mended.state) == (moved, moved, moved)
    assert [s.held_until is not None for s in (*meanwhile.values(), mended)] == [
        False,
        moved == "pending",
        False,
        False,
    ]


async def test_a_nested_workflow_that_was_cancelled_early_ends_its_step_when_that_is_released(hand: Hand) -> None:
    workflow_id = await hand.insert(before_nested(chain(2)))
    nested_id = (await hand.steps(workflow_id))["nested"].child_id
    assert nested_id is not None
    await hand.workflows.request_cancel(nested_id, **ASKED)

    await hand.run(workflow_id, {"before": None})

    nested = (await hand.steps(workflow_id))["nested"]
    assert (nested.state, (await hand.workflow(workflow_id)).state) == ("cancelled", "failed")


async def test_a_nested_workflow_that_never_started_comes_back_only_with_the_step_that_runs_it(hand: Hand) -> None:
    workflow_id = await hand.insert(before_nested(chain(2)))
    nested_id = (await hand.steps(workflow_id))["nested"].child_id
    assert nested_id is not None
    await hand.workflows.recover(workflow_id, "nested", "cancel", **ASKED)

    with pytest.raises(IllegalTransitionError, match="'nested' of workflow 1, which ran it, is cancelled"):
        await hand.workflows.recover(nested_id, "s0", **ASKED)

    await hand.workflows.recover(workflow_id, "nested", **ASKED)
    assert (await hand.states(nested_id))["s0"] == "pending"


async def test_a_failed_step_may_run_again_beside_a_child_that_went_on_without_it(hand: Hand) -> None:
    workflow = Workflow("continued")
    workflow.add("a", step())
    workflow.add("b", step(), deps={"a": "continue"})
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"a": ValueError("boom")})

    await hand.workflows.recover(workflow_id, "a", **ASKED)

    assert await hand.states(workflow_id) == {"a": "available", "b": "available"}
    assert await hand.violations() == []
