"""Why an incident is over: the one reason that it was, where its class has several."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support.by_hand import Hand
from tests.support.executing import beat, stop
from tests.support.troubles import TROUBLES, project


async def beats(hand: Hand) -> None:
    await beat(hand, "p1")


async def stops(hand: Hand) -> None:
    await stop(hand, "p1")


async def is_removed(hand: Hand) -> None:
    await hand.rows("DELETE FROM powertools.executors")


async def is_replaced(hand: Hand) -> None:
    await beat(hand, "p2")


async def is_caught_up(hand: Hand) -> None:
    await TROUBLES["queue_late"].end(hand)


async def is_left_by_all(hand: Hand) -> None:
    await hand.rows("DELETE FROM oban_producers; DELETE FROM powertools.executors")


CASES: list[tuple[str, Callable[[Hand], Awaitable[None]], str]] = [
    ("executor_late", beats, "it sends heartbeats in time"),
    ("executor_late", stops, "it has stopped"),
    ("executor_late", is_removed, "its row was removed"),
    ("executor_missing", beats, "it sends heartbeats in time"),
    ("executor_missing", is_replaced, "another executor was started for its queue"),
    ("executor_missing", is_removed, "its row was removed"),
    ("queue_late", is_caught_up, "its oldest due job has not waited for so long"),
    ("queue_late", is_left_by_all, "nobody works on the queue any more"),
]


@pytest.mark.parametrize(("name", "happens", "because"), CASES)
async def test_the_reason_is_the_one_that_it_was(
    hand: Hand, name: str, happens: Callable[[Hand], Awaitable[None]], because: str
) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    incident = (await project(hand, **trouble.settings))[trouble.fingerprint]

    await happens(hand)
    await project(hand, **trouble.settings)

    timeline = (await hand.powertools.lifeline.get_incident(incident.id)).timeline
    assert [entry.detail["because"] for entry in timeline if entry.kind == "resolved"] == [because]
