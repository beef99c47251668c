"""Subscriptions: everything of a topic, in order, once, from any cursor on."""

import asyncio

import pytest

from oban_powertools import Cursor, Powertools, WorkflowFinished
from oban_powertools.errors import WorkflowNotFoundError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.following import Backends, cursors, numbers, opened, take, take_until_finished, wide
from tests.support.ledger import eventually


async def test_a_subscriber_sees_every_event_of_a_workflow_that_runs(writer: Hand, reader: Powertools) -> None:
    async with reader.events.subscribe_all() as events:
        workflow_id = await writer.insert(chain(3))
        await writer.run_all(workflow_id)

        found = await take_until_finished(events)

    assert numbers(found) == list(range(1, 11))
    assert found == await reader.events.read(since=Cursor(0), workflow_id=workflow_id)


async def test_a_topic_of_one_workflow_has_its_events_alone(writer: Hand, reader: Powertools) -> None:
    before = await writer.insert(chain(1))
    async with reader.events.subscribe_workflow(before) as events:
        await writer.run_all(await writer.insert(chain(1)))
        await writer.run_all(before)

        found = await take_until_finished(events)

    assert {event.workflow_id for event in found} == {before}
    assert numbers(found) == [2, 3, 4]


@pytest.mark.parametrize("since", [None, Cursor(0)])
async def test_a_topic_of_a_workflow_that_does_not_exist_is_refused_instead_of_silent(
    writer: Hand, reader: Powertools, since: Cursor | None
) -> None:
    await writer.insert(chain(1))

    with pytest.raises(WorkflowNotFoundError, match="4711"):
        async with reader.events.subscribe_workflow(WorkflowId(4711), since=since):
            pass


async def test_without_a_cursor_a_subscription_begins_now(writer: Hand, reader: Powertools) -> None:
    await writer.insert(wide(10))
    head = await reader.events.head()

    async with reader.events.subscribe_all() as events:
        assert events.cursor == head
        await writer.insert(chain(1))

        [first] = await take(events, 1)

    assert (first.cursor, first.number) == (head + 1, 1)


@pytest.mark.parametrize("steps", [3, 1200])
async def test_with_a_cursor_a_subscription_replays_and_goes_on_live(
    writer: Hand, reader: Powertools, steps: int
) -> None:
    old = await writer.insert(wide(steps))
    async with (
        reader.events.subscribe_all(since=Cursor(0)) as everything,
        reader.events.subscribe_workflow(old, since=Cursor(0)) as of_old,
    ):
        replayed, replayed_of_old = await take(everything, steps), await take(of_old, steps)
        await writer.run(old, {"s0": None})

        live, live_of_old = await take(everything, 2), await take(of_old, 2)

    assert cursors(replayed + live) == list(range(1, steps + 3))
    assert replayed_of_old + live_of_old == replayed + live


async def test_leaving_the_context_unsubscribes(reader: Powertools) -> None:
    async with reader.events.subscribe_all() as events:
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)

    with pytest.raises(StopAsyncIteration):
        await waiting
    assert [event async for event in events] == []


async def test_the_end_of_powertools_ends_every_subscription(dsn: str) -> None:
    async with opened(dsn) as powertools:
        context = powertools.events.subscribe_all()
        events = await context.__aenter__()
        waiting = asyncio.create_task(anext(events))
        await asyncio.sleep(0)

    with pytest.raises(StopAsyncIteration):
        await waiting
    await context.__aexit__(None, None, None)


async def test_a_cancelled_wait_loses_no_event(writer: Hand, reader: Powertools) -> None:
    async with reader.events.subscribe_all() as events:
        for _ in range(50):
            waiting = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        await writer.insert(wide(5))

        assert numbers(await take(events, 5)) == [1, 2, 3, 4, 5]


async def test_nobody_listens_before_the_first_subscriber_and_after_the_last(writer: Hand, reader: Powertools) -> None:
    backends = Backends(writer.conn)

    async def listening() -> bool:
        return len(await backends.listening()) == 1

    async def nobody() -> bool:
        return await backends.listening() == []

    assert await nobody()
    for _ in range(2):
        async with reader.events.subscribe_all(), reader.events.subscribe_all():
            await eventually(listening)
        await eventually(nobody)


async def test_an_end_is_the_last_event_of_its_generation(writer: Hand, reader: Powertools) -> None:
    async with reader.events.subscribe_all() as events:
        workflow_id = await writer.insert(chain(2))
        await writer.run(workflow_id, {"s0": ValueError("no")})
        failed = await take_until_finished(events)
        await writer.workflows.recover(workflow_id, actor="ops", reason="it was the network")
        await writer.run_all(workflow_id)
        completed = await take_until_finished(events)

    ends = [event for event in failed + completed if isinstance(event, WorkflowFinished)]
    assert [(e.generation, e.outcome.value, e.failed_steps) for e in ends] == [
        (1, "failed", ("s0", "s1")),
        (2, "completed", ()),
    ]
    assert [failed[-1], completed[-1]] == ends
    assert numbers(failed + completed) == list(range(1, len(failed + completed) + 1))
