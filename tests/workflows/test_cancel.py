"""A cancel is durable evidence: what is idle ends in its transaction, what runs is told and ends as it ends."""

from datetime import timedelta
from typing import Any

import pytest
from oban import Job, Snooze

from oban_powertools import Powertools, Workflow
from oban_powertools.errors import WorkflowEndedError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, everybody_may, step
from tests.support.ledger import eventually

ASKED: Any = {"actor": "ops-1", "reason": "the customer left"}


async def some_of_everything(hand: Hand) -> WorkflowId:
    """Steps in every unfinished state, named after it."""
    workflow = Workflow("everything", on_finished=step())
    workflow.add_many({name: step(max_attempts=3) for name in ("available", "executing", "retryable", "suspended")})
    workflow.add("scheduled", step(), delay=timedelta(hours=1))
    workflow.await_signal("awaiting_signal", signal="never", correlation_key="1")
    workflow.add("pending", step(), deps="executing", on_failure="continue")
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"retryable": ValueError("x")})
    await hand.workflows.hold(workflow_id, "suspended", hold_for=timedelta(hours=1), **ASKED)
    return workflow_id


async def test_idle_steps_and_their_jobs_end_in_one_transaction_and_the_running_one_goes_on(each_hand: Hand) -> None:
    workflow_id = await some_of_everything(each_hand)
    [job] = await each_hand.start((await each_hand.job(workflow_id, "executing")).id)
    before = await each_hand.states(workflow_id)

    async with each_hand.conn.transaction():
        await each_hand.workflows.request_cancel(workflow_id, conn=each_hand.conn, **ASKED)
        outside = await each_hand.states(workflow_id)
    steps = await each_hand.steps(workflow_id)
    asked = await each_hand.workflow(workflow_id)

    assert all(name == state for name, state in before.items())
    assert outside == before
    executing = steps.pop("executing")
    assert {(s.state, s.cause) for s in steps.values()} == {("cancelled", "cancel_requested")}
    assert (executing.state, asked.state, asked.cancel_requested_at is not None) == (
        "executing",
        "cancel_requested",
        True,
    )
    assert await each_hand.rows("SELECT state::text, count(*) FROM oban_jobs GROUP BY 1 ORDER BY 2") == [
        {"state": "executing", "count": 1},
        {"state": "cancelled", "count": 4},
    ]
    await each_hand.ack(await each_hand.execute(job, "done"))
    ended = await each_hand.workflow(workflow_id)
    executing = (await each_hand.steps(workflow_id))["executing"]
    assert (executing.state, executing.cause, executing.result) == (
        "completed",
        "completed_after_cancel_request",
        "done",
    )
    assert (ended.state, ended.cancel_requested_at) == ("cancelled", asked.cancel_requested_at)
    assert await each_hand.one("SELECT meta ->> 'outcome' FROM oban_jobs WHERE meta ? 'outcome'") == "cancelled"


