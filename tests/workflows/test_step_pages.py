"""The steps of a workflow in pages: those that failed first, by state, by word."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from oban_powertools import OperatorStatus, StepState, Workflow, open_calls
from oban_powertools.errors import InvalidArgumentError, WorkflowNotFoundError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, step
from tests.support.counting import count_sent


async def mixed(hand: Hand) -> WorkflowId:
    """good completed, bad failed and took its child along, retried is to be tried again, ready and later wait."""
    workflow = Workflow("mixed")
    for name in ("good", "ready", "bad", "retried"):
        workflow.add(name, step(max_attempts=2 if name == "retried" else 1))
    workflow.add("later", step(), deps=["ready"])
    workflow.add("taken", step(), deps=["bad"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"good": 1, "bad": ValueError("no"), "retried": ValueError("again")})
    return workflow_id


async def names(hand: Hand, workflow_id: WorkflowId, **asked: Any) -> list[str]:
    return [each.name for each in (await hand.workflows.list_steps(workflow_id, **asked)).steps]


async def test_the_steps_that_failed_by_themselves_come_first_and_the_finished_last(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    assert await names(hand, workflow_id) == ["bad", "ready", "retried", "later", "taken", "good"]
    assert await names(hand, workflow_id, failed_first=False) == ["good", "ready", "bad", "retried", "later", "taken"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"state": "discarded"}, ["bad"]),
        ({"state": StepState.RETRYABLE}, ["retried"]),
        ({"status": "Finished"}, ["bad", "taken", "good"]),
        ({"status": OperatorStatus.BLOCKED}, ["ready", "retried", "later"]),
        ({"status": "Finished", "state": "cancelled"}, ["taken"]),
    ],
)
async def test_steps_are_found_by_state_and_by_word(hand: Hand, asked: dict[str, Any], expected: list[str]) -> None:
    assert await names(hand, await mixed(hand), **asked) == expected


@pytest.mark.parametrize("failed_first", [True, False])
async def test_pages_of_steps_follow_one_another_without_gap_or_repetition(hand: Hand, failed_first: bool) -> None:
    workflow_id = await mixed(hand)
    pages: list[str] = []
    after = None

    while True:
        page = await hand.workflows.list_steps(workflow_id, failed_first=failed_first, after=after, limit=4)
        pages += [each.name for each in page.steps]
        if (after := page.next_after) is None:
            break

    assert pages == await names(hand, workflow_id, failed_first=failed_first)


async def test_a_step_of_a_page_is_the_step_of_the_whole_list(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    page = await hand.workflows.list_steps(workflow_id, failed_first=False)

    assert list(page.steps) == list(await hand.workflows.steps(workflow_id))
    assert page.parents == {"ready": StepState.AVAILABLE, "bad": StepState.DISCARDED}


@pytest.mark.parametrize(("deps", "statements"), [([], 1), (["first"], 2)])
async def test_a_page_of_a_large_workflow_is_one_statement_and_one_for_the_names_of_parents(
    hand: Hand, deps: list[str], statements: int
) -> None:
    workflow = Workflow("large")
    workflow.add("first", step())
    workflow.add_many({f"s{n}": step() for n in range(300)}, deps=deps)
    workflow_id = await hand.insert(workflow)
    async with open_calls(hand.conn) as calls:
        sent = count_sent(hand.conn)
        page = await calls.workflows.list_steps(workflow_id, limit=100)

    assert (len(page.steps), len(sent)) == (100, statements)


@pytest.mark.parametrize(
    "asked", [{}, {"limit": 1}, {"failed_first": False}, {"state": "suspended"}, {"after": "7.99"}]
)
async def test_a_page_says_how_many_steps_of_the_whole_workflow_have_which_word(
    hand: Hand, asked: dict[str, Any]
) -> None:
    workflow_id = await mixed(hand)

    page = await hand.workflows.list_steps(workflow_id, **asked)

    assert page.words == Counter(each.status for each in await hand.workflows.steps(workflow_id))


async def test_a_page_of_one_step_has_its_word_alone(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    page = await hand.workflows.list_steps(workflow_id, step="bad")

    assert page.words == {each.status: 1 for each in await hand.workflows.steps(workflow_id) if each.name == "bad"}


async def test_a_page_without_payloads_is_the_same_without_args_and_results(hand: Hand) -> None:
    workflow_id = await mixed(hand)

    lean = await hand.workflows.list_steps(workflow_id, payloads=False)

    whole = await hand.workflows.list_steps(workflow_id)
    assert lean.steps == tuple(replace(each, args=None, result=None) for each in whole.steps)


async def test_the_steps_of_what_does_not_exist_are_not_listed(hand: Hand) -> None:
    with pytest.raises(WorkflowNotFoundError):
        await hand.workflows.list_steps("4711")


@pytest.mark.parametrize("after", ["", "1", "8.1", "1.x", "1.9999999999", 7])
async def test_only_a_place_that_a_page_of_steps_gave_is_taken(hand: Hand, after: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        await hand.workflows.list_steps("1", after=after)
