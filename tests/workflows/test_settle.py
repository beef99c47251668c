"""Steps end as their jobs do, and the graph moves in the same transaction (invariant/I1, I2)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from oban import Cancel, Record, Snooze

from oban_powertools import Workflow, WorkflowState
from tests.support.by_hand import Hand, chain, step
from tests.support.counting import count_executed


async def test_a_root_has_its_job_in_the_commit_that_stores_the_workflow(each_hand: Hand) -> None:
    workflow = Workflow("diamond")
    workflow.add("top", step())
    workflow.add_many({"left": step(), "right": step()}, deps="top")
    workflow.add("bottom", step(), deps=["left", "right"])

    workflow_id = await each_hand.insert(workflow)

    assert await each_hand.states(workflow_id) == {
        "top": "available",
        "left": "pending",
        "right": "pending",
        "bottom": "pending",
    }
    assert await each_hand.rows(
        "SELECT s.name, j.xmin = s.xmin AS same_commit FROM powertools.steps s JOIN oban_jobs j ON j.id = s.job_id"
    ) == [{"name": "top", "same_commit": True}]


async def test_a_released_job_carries_everything_its_author_gave(each_hand: Hand) -> None:
    due_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    given = step(
        {"n": 1}, queue="slow", priority=3, tags=["x", "y"], max_attempts=7, meta={"mine": [1]}, scheduled_at=due_at
    )
    workflow = Workflow("options", context={"account": 42})
    workflow.add("first", step())
    workflow.add("second", given, deps="first")
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"first": None})

    job = await each_hand.job(workflow_id, "second")
    assert (job.worker, job.args, job.queue, job.priority) == ("tests.support.by_hand.Scripted", {"n": 1}, "slow", 3)
    assert (job.tags, job.max_attempts, job.attempt, job.state) == (["x", "y"], 7, 0, "scheduled")
    assert job.scheduled_at == due_at
    assert job.meta | {"uid": None} == {
        "mine": [1],
        "workflow_id": workflow_id,
        "workflow_name": "options",
        "step": "second",
        "position": 1,
        "uid": None,
        "context": {"account": 42},
    }


async def test_a_delay_counts_from_the_release_and_a_later_schedule_wins(hand: Hand) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    workflow = Workflow("delays")
    workflow.add("first", step())
    workflow.add("delayed", step(), deps="first", delay=timedelta(minutes=5))
    workflow.add("later", step(scheduled_at=tomorrow), deps="first", delay=timedelta(minutes=5))
    workflow.add("past", step(scheduled_at=tomorrow - timedelta(days=2)), deps="first")
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"first": None})

    assert await hand.rows(
        "SELECT meta ->> 'step' AS step, state::text, scheduled_at - inserted_at AS wait FROM oban_jobs "
        "WHERE meta ->> 'step' IN ('delayed', 'past') ORDER BY 1"
    ) == [
        {"step": "delayed", "state": "scheduled", "wait": timedelta(minutes=5)},
        {"step": "past", "state": "available", "wait": timedelta(0)},
    ]
    assert (await hand.job(workflow_id, "later")).scheduled_at == tomorrow


async def test_a_completion_that_is_rolled_back_releases_nothing(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    job = await hand.job(workflow_id, "s0")

    async with hand.conn.transaction(force_rollback=True):
        await hand.rows("UPDATE oban_jobs SET state = 'completed' WHERE id = %s", job.id)
        inside = await hand.rows("SELECT name, state FROM powertools.steps ORDER BY position")

    assert inside == [{"name": "s0", "state": "completed"}, {"name": "s1", "state": "available"}]
    assert await hand.states(workflow_id) == {"s0": "available", "s1": "pending"}
    assert await hand.one("SELECT count(*) FROM oban_jobs") == 1


async def test_each_child_has_one_job_that_names_its_workflow_and_step(each_hand: Hand) -> None:
    workflow = Workflow("fan")
    workflow.add("root", step())
    workflow.add_many({"a": step(), "b": step(), "c": step()}, deps="root")
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"root": None})

    assert await each_hand.rows(
        "SELECT (meta -> 'workflow_id')::bigint AS workflow, meta ->> 'step' AS step, attempt FROM oban_jobs "
        "WHERE state = 'available' ORDER BY 2"
    ) == [{"workflow": workflow_id, "step": name, "attempt": 0} for name in "abc"]


async def test_references_are_plain_args_when_the_child_is_released(each_hand: Hand) -> None:
    workflow = Workflow("references")
    a = workflow.add("a", step())
    b = workflow.add("b", step())
    referring = {
        "all": a.result,
        "parts": [a.result["list"][1], {"deep": a.result["map"]["x"]}],
        "last": a.result["list"][-1],
        "missing": a.result["no"]["where"],
        "beyond": a.result["list"][9],
        "scalar": b.result["x"],
        "b": b.result,
    }
    workflow.add("c", step(referring))
    workflow_id = await each_hand.insert(workflow)
    result = {"list": [1, "zwei", 3.5], "map": {"x": 'quote " and \\ backslash\n'}}

    await each_hand.run(workflow_id, {"a": result, "b": "text"})

    assert (await each_hand.job(workflow_id, "c")).args == {
        "all": result,
        "parts": ["zwei", {"deep": 'quote " and \\ backslash\n'}],
        "last": 3.5,
        "missing": None,
        "beyond": None,
        "scalar": None,
        "b": "text",
    }


async def test_a_failed_parent_on_a_continue_edge_resolves_to_null_and_shows_its_error(each_hand: Hand) -> None:
    workflow = Workflow("handled")
    a = workflow.add("a", step())
    workflow.add(
        "b", step({"result": a.result["x"], "error": a.error["error"], "whole": a.error}), on_failure="continue"
    )
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"a": ValueError("no luck")})

    args = (await each_hand.job(workflow_id, "b")).args
    assert args["result"] is None
    assert "ValueError: no luck" in args["error"]
    assert args["whole"].keys() == {"attempt", "at", "error", "class", "text"}


async def test_no_result_and_a_null_result_are_told_apart(each_hand: Hand) -> None:
    workflow = Workflow("nulls")
    workflow.add_many({"none": step(), "null": step(), "false": step()})
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"none": None, "null": Record(None), "false": False})

    steps = await each_hand.steps(workflow_id)
    assert {s.name: (s.has_result, s.result) for s in steps.values()} == {
        "none": (False, None),
        "null": (True, None),
        "false": (True, False),
    }
    assert await each_hand.workflows.results(workflow_id) == {"none": None, "null": None, "false": False}


async def test_an_error_with_attempts_left_leaves_the_children_waiting_until_a_success(each_hand: Hand) -> None:
    workflow = Workflow("retry")
    workflow.add("a", step(max_attempts=2))
    workflow.add("b", step(), deps="a")
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"a": ValueError("once")})
    after_error = await each_hand.states(workflow_id)
    error = (await each_hand.steps(workflow_id))["a"].error
    await each_hand.run(workflow_id, {"a": 7})

    assert after_error == {"a": "retryable", "b": "pending"}
    assert "ValueError: once" in error["error"]
    a = (await each_hand.steps(workflow_id))["a"]
    assert (a.state, a.attempt, a.result, a.error) == ("completed", 2, 7, None)
    assert (await each_hand.states(workflow_id))["b"] == "available"


async def test_a_snoozed_step_is_neither_ended_nor_failed(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(2))

    await each_hand.run(workflow_id, {"s0": Snooze(60)})

    assert await each_hand.states(workflow_id) == {"s0": "scheduled", "s1": "pending"}
    record = await each_hand.workflow(workflow_id)
    assert (record.state, record.open, record.failed) == (WorkflowState.RUNNING, 2, 0)
    assert (await each_hand.steps(workflow_id))["s0"].attempt == 0


async def test_a_discarded_step_keeps_its_error_and_cancels_what_hangs_on_it(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(3))

    await each_hand.run(workflow_id, {"s0": ValueError("for good")})

    steps = await each_hand.steps(workflow_id)
    assert {s.name: (s.state, s.cause) for s in steps.values()} == {
        "s0": ("discarded", None),
        "s1": ("cancelled", "cancelled_by_dependency"),
        "s2": ("cancelled", "cancelled_by_dependency"),
    }
    assert "ValueError: for good" in steps["s0"].error["error"]
    assert (steps["s0"].error["attempt"], steps["s0"].result) == (1, None)
    record = await each_hand.workflow(workflow_id)
    assert (record.state, record.failed_steps, record.failures_handled) == ("failed", ("s0", "s1", "s2"), False)
    assert record.finished_at is not None


async def test_a_worker_that_returns_cancel_cancels_its_step_with_the_reason(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(2))

    await each_hand.run(workflow_id, {"s0": Cancel("not needed")})

    steps = await each_hand.steps(workflow_id)
    assert (steps["s0"].state, steps["s0"].cause, steps["s0"].error["error"]) == ("cancelled", None, "not needed")
    assert (steps["s1"].state, steps["s1"].cause) == ("cancelled", "cancelled_by_dependency")
    assert (await each_hand.workflow(workflow_id)).failed_steps == ("s0", "s1")


async def test_a_continue_edge_is_satisfied_by_any_end_of_its_parent(each_hand: Hand) -> None:
    workflow = Workflow("whatever")
    workflow.add_many({"fails": step(), "cancels": step(), "works": step()})
    workflow.add("doomed", step(), deps="fails")
    workflow.add("after", step(), deps=["fails", "cancels", "works", "doomed"], on_failure="continue")
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"fails": ValueError("x"), "cancels": Cancel("y")})
    before_the_last = await each_hand.states(workflow_id)
    await each_hand.run(workflow_id, {"works": 1})

    assert before_the_last["after"] == "pending"
    assert (await each_hand.states(workflow_id))["after"] == "available"


async def test_one_failed_cancel_edge_outweighs_every_continue_edge(each_hand: Hand) -> None:
    workflow = Workflow("outweighed")
    workflow.add_many({"a": step(), "b": step()})
    workflow.add("c", step(), deps={"a": "continue", "b": "cancel"})
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"b": ValueError("x")})

    assert await each_hand.states(workflow_id) == {"a": "available", "b": "discarded", "c": "cancelled"}
    await each_hand.run(workflow_id, {"a": 1})


async def test_a_success_without_a_result_satisfies_a_cancel_edge(each_hand: Hand) -> None:
    workflow = Workflow("nothing to say")
    a = workflow.add("a", step())
    workflow.add("b", step({"x": a.result["y"]}))
    workflow_id = await each_hand.insert(workflow)

    await each_hand.run(workflow_id, {"a": None})

    assert (await each_hand.job(workflow_id, "b")).args == {"x": None}


@pytest.mark.parametrize("attempts", [1, 3])
async def test_the_same_completion_delivered_again_changes_nothing(each_hand: Hand, attempts: int) -> None:
    workflow_id = await each_hand.insert(chain(2))
    [job] = await each_hand.start((await each_hand.job(workflow_id, "s0")).id)
    ack = await each_hand.execute(job, {"first": True})
    first = await each_hand.ack(ack)
    before = await each_hand.steps(workflow_id)

    again = [await each_hand.ack(ack) for _ in range(attempts)]

    assert (first, again) == ([job.id], [[]] * attempts)
    assert await each_hand.steps(workflow_id) == before
    assert await each_hand.one("SELECT count(*) FROM oban_jobs") == 2


async def test_a_batch_over_several_workflows_moves_each_of_them(each_hand: Hand) -> None:
    ids = [await each_hand.insert(chain(2)) for _ in range(5)]
    jobs = [await each_hand.job(workflow_id, "s0") for workflow_id in ids]
    started = await each_hand.start(*[job.id for job in jobs])
    acks = [await each_hand.execute(job, ValueError("odd") if n % 2 else n) for n, job in enumerate(started)]

    await each_hand.ack(*acks[::-1])

    states = [await each_hand.states(workflow_id) for workflow_id in ids]
    moved, ended = {"s0": "completed", "s1": "available"}, {"s0": "discarded", "s1": "cancelled"}
    assert states == [moved, ended, moved, ended, moved]
    assert [(await each_hand.workflows.results(workflow_id))["s0"] for workflow_id in ids[::2]] == [0, 2, 4]


async def test_a_chain_of_1000_is_cancelled_in_one_command(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(chain(1000))

    await each_hand.run(workflow_id, {"s0": ValueError("x")})

    assert list((await each_hand.states(workflow_id)).values()) == ["discarded"] + ["cancelled"] * 999
    record = await each_hand.workflow(workflow_id)
    assert (record.state, record.open, record.failed, record.cancelled) == ("failed", 0, 1, 999)
    assert len(record.failed_steps) == 1000


async def test_a_fan_in_of_1000_ends_once(hand: Hand) -> None:
    workflow = Workflow("fan in", on_finished=step())
    parents = workflow.add_many({f"p{n}": step() for n in range(1000)})
    workflow.add("last", step(), deps=parents)
    workflow_id = await hand.insert(workflow)
    jobs = await hand.rows("SELECT id FROM oban_jobs ORDER BY id")
    started = await hand.start(*[job["id"] for job in jobs])
    acks = [await hand.execute(job, None) for job in started]

    for batch in range(0, 1000, 250):
        await hand.ack(*acks[batch : batch + 250])
    await hand.run(workflow_id, {"last": None})

    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE meta ->> 'step' = 'last'") == 1
    assert await hand.one("SELECT count(*) FROM oban_jobs WHERE meta ? 'outcome'") == 1
    assert (await hand.workflow(workflow_id)).state == "completed"


async def test_settle_runs_the_same_number_of_statements_for_any_fan_out_batch_and_cascade(hand: Hand) -> None:
    async def executed(width: int) -> tuple[int, ...]:
        workflow = Workflow("wide")
        workflow.add("root", step())
        workflow.add_many({f"a{n}": step() for n in range(width)}, deps="root")
        workflow.add_many({f"b{n}": step() for n in range(width)}, deps="a0")
        workflow_id = await hand.insert(workflow)
        counts: list[int] = []
        for ended, state in (("root", "completed"), ("a%", "discarded")):
            async with count_executed(hand.conn) as plans:
                await hand.rows(
                    "UPDATE oban_jobs SET state = %s::oban_job_state WHERE (meta ->> 'workflow_id')::bigint = %s "
                    "AND meta ->> 'step' LIKE %s",
                    state,
                    workflow_id,
                    ended,
                )
            counts.append(len(plans))
        assert (await hand.workflow(workflow_id)).state == "failed"
        return tuple(counts)

    narrow = await executed(10)

    assert await executed(1000) == narrow
    assert all(1 < count < 45 for count in narrow)


@pytest.mark.parametrize(
    ("outcome", "state", "handled"),
    [(1, "completed", None), (ValueError("x"), "failed", True), (Cancel("y"), "failed", True)],
)
async def test_the_workflow_ends_with_its_last_step(
    each_hand: Hand, outcome: Any, state: str, handled: bool | None
) -> None:
    workflow = Workflow("ends")
    workflow.add("a", step())
    workflow.add("b", step(), deps="a", on_failure="continue")
    workflow_id = await each_hand.insert(workflow)
    await each_hand.run(workflow_id, {"a": outcome})
    running = await each_hand.workflow(workflow_id)

    await each_hand.run(workflow_id, {"b": None})

    record = await each_hand.workflow(workflow_id)
    assert (running.state, running.finished_at, running.failures_handled) == ("running", None, None)
    assert (record.state, record.open, record.failures_handled) == (state, 0, handled)
    assert record.finished_at is not None and record.finished_at >= record.inserted_at
