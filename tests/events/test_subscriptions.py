"""Subscriptions: everything, in order, once, from any cursor, however the reader and the wires behave."""

from oban_powertools import Cursor, Powertools
from tests.by_hand import chain
from tests.events.following import numbers, take_until_finished


async def test_a_subscriber_sees_every_event_of_a_workflow_that_runs(powertools: Powertools) -> None:
    async with powertools.events.subscribe_all() as events:
        handle = await powertools.workflows.insert(chain(3))

        found = await take_until_finished(events)

    assert numbers(found) == list(range(1, len(found) + 1))
    assert found == await powertools.events.read(since=Cursor(0), workflow_id=handle.id)
