"""Queues that are served, and late (incidents/N1 to N3)."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Incident, Workflow
from tests.support.by_hand import Hand, step
from tests.support.executing import beat, stop, take
from tests.support.troubles import plain, project

LATE = "queue_late:default"
PRODUCER = """
INSERT INTO oban_producers (uuid, node, queue, meta)
VALUES (gen_random_uuid(), 'node-a', 'default', jsonb_build_object('local_limit', %s::int, 'paused', %s::bool))
"""


async def due(hand: Hand, minutes: float, count: int = 1, **options: Any) -> list[int]:
    """Jobs that have been due for so long."""
    ids = [await plain(hand, max_attempts=9, **options) for _ in range(count)]
    await hand.rows(
        "UPDATE oban_jobs SET inserted_at = inserted_at - s, scheduled_at = scheduled_at - s"
        " FROM make_interval(secs => %s) AS s WHERE id = ANY (%s)",
        minutes * 60,
        ids,
    )
    return ids


async def late(hand: Hand, **settings: Any) -> Incident | None:
    return (await project(hand, **settings)).get(LATE)


@pytest.mark.parametrize(("minutes", "seen"), [(9.9, False), (10.1, True)])
async def test_a_queue_is_late_when_a_job_has_been_due_for_ten_minutes(hand: Hand, minutes: float, seen: bool) -> None:
    await beat(hand, "p1")
    await due(hand, minutes)

    assert (await late(hand) is not None) == seen


async def test_the_age_is_a_shared_setting(hand: Hand) -> None:
    await beat(hand, "p1")
    await due(hand, 2)

    assert await late(hand, incident_queue_late_after=timedelta(minutes=1)) is not None


async def test_a_job_of_a_low_priority_behind_fresh_ones_is_found(hand: Hand) -> None:
    await beat(hand, "p1")
    [old] = await due(hand, 60, priority=9)
    await due(hand, 0, 5, priority=0)

    incident = await late(hand)

    assert incident is not None
    assert (incident.count, incident.evidence["ids"]) == (1, [old])


async def test_a_queue_that_nobody_serves_is_another_incident(hand: Hand) -> None:
    await beat(hand, "p1")
    await stop(hand, "p1")
    workflow = Workflow("order")
    workflow.add("charge", step())
    await hand.insert(workflow)
    await hand.rows("UPDATE oban_jobs SET scheduled_at = now() - interval '1 h', inserted_at = now() - interval '1 h'")

    assert [*await project(hand)] == ["workflow_stuck:queue:default"]


async def test_a_job_that_was_just_tried_has_not_waited_since_it_was_first_due(hand: Hand) -> None:
    await beat(hand, "p1")
    [job_id] = await due(hand, 60)
    await take(hand, job_id, "p1")
    await hand.rows("UPDATE oban_jobs SET state = 'available' WHERE id = %s", job_id)

    assert await late(hand) is None


@pytest.mark.parametrize(
    ("places", "paused", "code", "why"),
    [
        (5, True, "queue_paused", "it is paused"),
        (1, False, "queue_saturated", "all of its places are taken"),
        (5, False, None, "its executors take none or too few"),
    ],
)
async def test_it_says_why_the_queue_is_late(hand: Hand, places: int, paused: bool, code: str | None, why: str) -> None:
    await beat(hand, "p1")
    await hand.rows(PRODUCER, places, paused)
    await take(hand, await plain(hand), "p1")
    await due(hand, 60, 2)

    incident = await late(hand)

    assert incident is not None
    assert incident.title == f"2 jobs of queue default have been due for over 10 min: {why}"
    assert incident.evidence.get("code") == code
    assert (incident.evidence["places"], incident.evidence["executing"]) == (places, 1)


async def test_explain_of_a_step_that_waits_in_line_names_it(hand: Hand) -> None:
    workflow = Workflow("order")
    workflow.add("charge", step())
    workflow_id = await hand.insert(workflow)
    await beat(hand, "p1")
    await due(hand, 60)
    await project(hand)

    charge = await hand.powertools.explain.workflow_step(workflow_id, "charge")

    assert [incident.fingerprint for incident in charge.incidents] == [LATE]


async def test_a_crowded_queue_is_read_only_so_far(hand: Hand) -> None:
    await beat(hand, "p1")
    await hand.rows(
        "INSERT INTO oban_jobs (queue, worker, priority, inserted_at, scheduled_at)"
        " SELECT 'default', 'app.Work', n % 2, now() - interval '1 h', now() - interval '1 h'"
        " FROM generate_series(1, 5000) AS n"
    )

    incident = await late(hand)

    assert incident is not None
    assert (incident.count, len(incident.evidence["ids"])) == (2000, 50)