async def test_a_workflow_whose_running_steps_all_complete_is_completed_all_the_same(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    [job] = await hand.start((await hand.job(workflow_id, "s0")).id)

    await hand.workflows.request_cancel(workflow_id, **ASKED)
    await hand.ack(await hand.execute(job, 1))

    ended = await hand.workflow(workflow_id)
    assert (ended.state, ended.cancel_requested_at is not None) == ("completed", True)
    assert (await hand.steps(workflow_id))["s0"].cause == "completed_after_cancel_request"


@pytest.mark.parametrize("outcome", [ValueError("x"), Snooze(0), Snooze(60)], ids=["error", "snooze", "long snooze"])
@pytest.mark.parametrize("asked", ["workflow", "step"])
async def test_a_job_that_would_run_again_after_the_request_never_does(
    each_hand: Hand, asked: str, outcome: Any
) -> None:
    workflow = Workflow("again")
    workflow.add("a", step(max_attempts=5))
    workflow.add("after", step(), deps="a")
    workflow_id = await each_hand.insert(workflow)
    [job] = await each_hand.start((await each_hand.job(workflow_id, "a")).id)
    if asked == "workflow":
        await each_hand.workflows.request_cancel(workflow_id, **ASKED)
    else:
        await each_hand.workflows.recover(workflow_id, "a", "cancel", **ASKED)

    await each_hand.ack(await each_hand.execute(job, outcome))
    await each_hand.sweep()

    a = (await each_hand.steps(workflow_id))["a"]
    cause = "cancel_requested" if asked == "workflow" else "cancelled_by_operator"
    assert (a.state, a.cause, (await each_hand.job(workflow_id, "a")).state) == ("cancelled", cause, "cancelled")
    assert (await each_hand.workflow(workflow_id)).open == 0


async def test_a_job_being_fetched_right_now_is_passed_over_and_told_when_it_runs(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job_id = (await hand.job(workflow_id, "s0")).id

    async with await hand.oban._query._pool.getconn() as fetching:
        await fetching.execute("UPDATE oban_jobs SET state = 'executing' WHERE id = %s", (job_id,))
        await hand.workflows.request_cancel(workflow_id, **ASKED)
        await fetching.commit()

    assert await hand.states(workflow_id) == {"s0": "executing", "s1": "cancelled"}
    told = await hand.rows(
        (hand.powertools._services.queries["cancelled_job_ids"]).decode().replace("%(ids)s", "%s"), [job_id]
    )
    assert told == [{"id": job_id}]
    await hand.rows("UPDATE oban_jobs SET state = 'cancelled'")


@pytest.mark.parametrize("ending", [1, ValueError("x")])
async def test_an_ended_workflow_is_not_cancelled_and_the_refusal_is_kept(hand: Hand, ending: Any) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": ending})
    before = await hand.workflow(workflow_id)

    with pytest.raises(WorkflowEndedError):
        await hand.workflows.request_cancel(workflow_id, **ASKED)

    assert await hand.workflow(workflow_id) == before
    [kept] = await hand.workflows.commands(workflow_id)
    assert (kept["outcome"], kept["reason_code"], kept["legal_next_steps"]) == (
        "rejected",
        "workflow_ended",
        ["recover"],
    )


async def test_a_repeated_request_keeps_the_time_of_the_first(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    [job] = await hand.start((await hand.job(workflow_id, "s0")).id)
    await hand.workflows.request_cancel(workflow_id, **ASKED)
    first = (await hand.workflow(workflow_id)).cancel_requested_at

    await hand.workflows.request_cancel(workflow_id, **ASKED)

    assert (await hand.workflow(workflow_id)).cancel_requested_at == first
    await hand.ack(await hand.execute(job, 1))


async def test_a_worker_that_nobody_can_import_is_cancelled_like_any_other(hand: Hand) -> None:
    workflow = Workflow("gone")
    for name in ("idle", "executing"):
        job = step()
        job.worker = "no.such.module.Worker"
        workflow.add(name, job)
    workflow_id = await hand.insert(workflow)
    await hand.start((await hand.job(workflow_id, "executing")).id)

    await hand.workflows.request_cancel(workflow_id, **ASKED)
    await hand.rows("UPDATE oban_jobs SET state = 'cancelled' WHERE state = 'executing'")

    assert await hand.states(workflow_id) == {"idle": "cancelled", "executing": "cancelled"}
    assert (await hand.workflow(workflow_id)).state == "cancelled"


class UntilTold:
    """Runs until it is asked to stop."""

    async def process(self, job: Job) -> str:
        async def told() -> bool:
            return job.cancelled()

        await eventually(told)
        return "was told"


@pytest.mark.parametrize("queue", ["late", "started later"])
@pytest.mark.parametrize("command", ["request_cancel", "cancel the step"])
async def test_an_executing_worker_is_told_within_a_heartbeat_also_where_no_signal_of_oban_arrives(
    dsn: str, queue: str, command: str
) -> None:
    async with Powertools.open(
        dsn, queues={"late": 5} if queue == "late" else {}, authorize=everybody_may
    ) as powertools:
        if queue != "late":
            # Such a queue never hears of Oban's signals (oban/O11).
            await powertools.oban.start_queue(queue="late", limit=5)
        workflow = Workflow("told")
        workflow.add("a", Job("tests.workflows.test_cancel.UntilTold", queue="late"))
        handle = await powertools.workflows.insert(workflow)

        async def executing() -> bool:
            return (await powertools.workflows.steps(handle.id))[0].state == "executing"

        await eventually(executing)

        if command == "request_cancel":
            await powertools.workflows.request_cancel(handle.id, **ASKED)
        else:
            await powertools.workflows.recover(handle.id, "a", "cancel", **ASKED)
        ended = await handle.wait(timeout=timedelta(seconds=4))
        [a] = await powertools.workflows.steps(handle.id)

    assert (ended.state, a.result, a.cause) == ("completed", "was told", "completed_after_cancel_request")
