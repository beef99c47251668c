"""What a drawing reads of a workflow: outlines, which say of steps what their records say, and spells of their time."""

from dataclasses import fields
from datetime import timedelta

import pytest

from oban_powertools import StepOutline, StepPhase, Workflow, open_calls
from oban_powertools.errors import WorkflowNotFoundError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, step
from tests.support.counting import count_sent

SHARED = {field.name for field in fields(StepOutline)} - {"parents"}


async def mixed(hand: Hand) -> WorkflowId:
    """Steps of every kind and of many states."""
    nested = Workflow("nested")
    nested.add("inner", step())
    workflow = Workflow("mixed")
    for name in ("good", "ready", "bad", "retried"):
        workflow.add(name, step(max_attempts=2 if name == "retried" else 1))
    workflow.add("later", step(), deps=["ready"])
    workflow.add("taken", step(), deps={"good": "continue", "bad": "cancel"})
    workflow.await_signal("asked", signal="approved", correlation_key="7")
    workflow.add_workflow("below", nested, deps=["good"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"good": 1, "bad": ValueError("no"), "retried": ValueError("again")})
    return workflow_id


async def test_an_outline_says_of_each_step_what_its_record_says(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    outlines, records = await hand.workflows.outline(workflow_id), await hand.workflows.steps(workflow_id)

    assert [{name: getattr(each, name) for name in SHARED} for each in outlines] == [
        {name: getattr(each, name) for name in SHARED} for each in records
    ]
    names = dict(enumerate(each.name for each in records))
    assert [{names[place]: policy for place, policy in each.parents.items()} for each in outlines] == [
        dict(each.deps) for each in records
    ]


async def test_an_outline_has_nothing_that_the_author_stored(hand: Hand) -> None:
    [outline] = await hand.workflows.outline(await hand.insert(_single()))

    assert not {"args", "result", "error", "template", "context"} & outline.to_dict().keys()


def _single() -> Workflow:
    workflow = Workflow("single")
    workflow.add("only", step({"password": "hunter2"}))
    return workflow


async def test_a_large_workflow_is_outlined_in_one_statement(hand: Hand) -> None:
    workflow = Workflow("large")
    workflow.add_many({f"s{n}": step() for n in range(300)})
    workflow_id = await hand.insert(workflow)
    async with open_calls(hand.conn) as calls:
        sent = count_sent(hand.conn)
        await calls.workflows.outline(workflow_id)
        await calls.workflows.spells(workflow_id)

    assert len(sent) == 2


async def test_spells_are_the_phases_of_the_history(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    spells = await hand.workflows.spells(workflow_id)

    history = await hand.workflows.history(workflow_id, limit=1000)
    told = sorted((entry.step, entry.phase, entry.at) for entry in history.entries if entry.phase and entry.step)
    assert sorted((each.step, each.phase, each.at) for each in spells if each.at > history.began_at) == [
        entry for entry in told if entry[2] > history.began_at
    ]


async def test_spells_tell_waiting_from_working_and_work_that_failed(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    spells = await hand.workflows.spells(workflow_id, steps=["retried", "good"])

    assert [(each.step, each.phase, each.attempt, each.failed, each.goes_on) for each in spells] == [
        ("good", StepPhase.DEPENDENCIES, None, False, False),
        ("good", StepPhase.QUEUE, None, False, False),
        ("good", StepPhase.WORK, 1, False, False),
        ("retried", StepPhase.DEPENDENCIES, None, False, False),
        ("retried", StepPhase.QUEUE, None, False, False),
        ("retried", StepPhase.WORK, 1, True, False),
        ("retried", StepPhase.RETRY, None, False, True),
    ]
    assert all(each.lasts_for >= timedelta(0) for each in spells)


async def test_no_names_are_no_spells_and_no_workflow_is_an_error(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    assert list(await hand.workflows.spells(workflow_id, steps=[])) == []
    with pytest.raises(WorkflowNotFoundError):
        await hand.workflows.spells(WorkflowId(10**15))
    with pytest.raises(WorkflowNotFoundError):
        await hand.workflows.outline(WorkflowId(10**15))
