"""complete_step: a step that runs outside Oban ends with its job, once, or the command is refused."""

import asyncio
import pickle
from typing import Any

import psycopg
import pytest
from oban import Cancel

from oban_powertools import Workflow
from oban_powertools.errors import (
    AlreadyTerminalError,
    PowertoolsError,
    StepNotFoundError,
    StepNotReleasedError,
    UnknownStatusError,
    UnstorableValueError,
    UnsupportedSemanticsError,
    WorkflowNotFoundError,
)
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step


async def referring(hand: Hand) -> WorkflowId:
    workflow = Workflow("outside")
    a = workflow.add("a", step())
    workflow.add("b", step({"x": a.result, "error": a.error}), on_failure="continue")
    return await hand.insert(workflow)


@pytest.mark.parametrize("payload", [{"total": 1.5}, [], 0, False, "ü"])
async def test_completing_a_step_stores_its_result_ends_its_job_and_releases_its_children(
    each_hand: Hand, payload: Any
) -> None:
    workflow_id = await referring(each_hand)

    await each_hand.workflows.complete_step(workflow_id, "a", payload=payload)

    job = await each_hand.job(workflow_id, "a")
    assert (job.state, job.completed_at is not None) == ("completed", True)
    assert await each_hand.workflows.results(workflow_id) == {"a": payload}
    assert (await each_hand.job(workflow_id, "b")).args == {"x": payload, "error": None}


async def test_completing_without_a_payload_leaves_no_result(hand: Hand) -> None:
    workflow_id = await referring(hand)

    await hand.workflows.complete_step(workflow_id, "a")

    assert not (await hand.steps(workflow_id))["a"].has_result


@pytest.mark.parametrize("status", ["discarded", "cancelled"])
async def test_failing_a_step_keeps_the_payload_as_its_error(hand: Hand, status: str) -> None:
    workflow_id = await referring(hand)

    await hand.workflows.complete_step(workflow_id, "a", status=status, payload="out of paper")

    a = (await hand.steps(workflow_id))["a"]
    assert (a.state, a.result, a.error) == (status, None, {"error": "out of paper"})
    assert (await hand.job(workflow_id, "b")).args == {"x": None, "error": {"error": "out of paper"}}


async def test_a_step_may_be_completed_while_its_job_runs_whose_late_ack_is_refused(each_hand: Hand) -> None:
    workflow_id = await referring(each_hand)
    [job] = await each_hand.start((await each_hand.job(workflow_id, "a")).id)
    late = await each_hand.execute(job, "late")

    await each_hand.workflows.complete_step(workflow_id, "a", payload="first")

    assert await each_hand.ack(late) == []
    assert await each_hand.workflows.results(workflow_id) == {"a": "first"}


async def test_the_last_step_completed_from_outside_ends_the_workflow(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1, on_finished=step()))

    await hand.workflows.complete_step(workflow_id, "s0", payload=1)

    assert (await hand.workflow(workflow_id)).state == "completed"
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'outcome'") == 1


async def test_an_unknown_workflow_and_an_unknown_step_are_told_apart(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(WorkflowNotFoundError, match=r"workflow 123456 does not exist.*powertools workflow list"):
        await hand.workflows.complete_step(WorkflowId(123456), "s0")
    with pytest.raises(StepNotFoundError, match=r"has no step 'nowhere'.*lists its steps"):
        await hand.workflows.complete_step(workflow_id, "nowhere")


async def test_an_unknown_status_is_refused_and_the_children_stay_blocked(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    with pytest.raises(UnknownStatusError, match="'done' is unknown; expected one of: completed, discarded, cancelled"):
        await hand.workflows.complete_step(workflow_id, "s0", status="done")

    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending"}


async def test_a_step_that_is_not_released_is_refused_with_what_it_waits_for(hand: Hand) -> None:
    workflow = Workflow("waiting")
    workflow.add_many({"a": step(), "b": step(), "c": step()})
    workflow.add("last", step(), deps={"a": "cancel", "b": "continue", "c": "cancel"})
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"c": None})

    with pytest.raises(StepNotReleasedError, match="not released, it waits for: a, b"):
        await hand.workflows.complete_step(workflow_id, "last")

    assert (await hand.states(workflow_id))["last"] == "pending"


