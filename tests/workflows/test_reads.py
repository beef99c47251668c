"""What is stored is read back as records, and waited for by asking the database (invariant/I5)."""

import asyncio
from datetime import timedelta

import pytest

from oban_powertools import StepState, Workflow, WorkflowState
from oban_powertools.errors import WaitTimeoutError, WorkflowNotFoundError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step

MISSING = WorkflowId(123456)


def named(name: str, *tags: str) -> Workflow:
    workflow = Workflow(name, tags=tags)
    workflow.add("a", step())
    return workflow


async def test_workflows_are_listed_newest_first_by_state_name_and_tag(hand: Hand) -> None:
    handles = await hand.workflows.insert_many([named("x", "red"), named("y"), named("x", "red", "blue"), named("z")])
    first, second, third, fourth = [handle.id for handle in handles]
    await hand.run_all(second)

    async def ids(**filters: object) -> list[int]:
        return [record.id for record in await hand.workflows.list(**filters)]  # pyright: ignore[reportArgumentType]

    assert await ids() == [fourth, third, second, first]
    assert await ids(name="x") == [third, first]
    assert await ids(tag="blue") == [third]
    assert await ids(state=WorkflowState.COMPLETED) == [second]
    assert await ids(state=WorkflowState.RUNNING, name="x", tag="red") == [third, first]
    assert await ids(limit=2) == [fourth, third]
    assert await ids(limit=2, before=third) == [second, first]
    assert await ids(before=first) == []


async def test_a_page_has_at_most_1000_workflows(hand: Hand) -> None:
    await hand.workflows.insert_many([named("many") for _ in range(1001)])

    assert len(await hand.workflows.list(limit=5000)) == 1000


async def test_steps_are_read_in_position_order_with_their_parents_by_name(hand: Hand) -> None:
    workflow = Workflow("order")
    workflow.add("last", step({"x": Workflow.result("zero")["k"][0]}), deps={"mid": "continue"})
    workflow.add("mid", step())
    workflow.add("zero", step(), effects="repeatable")
    workflow_id = await hand.insert(workflow)

    last, mid, zero = await hand.workflows.steps(workflow_id)

    assert (last.name, last.deps, last.pending, last.depth) == ("last", {"mid": "continue", "zero": "cancel"}, 2, 1)
    assert (last.state, last.args) == (StepState.PENDING, {"x": {"$result": ["zero", "k", "0"]}})
    assert (mid.state, mid.deps, mid.worker, mid.queue) == (
        "available",
        {},
        "tests.support.by_hand.Scripted",
        "default",
    )
    assert (zero.effects, zero.max_attempts, zero.attempt) == ("repeatable", 1, 0)
    assert last.job_id is None and mid.job_id is not None and mid.released_at is not None


@pytest.mark.parametrize("state", ["scheduled", "executing", "retryable"])
async def test_a_step_with_a_live_job_shows_the_jobs_own_state(hand: Hand, state: str) -> None:
    workflow_id = await hand.insert(chain(1))

    await hand.rows("UPDATE oban_jobs SET state = %s::oban_job_state, attempt = 1", state)

    [record] = await hand.workflows.steps(workflow_id)
    assert (record.state, record.attempt) == (state, 1)


async def test_what_is_missing_is_found_as_none_or_refused(hand: Hand) -> None:
    assert await hand.workflows.find(MISSING) is None
    for read in (hand.workflows.get, hand.workflows.steps, hand.workflows.results, hand.workflows.wait):
        with pytest.raises(WorkflowNotFoundError, match="workflow 123456 does not exist"):
            await read(MISSING)


async def test_everybody_who_waits_for_a_workflow_gets_its_end(hand: Hand) -> None:
    handle, other = await hand.workflows.insert_many([chain(1), chain(1)])
    waiting = [asyncio.create_task(handle.wait(timedelta(seconds=10))) for _ in range(3)]
    impatient = asyncio.create_task(other.wait(timedelta(milliseconds=50)))

    with pytest.raises(WaitTimeoutError, match=r"has not ended after 0:00:00\.05"):
        await impatient
    still_waiting = [task.done() for task in waiting]
    await hand.run_all(handle.id)

    assert still_waiting == [False] * 3
    assert {(await task).state for task in waiting} == {"completed"}
    assert (await handle.wait()).id == handle.id


async def test_a_wait_that_is_cancelled_disturbs_no_other(hand: Hand) -> None:
    handle = await hand.workflows.insert(chain(1))
    cancelled, waiting = [asyncio.create_task(handle.wait()) for _ in range(2)]
    await asyncio.wait([cancelled], timeout=0.02)

    cancelled.cancel()
    await asyncio.wait([cancelled])
    await hand.run_all(handle.id)

    assert cancelled.cancelled()
    assert (await asyncio.wait_for(waiting, 10)).state == "completed"
