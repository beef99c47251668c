"""Payloads that are each allowed and together too large: the step that would hold them fails with that reason."""

from typing import Any, Final

import pytest

from oban_powertools import Workflow
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, Scripted, chain, step

MEBIBYTE: Final = "x" * (1024 * 1024 - 50)
"""The largest result that a worker may return."""

MOST: Final = 67_108_864
"""Bytes that many payloads may come to together."""


async def end_of(hand: Hand, workflow_id: WorkflowId, name: str) -> tuple[str, str]:
    """How a step ended, and why."""
    [row] = await hand.rows(
        "SELECT state, coalesce(error ->> 'error', '') AS error FROM powertools.steps "
        "WHERE workflow_id = %s AND name = %s",
        workflow_id,
        name,
    )
    return row["state"], row["error"]


async def test_the_limit_is_what_the_pages_say(hand: Hand) -> None:
    assert await hand.one("SELECT powertools.gathered_limit()") == MOST


async def run_all_at(hand: Hand, workflow_id: WorkflowId, result: Any) -> None:
    """Complete every step of a workflow with the same result, ten at a time."""
    names = list(await hand.states(workflow_id))
    for first in range(0, len(names), 10):
        await hand.run(workflow_id, dict.fromkeys(names[first : first + 10], result))


@pytest.mark.parametrize("kind", ["map", "nested"])
async def test_results_that_are_too_large_together_fail_the_step_that_would_gather_them(hand: Hand, kind: str) -> None:
    workflow = Workflow("gathers")
    if kind == "map":
        workflow.map("all", Scripted, over=list(range(65)))
    else:
        inner = Workflow("inner")
        inner.add_many({f"s{n}": step() for n in range(65)})
        workflow.add_workflow("all", inner)
    workflow.add("after", step(), deps="all")
    workflow.add("however", step(), deps="all", on_failure="continue")
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["all"].child_id
    assert child_id is not None

    await run_all_at(hand, child_id, MEBIBYTE)

    state, reason = await end_of(hand, workflow_id, "all")
    assert (state, f"at most {MOST} are allowed" in reason) == ("discarded", True)
    assert await hand.states(workflow_id) == {"all": "discarded", "after": "cancelled", "however": "available"}
    assert (await hand.workflow(child_id)).state == "completed"
    assert await hand.one("SELECT count(*) FROM powertools.settle_faults") == 0
    why = f"the results of workflow {child_id} come to"
    explained = await hand.powertools.explain.workflow_step(workflow_id, "all")
    assert why in explained.summary
    assert why in str(explained.blockers[0].details["error"])
    causes = (await hand.powertools.explain.workflow(workflow_id)).root_causes
    assert [why in cause.summary for cause in causes if cause.code == "nested_workflow_failed"] == [True]


async def test_results_that_fit_together_are_gathered_whatever_their_compression(hand: Hand) -> None:
    workflow = Workflow("gathers")
    workflow.map("all", Scripted, over=[0, 1, 2])
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["all"].child_id
    assert child_id is not None

    await hand.run(child_id, {"all[0]": MEBIBYTE, "all[1]": [1, 2], "all[2]": {"a": 1}})

    assert (await hand.steps(workflow_id))["all"].result == [MEBIBYTE, [1, 2], {"a": 1}]


async def test_args_that_are_too_large_with_what_they_refer_to_fail_the_step_and_not_its_parent(
    each_hand: Hand,
) -> None:
    workflow = Workflow("refers")
    big = workflow.add("big", step())
    workflow.add("many", step({"all": [big.result] * 65}), on_failure="continue")
    workflow.add("one", step({"big": big.result}))
    workflow.add("after", step(), deps="many")
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"big": MEBIBYTE})

    state, reason = await end_of(each_hand, workflow_id, "many")
    assert (state, f"more than {MOST} bytes" in reason) == ("discarded", True)
    assert await each_hand.states(workflow_id) == {
        "big": "completed",
        "many": "discarded",
        "one": "available",
        "after": "cancelled",
    }
    assert await each_hand.one("SELECT count(*) FROM powertools.settle_faults") == 0


