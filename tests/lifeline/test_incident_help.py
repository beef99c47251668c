"""What an incident says to do: where to look first, and a command where no repair ends it."""

import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest

from oban_powertools import IncidentClass, IncidentState
from tests.support.by_hand import Hand
from tests.support.executing import beat, rescue, silent, take
from tests.support.troubles import TROUBLES, plain, project

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "at-three-in-the-morning.md"
PASS_BY_THEMSELVES = {"executor_late", "queue_late", "bookkeeping_fault"}
"""Whose cause only somebody who looks can remove."""
DIED = "UPDATE powertools.executors SET died_at = now(), died_seen_by = 'p2'"
BLOCKED = "UPDATE powertools.executors SET loop_beat_at = now() - interval '1 min', host = 'h', pid = 4711, ticks = 1"


def test_the_page_says_of_every_class_what_the_incident_says() -> None:
    rows = dict(re.findall(r"^ +\| `(\w+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE))

    assert rows == {name.value: name.row.advice for name in IncidentClass}


@pytest.mark.parametrize("name", TROUBLES)
async def test_an_open_incident_names_a_repair_or_a_command_and_one_that_is_over_none(hand: Hand, name: str) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    [opened, *_] = (await project(hand, trouble.fingerprint, **trouble.settings)).values()
    await trouble.end(hand)
    await project(hand, trouble.fingerprint, **trouble.settings)
    over = await hand.powertools.lifeline.get_incident(opened.id)

    assert opened.advice == over.advice == IncidentClass(name).row.advice
    assert bool(opened.repairs or opened.commands) == (name not in PASS_BY_THEMSELVES)
    assert (over.state, over.repairs, over.commands) == (IncidentState.RESOLVED, (), ())


@pytest.mark.parametrize("queue", ["mail", "mail; rm -rf /", "it's", "{queue}", "ä b"])
async def test_a_command_is_quoted_for_a_shell(hand: Hand, queue: str) -> None:
    await plain(hand, queue=queue)
    await hand.rows("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '10 min'")

    [incident] = (await project(hand)).values()

    assert [shlex.split(command) for command in incident.commands] == [
        ["powertools", "start", "--queues", f"{queue}:10"]
    ]


async def test_a_blocked_loop_names_the_process_to_end(hand: Hand) -> None:
    await beat(hand, "p1")
    await hand.rows(BLOCKED)

    [incident] = (await project(hand, executor_late_after=timedelta(seconds=2))).values()

    assert incident.commands == ("kill -KILL 4711  # on node-a",)


async def test_an_executor_that_is_late_without_a_blocked_loop_names_no_process(hand: Hand) -> None:
    await TROUBLES["executor_late"].happen(hand)
    await hand.rows("UPDATE powertools.executors SET host = 'h', pid = 4711, ticks = 1")

    [incident] = (await project(hand, **TROUBLES["executor_late"].settings)).values()

    assert incident.commands == ()


async def test_a_process_that_died_with_nothing_in_hand_has_time_to_be_started_again(hand: Hand) -> None:
    await beat(hand, "p1")
    await hand.rows(DIED)
    at_once = await project(hand)
    health = {each.executor_id: each.state for each in await hand.powertools.lifeline.list_executor_health()}

    await silent(hand, "p1", 16)
    later = await project(hand)

    assert [*health.values()] == ["missing"]
    assert ([*at_once], [each.incident_class for each in later.values()]) == ([], ["executor_missing"])


async def test_what_a_process_that_died_has_in_hand_is_first_rescued_by_itself(hand: Hand) -> None:
    await beat(hand, "p1")
    await take(hand, await plain(hand, max_attempts=9), "p1")
    await hand.rows(DIED)
    at_once = await project(hand)

    await hand.rows("UPDATE powertools.executors SET died_at = died_at - interval '6 s'")
    later = await project(hand)

    assert ([*at_once], [each.incident_class for each in later.values()]) == ([], ["dead_executor"])


async def test_what_is_left_to_an_operator_is_told_as_soon_as_it_is_left(hand: Hand) -> None:
    await beat(hand, "p1")
    await take(hand, await plain(hand, max_attempts=9), "p1")
    await hand.rows(DIED)
    await rescue(hand, rescue={"*": "operator"})

    found = await project(hand, rescue={"*": "operator"})

    assert [each.incident_class for each in found.values()] == ["dead_executor"]


async def test_a_queue_with_old_jobs_is_not_deserted_while_its_process_is_started_again(hand: Hand) -> None:
    await beat(hand, "p1")
    await plain(hand)
    await hand.rows("UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '1 h'")
    await hand.rows(DIED)
    at_once = await project(hand, incident_queue_late_after=timedelta(days=1))

    await silent(hand, "p1", 301)
    later = await project(hand, incident_queue_late_after=timedelta(days=1))

    assert [*at_once] == []
    assert "workflow_stuck:queue:default" in later
