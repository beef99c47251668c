"""What happens next by itself: rescues, retries, deadlines, ends of holds and expiries, the soonest first."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.lifeline import Upcoming, UpcomingKind
from tests.support.by_hand import Hand, chain, step
from tests.support.furnished import furnished
from tests.support.repairing import REASON

HOUR = timedelta(hours=1)


async def coming(hand: Hand, **options: Any) -> list[Upcoming]:
    return await hand.powertools.lifeline.list_upcoming(**options)


async def test_a_job_that_is_to_be_tried_again_says_which_attempt_it_will_be(hand: Hand) -> None:
    workflow = Workflow("sync")
    workflow.add("fetch", step(max_attempts=3))
    workflow_id = await hand.insert(workflow)
    await hand.run(workflow_id, {"fetch": ValueError("no")})

    [entry] = await coming(hand)

    assert (entry.kind, entry.workflow_id, entry.workflow_name, entry.step) == ("retry", workflow_id, "sync", "fetch")
    assert (entry.attempt, entry.max_attempts) == (2, 3)
    assert entry.at > datetime.now(UTC)


async def test_what_waits_for_time_or_for_a_signal_is_told_in_order(hand: Hand) -> None:
    workflow = Workflow("refund", expires_in=HOUR * 9)
    workflow.await_signal("approval", signal="approved", correlation_key="7", deadline=HOUR * 6)
    workflow.add("later", step(schedule_in=60))
    workflow.add("pay", step(), deps=["approval"])
    workflow_id = await hand.insert(workflow)
    await hand.workflows.hold(workflow_id, "pay", hold_for=HOUR * 2, reason=REASON, actor="ada")

    entries = [(entry.kind, entry.step) for entry in await coming(hand)]

    assert entries == [("start", "later"), ("hold_end", "pay"), ("deadline", "approval"), ("expiry", None)]


async def test_the_jobs_of_a_silent_executor_are_counted_with_when_they_are_rescued(dsn: str) -> None:
    async with furnished(dsn) as hand:
        [entry, *_] = await coming(hand)

    assert (entry.kind, entry.jobs, entry.node, entry.queue) == (UpcomingKind.RESCUE, 1, "node-a", "default")
    assert entry.at <= datetime.now(UTC) + timedelta(minutes=2)


async def test_jobs_whose_effects_must_never_happen_twice_are_not_rescued(dsn: str) -> None:
    async with furnished(dsn) as hand:
        await hand.rows("UPDATE powertools.steps SET effects = 'never' WHERE name = 'pack'")

        kinds = {entry.kind for entry in await coming(hand)}

    assert UpcomingKind.RESCUE not in kinds


async def test_an_incident_has_what_happens_to_its_subject_and_to_what_it_affects(dsn: str) -> None:
    async with furnished(dsn) as hand:
        lifeline = hand.powertools.lifeline
        everything = await coming(hand, limit=100)
        by_class = {each.incident_class: each for each in await lifeline.list_incidents()}
        gone = await lifeline.get_incident(by_class["dead_executor"].id)

        entries = await coming(hand, concerning=gone)

    assert [(entry.kind, entry.executor_id) for entry in entries] == [(UpcomingKind.RESCUE, gone.subject_id)]
    assert len(everything) > len(entries)


async def test_a_stuck_workflow_has_the_ends_of_its_own_holds_and_waits_and_no_others(hand: Hand) -> None:
    ids: list[int] = []
    for _ in range(2):
        workflow = Workflow("refund", expires_in=HOUR * 9)
        workflow.await_signal("approval", signal="approved", correlation_key=str(len(ids)), deadline=HOUR * 6)
        workflow.add("pay", step(), deps=["approval"])
        workflow.add("later", step(schedule_in=60))
        ids.append(await hand.insert(workflow))
    await hand.rows(
        "INSERT INTO powertools.incidents (fingerprint, class, subject_type, subject_id, title, count, evidence,"
        " waiting_workflows, waiting_steps, first_detected_at, opened_at, last_detected_at)"
        " VALUES (%s, 'workflow_stuck', 'workflow', %s, 'it is stuck', 1, '{}', 0, 0, now(), now(), now())",
        f"workflow_stuck:{ids[1]}",
        str(ids[1]),
    )
    stuck = await hand.powertools.lifeline.get_incident(f"workflow_stuck:{ids[1]}")

    entries = await coming(hand, concerning=stuck)

    assert [(entry.kind, entry.workflow_id) for entry in entries] == [("deadline", ids[1]), ("expiry", ids[1])]


async def test_nothing_comes_where_nothing_waits_for_time(hand: Hand) -> None:
    await hand.run_all(await hand.insert(chain(2)), None)

    assert await coming(hand) == []


@pytest.mark.parametrize("limit", [1, 2])
async def test_it_is_as_long_as_asked_for(hand: Hand, limit: int) -> None:
    workflow = Workflow("many")
    for number in range(4):
        workflow.add(f"s{number}", step(schedule_in=60 * (number + 1)))
    await hand.insert(workflow)

    assert [entry.step for entry in await coming(hand, limit=limit)] == ["s0", "s1"][:limit]