async def test_a_step_whose_args_are_too_large_is_explained(hand: Hand) -> None:
    workflow = Workflow("refers")
    big = workflow.add("big", step())
    workflow.add("many", step({"all": [big.result] * 65}))
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"big": MEBIBYTE})

    explained = await hand.powertools.explain.workflow_step(workflow_id, "many")

    said = f"many was discarded at attempt 0 of 1: its args come to more than {MOST} bytes"
    assert explained.summary.startswith(said)


@pytest.mark.parametrize(
    ("over", "args", "said"),
    [
        (65, {"item": 0}, "the list to map comes to more than"),
        (1, {"item": 0, "all": 65}, "the args of an item come to more than"),
        (0, {"item": 0, "all": 1}, "the args of the 1100 items come to more than"),
    ],
    ids=["its list", "the args of each item", "the args of all items"],
)
async def test_a_map_of_too_much_fails_and_nothing_is_made_of_it(
    hand: Hand, over: int, args: dict[str, int], said: str
) -> None:
    workflow = Workflow("maps")
    big = workflow.add("big", step())
    given = {"item": Workflow.item, "all": [big.result] * args.get("all", 0)}
    workflow.map("each", Scripted, over=[big.result] * over or list(range(1100)), args=given)
    workflow.add("after", step(), deps="each")
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"big": MEBIBYTE})

    state, reason = await end_of(hand, workflow_id, "each")
    assert (state, reason.startswith(said)) == ("discarded", True)
    assert await hand.one("SELECT count(*) FROM powertools.workflows") == 1
    assert await hand.one("SELECT count(*) FROM powertools.settle_faults") == 0


async def test_a_large_item_among_small_ones_is_no_reason_to_refuse_a_map(hand: Hand) -> None:
    workflow = Workflow("maps")
    big = workflow.add("big", step())
    items = [Workflow.item] * 10
    workflow.map("each", Scripted, over=[big.result] * 8, args={"ten": items})
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"big": MEBIBYTE})

    assert await hand.states(workflow_id) == {"big": "completed", "each": "executing"}


BROKEN: Final = {
    "22P02": """["{\\"a\\": ", [0, "result", []], " is no JSON"]""",
    "22P05": """["{\\"a\\": ", [0, "result", []], ", \\"b\\": \\"\\\\u0000\\"}"]""",
}
"""Error code -> a template, as nothing but a fault of ours would store it, that settling fails with."""


@pytest.mark.parametrize("code", BROKEN)
async def test_a_fault_that_no_repetition_can_heal_fails_the_step_at_the_next_sweep(hand: Hand, code: str) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.rows("UPDATE powertools.steps SET args = NULL, template = %s::jsonb WHERE name = 's1'", BROKEN[code])
    await hand.run(workflow_id, {"s0": {"paid": 42}})
    faulted = await hand.one("SELECT sqlstate FROM powertools.settle_faults")

    swept = await hand.sweep()

    assert (faulted, swept) == (code, (1, 0))
    state, reason = await end_of(hand, workflow_id, "s0")
    assert (state, reason.startswith("what its job came to (completed) cannot be settled")) == ("discarded", True)
    assert (await hand.workflow(workflow_id)).failed_steps == ("s0", "s1")


async def test_what_the_worker_of_a_fault_that_cannot_be_healed_returned_is_kept(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.rows("UPDATE powertools.steps SET args = NULL, template = %s::jsonb WHERE name = 's1'", BROKEN["22P02"])
    await hand.run(workflow_id, {"s0": {"paid": 42}})

    await hand.sweep()

    [kept] = await hand.rows("SELECT result, state, repaired_at IS NOT NULL AS over FROM powertools.settle_faults")
    assert kept == {"result": {"json": {"paid": 42}}, "state": "completed", "over": True}
