"""A running step adds steps to its own workflow: stored in the transaction that completes it, or not at all."""

from collections.abc import Callable
from typing import Any

import pytest
from oban import Job, Snooze
from oban.decorators import job

from oban_powertools import Workflow, current_step
from oban_powertools.states import WorkflowId
from tests.support.breaking import refusing
from tests.support.by_hand import Hand, step

ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}


class Calling:
    """A worker that runs the function the test gives."""

    async def process(self, job: Job) -> Any:
        return job.extra["outcome"]()


@job(queue="default", max_attempts=1)
def each(item: Any) -> None:
    """Never run: by_hand ends its jobs."""


def growing(**options: Any) -> Workflow:
    """grow -> after"""
    workflow = Workflow("growing", **options)
    workflow.add("grow", Job("tests.workflows.test_append.Calling", max_attempts=3))
    workflow.add("after", step(), deps="grow")
    return workflow


def two_more() -> str:
    """Appends first, on the running step, and second, with the results of both."""
    grow = current_step()
    first = grow.append("first", step({"own": Workflow.result("grow")}, queue="slow", priority=2))
    grow.append("second", step({"x": first.result["n"], "e": first.error}), deps={"first": "continue"})
    return "grown"


async def grown(hand: Hand, grows: Callable[[], Any] = two_more, **options: Any) -> WorkflowId:
    workflow_id = await hand.insert(growing(**options))
    await hand.run(workflow_id, {"grow": grows})
    return workflow_id


async def test_appended_steps_come_with_the_completion_and_run_behind_it(each_hand: Hand) -> None:
    workflow_id = await grown(each_hand)

    first = await each_hand.job(workflow_id, "first")
    assert await each_hand.states(workflow_id) == {
        "grow": "completed",
        "after": "available",
        "first": "available",
        "second": "pending",
    }
    assert (first.args, first.queue, first.priority) == ({"own": "grown"}, "slow", 2)
    workflow = await each_hand.workflow(workflow_id)
    assert (workflow.total, workflow.open) == (4, 3)
    assert [s.depth for s in (await each_hand.steps(workflow_id)).values()] == [0, 1, 1, 2]


async def test_references_between_appended_steps_are_resolved_and_the_workflow_ends_with_the_last(
    each_hand: Hand,
) -> None:
    workflow_id = await grown(each_hand, on_finished=step())
    await each_hand.run(workflow_id, {"after": None})
    running = (await each_hand.workflow(workflow_id)).state
    await each_hand.run(workflow_id, {"first": {"n": 7}})

    assert (await each_hand.job(workflow_id, "second")).args == {"x": 7, "e": None}
    await each_hand.run(workflow_id, {"second": None})
    assert (running, (await each_hand.workflow(workflow_id)).state) == ("running", "completed")
    assert await each_hand.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'outcome'") == 1


async def test_policies_of_appended_edges_hold(hand: Hand) -> None:
    workflow_id = await grown(hand)

    await hand.run(workflow_id, {"first": ValueError("no")})

    assert (await hand.job(workflow_id, "second")).args["x"] is None
    assert (await hand.steps(workflow_id))["second"].deps == {"first": "continue"}


@pytest.mark.parametrize("outcome", [ValueError("x"), Snooze(60)])
async def test_an_attempt_that_does_not_complete_appends_nothing(each_hand: Hand, outcome: Any) -> None:
    def fails() -> Any:
        two_more()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    workflow_id = await grown(each_hand, fails)
    before = list(await each_hand.states(workflow_id))
    await each_hand.run(workflow_id, {"grow": two_more})

    assert before == ["grow", "after"]
    assert list(await each_hand.states(workflow_id)) == ["grow", "after", "first", "second"]


