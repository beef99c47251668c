"""Queues that are served, and late (incidents/N1 to N3)."""

import re
import shlex
from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Incident, Workflow
from tests.support.by_hand import Hand, step
from tests.support.command import powertools
from tests.support.executing import beat, silent, stop, take
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
    await silent(hand, "p1", 360)
    await hand.rows("UPDATE powertools.executors SET stopped_at = beat_at")
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


async def test_it_says_how_many_of_its_executors_are_paused(hand: Hand) -> None:
    await hand.rows(PRODUCER, 5, True)
    await hand.rows(PRODUCER, 5, False)
    await due(hand, 60)

    incident = await late(hand)

    assert incident is not None
    assert incident.title.endswith("due for over 10 min: 1 of its 2 executors are paused")


async def suggested(hand: Hand) -> list[tuple[str, str, int | None]]:
    await project(hand)
    incident = await hand.powertools.lifeline.get_incident(LATE)
    return [(each.action, each.target_id, each.limit) for each in incident.repairs]


@pytest.mark.parametrize(
    ("producers", "expected"),
    [
        ([(5, True)], [("queue_resume", "default", None)]),
        ([(5, True), (5, False)], [("queue_resume", "default", None)]),
        ([(1, False)], [("queue_scale", "default", 2)]),
        ([(5, False)], []),
        ([], []),
    ],
)
async def test_an_incident_of_a_late_queue_suggests_what_helps_it_and_nothing_else(
    hand: Hand, producers: list[tuple[int, bool]], expected: list[tuple[str, str, int | None]]
) -> None:
    await beat(hand, "p1")
    for places, paused in producers:
        await hand.rows(PRODUCER, places, paused)
    await take(hand, await plain(hand), "p1")
    await hand.rows("UPDATE oban_jobs SET attempted_by = ARRAY['node-a', o.uuid::text] FROM oban_producers o")
    await due(hand, 60)

    assert await suggested(hand) == expected


async def test_what_it_suggests_is_done_by_the_command_that_its_page_prints(hand: Hand) -> None:
    await hand.rows(PRODUCER, 5, True)
    await due(hand, 60)
    await project(hand)
    incident = await hand.powertools.lifeline.get_incident(LATE)

    shown = powertools("incidents", "show", str(incident.id), dsn=hand.dsn)
    [command] = re.findall("powertools (queue .*)", shown.out)
    words = shlex.split(command)
    words[words.index("--reason") + 1] = "the bank is back"
    done = powertools(*words, dsn=hand.dsn)

    assert command.startswith("queue resume default --reason ")
    assert (shown.code, done.code) == (0, 1)  # the producer's row has no process behind it that would resume
    assert await hand.one("SELECT action FROM powertools.audit") == "queue_resume"


async def test_explain_of_a_job_that_waits_in_a_paused_queue_suggests_to_resume_it(hand: Hand) -> None:
    await hand.rows(PRODUCER, 5, True)
    [job_id] = await due(hand, 60)
    await project(hand)

    explained = await hand.powertools.explain.job(str(job_id))

    [incident] = explained.incidents
    assert [(each.action, each.target_type, each.target_id) for each in incident.repairs] == [
        ("queue_resume", "queue", "default")
    ]


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
