"""The history of a workflow: everything in one timeline, in order and in pages, waiting told apart from working."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from oban_powertools import Workflow, open_calls
from oban_powertools.errors import InvalidArgumentError, StepNotFoundError, WorkflowNotFoundError
from oban_powertools.states import HistoryKind, StepPhase, WorkflowId
from oban_powertools.workflows.history import History, HistoryEntry, StepTimes
from tests.support.by_hand import Hand, chain, step
from tests.support.counting import count_sent
from tests.support.executing import die, rescue, take

ADA: Any = {"actor": "ada", "reason": "billing is back"}
SECOND = timedelta(seconds=1)
INCIDENT = """
INSERT INTO powertools.incidents (fingerprint, class, state, subject_type, subject_id, title, count, evidence,
  waiting_workflows, waiting_steps, first_detected_at, opened_at, last_detected_at, resolved_at)
VALUES ('failing_jobs:a:b', 'failing_jobs', 'resolved', 'worker', 'a', 'jobs of a fail', 1,
  jsonb_build_object('id_type', 'job', 'ids', jsonb_build_array(%s::bigint)), 0, 0, now(), now(), now(), now())
RETURNING id
"""
ENTRY = "INSERT INTO powertools.incident_entries (incident_id, kind, detail) VALUES (%s, %s, %s::jsonb)"
SHIFT = "UPDATE powertools.events SET at = at + %s * interval '1 s' WHERE workflow_id = %s AND number >= %s"


async def history(hand: Hand, workflow_id: WorkflowId, **asked: Any) -> History:
    return await hand.workflows.history(workflow_id, **asked)


async def changes(hand: Hand, workflow_id: WorkflowId, **asked: Any) -> list[tuple[str | None, str]]:
    return [(entry.step, entry.change) for entry in (await history(hand, workflow_id, **asked)).entries]


def times_of(page: History, name: str) -> StepTimes:
    [times] = [each for each in page.times if each.step == name]
    return times


def rounded(times: StepTimes) -> dict[str, int]:
    names = ("dependencies", "time", "queue", "signal", "work", "retry")
    seconds = {name: round(getattr(times, f"{name}_for").total_seconds()) for name in names}
    return {name: value for name, value in seconds.items() if value}


async def retried_and_finished(hand: Hand) -> WorkflowId:
    """fetch fails once and completes, then notify completes."""
    workflow = Workflow("sync")
    workflow.add("fetch", step(max_attempts=2))
    workflow.add("notify", step(), deps=["fetch"])
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"fetch": ValueError("no account 42, password=hunter2")})
    await hand.run(workflow_id, {"fetch": 1})
    await hand.run(workflow_id, {"notify": 2})
    return workflow_id


async def stretched(hand: Hand, workflow_id: WorkflowId) -> None:
    """As if fetch had waited 10 s in its queue, worked 20 s, waited 40 s to be tried again, and worked 80 s."""
    rows = await hand.rows("SELECT number FROM powertools.events WHERE workflow_id = %s ORDER BY number", workflow_id)
    for row, seconds in zip(rows[1:5], (10, 20, 40, 80), strict=True):
        await hand.rows(SHIFT, seconds, workflow_id, row["number"])


async def test_every_change_of_every_step_stands_in_the_order_of_time(hand: Hand) -> None:
    workflow_id = await retried_and_finished(hand)

    page = await history(hand, workflow_id)

    assert [(entry.step, entry.change) for entry in page.entries] == [
        (None, "inserted"),
        ("fetch", "released"),
        ("fetch", "started"),
        ("fetch", "retrying"),
        ("fetch", "started"),
        ("fetch", "completed"),
        ("notify", "released"),
        ("notify", "started"),
        ("notify", "completed"),
        (None, "finished"),
    ]
    assert [entry.at for entry in page.entries] == sorted(entry.at for entry in page.entries)
    assert (page.known_from, page.jobs_gone, page.next_after) == (None, 0, None)


async def test_waiting_is_told_apart_from_working(hand: Hand) -> None:
    workflow_id = await retried_and_finished(hand)
    await stretched(hand, workflow_id)

    page = await history(hand, workflow_id)

    assert rounded(times_of(page, "fetch")) == {"queue": 10, "work": 100, "retry": 40}
    assert rounded(times_of(page, "notify")) == {"dependencies": 150}
    assert times_of(page, "fetch").attempts == 2
    lasting = [(e.phase, round(e.lasts_for.total_seconds())) for e in page.entries if e.lasts_for and e.step == "fetch"]
    assert lasting == [(StepPhase.QUEUE, 10), (StepPhase.WORK, 20), (StepPhase.RETRY, 40), (StepPhase.WORK, 80)]


async def test_what_a_step_does_now_goes_on(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(2))
    await hand.start((await hand.job(workflow_id, "s0")).id)

    page = await history(hand, workflow_id)

    assert [(e.change, e.phase, e.goes_on) for e in page.entries] == [
        ("inserted", None, True),
        ("released", StepPhase.QUEUE, False),
        ("started", StepPhase.WORK, True),
    ]
    assert times_of(page, "s0").phase == StepPhase.WORK


async def test_a_wait_for_a_signal_is_neither_queue_nor_work(hand: Hand) -> None:
    workflow = Workflow("expense")
    workflow.await_signal("approve", signal="approved", correlation_key="7")
    workflow_id = await hand.insert(workflow)
    await hand.workflows.signal("approved", "7", {"by": "ada"})

    page = await history(hand, workflow_id)

    assert [(e.kind, e.step, e.change) for e in page.entries] == [
        (HistoryKind.WORKFLOW, None, "inserted"),
        (HistoryKind.STEP, "approve", "awaiting"),
        (HistoryKind.SIGNAL, "approve", "consumed"),
        (HistoryKind.STEP, "approve", "completed"),
        (HistoryKind.WORKFLOW, None, "finished"),
    ]
    assert times_of(page, "approve").signal_for > timedelta(0)
    assert {*rounded(times_of(page, "approve"))} == set()


async def test_commands_stand_among_what_they_did_also_refused_ones(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": ValueError("no")})
    with pytest.raises(Exception, match="no step"):
        await hand.workflows.recover(workflow_id, "s9", **ADA)
    await hand.workflows.recover(workflow_id, **ADA)

    page = await history(hand, workflow_id)
    commands = [(e.change, e.outcome, e.actor, e.reason) for e in page.entries if e.kind is HistoryKind.COMMAND]

    assert commands == [
        ("step_retry", "refused", "ada", "billing is back"),
        ("workflow_retry", "executed", "ada", "billing is back"),
    ]
    assert [e.change for e in page.entries if e.step == "s0" and e.kind is HistoryKind.STEP][-2:] == [
        "recovered",
        "released",
    ]


async def test_only_the_phases_of_an_incident_that_concerned_it_are_part_of_its_history(hand: Hand) -> None:
    first, second = await hand.insert(chain(1)), await hand.insert(chain(1))
    jobs = {
        one: await hand.one("SELECT job_id FROM powertools.steps WHERE workflow_id = %s", one)
        for one in (first, second)
    }
    incident = await hand.one(INCIDENT, jobs[second])
    for kind, workflow_id in (("detected", first), ("resolved", None), ("reopened", second), ("resolved", None)):
        evidence = {"evidence": {"id_type": "job", "ids": [jobs[workflow_id]]}} if workflow_id else {}
        await hand.rows(ENTRY, incident, kind, json.dumps(evidence))

    told = {
        workflow_id: [e.change for e in (await history(hand, workflow_id)).entries if e.kind is HistoryKind.INCIDENT]
        for workflow_id in (first, second)
    }

    assert told == {first: ["detected", "resolved"], second: ["reopened", "resolved"]}


async def test_an_incident_that_names_its_job_is_part_of_its_history(hand: Hand) -> None:
    workflow_id, other = await hand.insert(chain(1)), await hand.insert(chain(1))
    await hand.run(workflow_id, {"s0": ValueError("no")})
    job = await hand.one("SELECT job_id FROM powertools.steps WHERE workflow_id = %s", workflow_id)
    incident = await hand.one(INCIDENT, job)
    for kind in ("detected", "resolved"):
        await hand.rows("INSERT INTO powertools.incident_entries (incident_id, kind) VALUES (%s, %s)", incident, kind)

    page = await history(hand, workflow_id)

    told = [(e.change, e.detail["title"]) for e in page.entries if e.kind is HistoryKind.INCIDENT]
    assert told == [("detected", "jobs of a fail"), ("resolved", "jobs of a fail")]
    assert HistoryKind.INCIDENT not in {e.kind for e in (await history(hand, other)).entries}


async def test_the_history_of_one_step_has_nothing_of_the_others(hand: Hand) -> None:
    workflow_id = await retried_and_finished(hand)

    page = await history(hand, workflow_id, step="notify")

    assert [(e.step, e.change) for e in page.entries] == [
        ("notify", "released"),
        ("notify", "started"),
        ("notify", "completed"),
    ]
    assert [each.step for each in page.times] == ["notify"]


async def test_it_is_whole_after_the_jobs_were_pruned_and_says_that_they_are_gone(hand: Hand) -> None:
    workflow_id = await retried_and_finished(hand)
    before = await changes(hand, workflow_id)
    await hand.rows("DELETE FROM oban_jobs WHERE state = 'completed'")

    page = await history(hand, workflow_id)

    assert [(entry.step, entry.change) for entry in page.entries] == before
    assert page.jobs_gone == 2
    assert {entry.node for entry in page.entries} == {None}


async def test_without_its_events_the_last_run_is_told_from_the_steps_and_what_is_unknown_is_said(hand: Hand) -> None:
    workflow_id = await retried_and_finished(hand)
    await hand.powertools.events.head()
    await hand.rows("SELECT powertools.prune_events_v1('-1 min', 1000)")

    page = await history(hand, workflow_id)

    by_step = {name: [e.change for e in page.entries if e.step == name] for name in (None, "fetch", "notify")}
    ran = ["released", "started", "completed"]
    assert by_step == {None: ["inserted", "finished"], "fetch": ran, "notify": ran}
    assert isinstance(page.known_from, datetime)
    assert not times_of(page, "fetch").whole


@pytest.mark.parametrize("limit", [1, 3, 4])
async def test_its_pages_follow_one_another_without_gap_or_repetition(hand: Hand, limit: int) -> None:
    workflow_id = await retried_and_finished(hand)
    whole = (await history(hand, workflow_id)).entries
    pages: list[HistoryEntry] = []
    after = None

    while True:
        page = await history(hand, workflow_id, after=after, limit=limit)
        pages += page.entries
        if (after := page.next_after) is None:
            break

    assert [_what(pages), len(pages)] == [_what(whole), 10]


def _what(entries: Sequence[HistoryEntry]) -> list[tuple[Any, ...]]:
    return [(entry.at, entry.kind, entry.step, entry.change) for entry in entries]


async def test_errors_are_shown_as_the_display_policy_has_them(hand: Hand) -> None:
    workflow_id = await retried_and_finished(hand)

    [error] = [entry.error for entry in (await history(hand, workflow_id)).entries if entry.error]

    assert error == "ValueError: no account 42, password=[redacted]"


async def test_the_number_of_statements_does_not_grow_with_the_workflow(hand: Hand) -> None:
    small, large = await hand.insert(chain(1)), await hand.insert(chain(60))
    await hand.run_all(small)
    await hand.run_all(large)

    async with open_calls(hand.conn) as calls:
        sent = count_sent(hand.conn)
        await calls.workflows.history(small)
        few = len(sent)
        await calls.workflows.history(large, limit=1000)

    assert (few, len(sent)) == (3, 6)


async def test_what_does_not_exist_has_no_history(hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))

    with pytest.raises(WorkflowNotFoundError):
        await history(hand, WorkflowId(4711))
    with pytest.raises(StepNotFoundError):
        await history(hand, workflow_id, step="s9")


@pytest.mark.parametrize("after", ["", "1", "1.2", "1.2.3.4", "9" * 18 + ".1.1", 7])
async def test_only_a_place_that_a_page_gave_is_taken(hand: Hand, after: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        await history(hand, WorkflowId(1), after=after)


async def test_a_rescued_attempt_waits_in_its_queue_and_not_for_a_retry(hand: Hand) -> None:
    workflow = Workflow("rescued")
    workflow.add("s0", step(max_attempts=3))
    workflow_id = await hand.insert(workflow)
    await take(hand, (await hand.job(workflow_id, "s0")).id, "p1")
    await die(hand, "p1")
    await rescue(hand)

    page = await history(hand, workflow_id)

    [waits] = [entry for entry in page.entries if entry.change == "retrying"]
    assert (waits.state, waits.phase) == ("available", StepPhase.QUEUE)
    assert times_of(page, "s0").phase == StepPhase.QUEUE
    assert times_of(page, "s0").retry_for == timedelta(0)