async def test_a_completion_that_is_refused_appends_nothing(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(growing())
    [job] = await each_hand.start((await each_hand.job(workflow_id, "grow")).id)
    late = await each_hand.execute(job, two_more)
    await each_hand.workflows.complete_step(workflow_id, "grow")

    await each_hand.ack(late)

    assert list(await each_hand.states(workflow_id)) == ["grow", "after"]


async def test_a_name_that_is_taken_fails_the_step_and_adds_nothing(each_hand: Hand) -> None:
    def takes() -> None:
        current_step().append("new", step())
        current_step().append("after", step())

    workflow_id = await grown(each_hand, takes)

    grow = (await each_hand.steps(workflow_id))["grow"]
    assert (grow.state, grow.result) == ("discarded", None)
    assert grow.error["error"] == "append refused: the workflow has a step after already"
    assert await each_hand.states(workflow_id) == {"grow": "discarded", "after": "cancelled"}


@pytest.mark.parametrize("fault", ["name", "json", "reference"])
async def test_a_faulty_step_fails_the_attempt_and_says_why(hand: Hand, fault: str) -> None:
    def faulty() -> None:
        match fault:
            case "name":
                current_step().append("a", step())
                current_step().append("a", step())
            case "json":
                current_step().append("a", step({"x": {1}}))
            case _:
                current_step().append("a", step({"x": Workflow.result("nobody")}))

    workflow_id = await grown(hand, faulty)

    grow = (await hand.steps(workflow_id))["grow"]
    code = {"name": "duplicate_step_name", "json": "non_serializable", "reference": "unknown_reference"}[fault]
    assert (grow.state, code in grow.error["error"]) == ("retryable", True)


async def test_steps_that_were_appended_append_in_their_turn(hand: Hand) -> None:
    def again() -> None:
        name = current_step().step
        current_step().append(f"{name}+", Job("tests.workflows.test_append.Calling"))

    workflow_id = await grown(hand, again)
    for name in ("grow+", "grow++"):
        await hand.run(workflow_id, {name: again})

    steps = (await hand.steps(workflow_id)).values()
    assert [(s.name, s.depth) for s in steps] == [
        ("grow", 0),
        ("after", 1),
        ("grow+", 1),
        ("grow++", 2),
        ("grow+++", 3),
    ]


async def test_two_steps_that_append_in_one_batch_get_places_of_their_own(each_hand: Hand) -> None:
    workflow = Workflow("two")
    for name in "ab":
        workflow.add(name, Job("tests.workflows.test_append.Calling"))
    workflow_id = await each_hand.insert(workflow)

    def one() -> None:
        current_step().append(f"of {current_step().step}", step())

    await each_hand.run(workflow_id, {"a": one, "b": one})

    assert await each_hand.states(workflow_id) == {
        "a": "completed",
        "b": "completed",
        "of a": "available",
        "of b": "available",
    }


async def test_nothing_is_added_to_a_workflow_that_is_being_cancelled(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(growing())
    [job] = await each_hand.start((await each_hand.job(workflow_id, "grow")).id)
    await each_hand.workflows.request_cancel(workflow_id, **ASKED)

    await each_hand.ack(await each_hand.execute(job, two_more))

    assert await each_hand.states(workflow_id) == {"grow": "completed", "after": "cancelled"}
    assert (await each_hand.steps(workflow_id))["grow"].result == "grown"
    assert (await each_hand.workflow(workflow_id)).state == "cancelled"


async def test_a_step_that_appended_and_is_cascaded_over_comes_back_with_what_it_brought(hand: Hand) -> None:
    workflow_id = await grown(hand, lambda: current_step().append("a", step(), deps="grow") and None)
    await hand.run(workflow_id, {"a": ValueError("x"), "after": 1})

    await hand.workflows.recover(workflow_id, **ASKED)

    assert await hand.states(workflow_id) == {"grow": "completed", "after": "completed", "a": "available"}


async def test_what_an_item_of_a_map_appends_belongs_to_the_map_and_is_no_item(hand: Hand) -> None:
    workflow = Workflow("mapped")
    items = workflow.map("each", each, over=[1, 2])
    workflow.add("after", step({"all": items.result}))
    workflow_id = await hand.insert(workflow)
    child_id = (await hand.steps(workflow_id))["each"].child_id
    assert child_id is not None
    await hand.rows("UPDATE oban_jobs SET worker = 'tests.workflows.test_append.Calling'")

    def more() -> str:
        current_step().append("more", step())
        return "item"

    await hand.run(child_id, {"each[0]": more, "each[1]": lambda: "other"})
    waiting = await hand.states(workflow_id)
    await hand.run(child_id, {"more": "not in the list"})

    assert waiting == {"each": "executing", "after": "pending"}
    assert (await hand.job(workflow_id, "after")).args == {"all": ["item", "other"]}


async def test_a_completion_whose_settling_faulted_appends_when_the_sweep_settles_it(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(growing())
    async with refusing(each_hand, "powertools.steps", "INSERT", "NEW.name = 'second'"):
        await each_hand.run(workflow_id, {"grow": two_more})
        faulted = list(await each_hand.states(workflow_id))

    await each_hand.rows("UPDATE powertools.settle_faults SET last_fault_at = now() - interval '1 hour'")
    await each_hand.sweep()

    assert faulted == ["grow", "after"]
    assert list(await each_hand.states(workflow_id)) == ["grow", "after", "first", "second"]