@pytest.mark.parametrize("ended", [None, ValueError("x"), Cancel("y")], ids=["completed", "discarded", "cancelled"])
async def test_a_step_that_has_ended_keeps_its_outcome(each_hand: Hand, ended: Any) -> None:
    workflow_id = await each_hand.insert(chain(2))
    await each_hand.run(workflow_id, {"s0": ended})
    before = await each_hand.steps(workflow_id)

    for status in ("completed", "discarded", "cancelled"):
        with pytest.raises(AlreadyTerminalError, match=f"already {before['s0'].state}"):
            await each_hand.workflows.complete_step(workflow_id, "s0", status=status, payload=1)

    assert await each_hand.steps(workflow_id) == before


async def test_a_payload_that_cannot_be_stored_is_refused_with_its_path(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    limit = hand.powertools.settings.payload_limit

    for payload, said in (({"x": {1}}, "payload.x: set"), ("\0", "NUL"), ("y" * limit, "payload_too_large")):
        with pytest.raises(UnstorableValueError, match=said):
            await hand.workflows.complete_step(workflow_id, "s0", payload=payload)

    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_the_limit_counts_bytes_not_characters(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(UnstorableValueError, match="1048578 bytes"):
        await hand.workflows.complete_step(
            workflow_id, "s0", payload="é" * (hand.powertools.settings.payload_limit // 2)
        )


async def test_a_workflow_of_another_semantics_version_is_readable_and_refused(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.rows("UPDATE powertools.workflows SET semantics_version = 1")

    with pytest.raises(UnsupportedSemanticsError, match="semantics version 1, this release changes only version 2"):
        await hand.workflows.complete_step(workflow_id, "s0")

    assert (await hand.workflow(workflow_id)).semantics_version == 1
    assert await hand.states(workflow_id) == {"s0": "available"}


async def test_conn_joins_the_callers_transaction(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    async with await psycopg.AsyncConnection.connect(hand.dsn) as conn:
        await hand.workflows.complete_step(workflow_id, "s0", payload=1, conn=conn)
        before_commit = await hand.states(workflow_id)
        await conn.rollback()
        rolled_back = await hand.states(workflow_id)
        await hand.workflows.complete_step(workflow_id, "s0", payload=2, conn=conn)
        await conn.commit()

    assert before_commit == rolled_back == {"s0": "available", "s1": "pending"}
    assert await hand.workflows.results(workflow_id) == {"s0": 2}


async def test_of_two_completions_at_once_one_is_refused(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))

    async with await psycopg.AsyncConnection.connect(hand.dsn) as conn:
        await hand.workflows.complete_step(workflow_id, "s0", payload="first", conn=conn)
        second = asyncio.create_task(hand.workflows.complete_step(workflow_id, "s0", payload="second"))
        await hand.until_waiting(1)
        await conn.commit()

    with pytest.raises(AlreadyTerminalError, match="already completed"):
        await second
    assert await hand.workflows.results(workflow_id) == {"s0": "first"}


@pytest.mark.parametrize(
    "error",
    [
        WorkflowNotFoundError(1),
        StepNotFoundError(1, "a"),
        AlreadyTerminalError(1, "a", "completed"),
        StepNotReleasedError(1, "b", ["a"]),
        UnknownStatusError("x", ["y"]),
        UnsupportedSemanticsError(1, 9),
    ],
)
def test_a_refusal_has_a_stable_code_and_survives_pickling(error: PowertoolsError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), again.code) == (type(error), str(error), error.code)
    assert error.code not in ("powertools_error", "command_refused", "not_found")
