"""What a person on call is told of where it is asked: who paused, what keeps it open, what helps first, who did it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from oban_powertools import Workflow
from oban_powertools.cli.incident_text import _together
from oban_powertools.lifeline.incidents.records import TimelineEntry
from tests.support.by_hand import Hand, chain, step
from tests.support.command import Ended, powertools
from tests.support.executing import LONG_AGO, beat, restarted, take

PRODUCER = """
INSERT INTO oban_producers (uuid, node, queue, meta)
VALUES (gen_random_uuid(), 'node-a', 'default', '{"local_limit": 5, "paused": true}')
"""


def ask(hand: Hand, *words: str) -> Ended:
    return powertools(*words, dsn=hand.dsn, COLUMNS="300")


# Who paused a queue, and why


async def paused(hand: Hand) -> str:
    workflow_id = await hand.insert(chain(1))
    await hand.rows(PRODUCER)
    ask(hand, "queue", "pause", "default", "--actor", "ada", "--reason", "the bank is down tonight")
    return str(workflow_id)


async def test_the_explanation_of_a_paused_queue_says_who_paused_it_and_why(hand: Hand) -> None:
    workflow_id = await paused(hand)

    assert "queue default is paused by ada since " in (out := ask(hand, "workflow", "explain", workflow_id, "s0").out)
    assert ": the bank is down tonight" in out


async def test_a_paused_queue_is_shown_with_who_paused_it_and_why(hand: Hand) -> None:
    await paused(hand)

    shown = ask(hand, "queues", "show", "default").out

    [line] = [line for line in shown.splitlines() if line.startswith("paused by")]
    assert "ada" in line
    assert line.endswith(": the bank is down tonight")


async def test_who_paused_it_before_it_was_resumed_is_not_told(hand: Hand) -> None:
    workflow_id = await paused(hand)
    await hand.rows("UPDATE oban_producers SET meta = meta || '{\"paused\": false}'")
    ask(hand, "queue", "resume", "default", "--actor", "ada", "--reason", "the bank is up again")
    await hand.rows("UPDATE oban_producers SET meta = meta || '{\"paused\": true}'")

    assert "queue default is paused\n" in ask(hand, "workflow", "explain", workflow_id, "s0").out
    assert "paused by" not in ask(hand, "queues", "show", "default").out


# What keeps a workflow open that was cancelled


async def test_what_still_runs_is_the_first_cause_of_a_cancelled_workflow(hand: Hand) -> None:
    workflow = Workflow("slow")
    workflow.add("a_done", step())
    workflow.add("b_tell", step(), deps=["a_done"])
    workflow.add("c_work", step())
    workflow_id = await hand.insert(workflow)
    await beat(hand, "p1")
    await take(hand, (await hand.job(workflow_id, "c_work")).id, "p1")
    await hand.workflows.request_cancel(workflow_id, actor="ada", reason="not wanted")

    explained = await hand.powertools.explain.workflow(workflow_id)

    assert explained.root_causes[0].examples[0].step == "c_work"
    assert "c_work is running" in explained.summary


# What helps first


async def orphaned(hand: Hand) -> str:
    workflow_id = await hand.insert(chain(1))
    await beat(hand, "p1")
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1")
    await hand.rows("UPDATE powertools.executors SET died_at = now(), died_seen_by = 'h'")
    return str(workflow_id)


async def test_where_nobody_serves_its_queue_a_process_comes_before_the_rescue_of_a_job(hand: Hand) -> None:
    workflow_id = await orphaned(hand)

    out = ask(hand, "workflow", "explain", workflow_id, "s0").out

    assert "next: powertools start --queues default:10" in out
    assert "or: powertools repair preview job_rescue" in out


async def test_where_another_one_serves_it_no_process_is_asked_for(hand: Hand) -> None:
    workflow_id = await orphaned(hand)
    await beat(hand, "p2")

    assert "powertools start" not in ask(hand, "workflow", "explain", workflow_id, "s0").out


async def test_a_wait_for_a_signal_leads_to_the_signals_that_nobody_took(hand: Hand) -> None:
    workflow = Workflow("expense")
    workflow.await_signal("approval", signal="approved", correlation_key="expense-1")
    workflow_id = str(await hand.insert(workflow))

    sent = ask(hand, "signal", "approved", "--key", "expnse-1")
    explained = ask(hand, "workflow", "explain", workflow_id, "approval")

    assert "next: powertools signals list" in sent.out
    assert "next: powertools signals list" in explained.out


async def test_the_doctor_names_the_nodes_whose_loops_are_blocked(hand: Hand) -> None:
    await beat(hand, "p1")
    await hand.rows("UPDATE powertools.executors SET loop_beat_at = now() - interval '5 min'")
    await hand.rows("UPDATE powertools.sweep_parts SET succeeded_at = now() - interval '2 h'")

    async with restarted(hand, LONG_AGO):
        told = ask(hand, "doctor").out

    assert "; the event loops of node-a are blocked" in told


# What many acts of one person were

START = datetime(2026, 1, 2, 3, tzinfo=UTC)


def act(seconds: int, target: str, **detail: Any) -> TimelineEntry:
    told = {"outcome": "executed", "reason": "the bank is back", "code": None, "target": target, **detail}
    return TimelineEntry(at=START + timedelta(seconds=seconds), kind="step_retry", actor="ada", detail=told)


def test_one_act_on_many_targets_is_one_line_of_a_timeline() -> None:
    timeline = [act(n, f"step {n}/work") for n in range(50)]

    [line] = _together(timeline)

    assert line.at == START
    assert line.detail["target"] == "50 targets, such as step 0/work, step 1/work, step 2/work"


def test_what_ended_otherwise_is_another_line() -> None:
    timeline = [act(0, "step 1/work"), act(1, "step 2/work", outcome="drifted"), act(2, "step 3/work")]

    assert [line.detail["target"] for line in _together(timeline)] == ["step 1/work, step 3/work", "step 2/work"]


def test_what_was_done_again_after_something_else_happened_is_another_line() -> None:
    between = TimelineEntry(at=START + timedelta(seconds=1), kind="reopened", actor=None, detail={})
    timeline = [act(0, "step 1/work"), between, act(2, "step 1/work")]

    assert _together(timeline) == timeline
