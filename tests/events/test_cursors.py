"""Cursors follow the commits: nothing is skipped, whoever commits when, and wherever a reader stops.

Rules: property/P27, P29.
"""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oban_powertools import Cursor, Event, Powertools
from oban_powertools.errors import CursorExpiredError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, by_hand, chain
from tests.support.following import cursors, numbers, opened, take, take_until_finished, wide
from tests.support.ledger import eventually

AGE = "UPDATE powertools.event_batches SET inserted_at = inserted_at - interval '8 days' WHERE last_cursor <= %s"


async def test_a_late_commit_comes_late_and_is_not_skipped(writer: Hand, reader: Powertools) -> None:
    async with reader.events.subscribe_all() as events, writer.powertools.connect() as held:
        await held.set_autocommit(False)
        late = (await writer.workflows.insert(wide(3), conn=held)).id
        early = await writer.insert(wide(2))
        first = await take(events, 2)
        await held.commit()
        second = await take(events, 3)

    assert {event.workflow_id for event in first} == {early}
    assert {event.workflow_id for event in second} == {late}
    assert cursors(first + second) == [1, 2, 3, 4, 5]


async def test_interleaved_sessions_are_read_in_the_order_of_their_commits(writer: Hand, reader: Powertools) -> None:
    ends: list[WorkflowId] = []

    async def one(number: int, gates: list[asyncio.Event]) -> None:
        async with writer.powertools.connect() as conn:
            await conn.set_autocommit(False)
            workflow_id = (await writer.workflows.insert(chain(1), conn=conn)).id
            await gates[number].wait()
            await conn.commit()
            ends.append(workflow_id)
            gates[(number - 1) % len(gates)].set()

    gates = [asyncio.Event() for _ in range(4)]
    async with reader.events.subscribe_all() as events:
        gates[-1].set()
        await asyncio.gather(*(one(number, gates) for number in range(4)))

        found = await take(events, 4)

    assert {event.workflow_id for event in found} == set(ends)
    assert cursors(found) == [1, 2, 3, 4]
    again = await reader.events.read(since=Cursor(0))
    assert again == found


async def test_a_held_transaction_holds_up_nobody_elses_events(writer: Hand, reader: Powertools) -> None:
    async with writer.powertools.connect() as held:
        await held.set_autocommit(False)
        await writer.workflows.insert(chain(1), conn=held)
        async with reader.events.subscribe_all() as events:
            workflow_id = await writer.insert(chain(5))
            await writer.run_all(workflow_id)
            found = await take_until_finished(events)
        await held.rollback()

    assert numbers(found) == list(range(1, len(found) + 1))


async def test_a_start_is_told_though_its_workflow_is_held_while_the_job_is_fetched(
    writer: Hand, reader: Powertools
) -> None:
    workflow_id = await writer.insert(chain(1))
    job = await writer.job(workflow_id, "s0")
    async with reader.events.subscribe_all() as events, writer.powertools.connect() as held:
        async with held.transaction():
            await held.execute("SELECT powertools.lock_families_v1(ARRAY[%s::bigint])", (workflow_id,))
            [started] = await writer.start(job.id)
            other = await writer.insert(chain(1))
            [first] = await take(events, 1)
        [second] = await take(events, 1)
        await writer.ack(await writer.execute(started, None))
        rest = await take_until_finished(events)

    assert first.workflow_id == other
    assert [event.to_dict().get("change") for event in [second, *rest]] == ["started", "completed", None]


class Resumed:
    """A log of several workflows, written once, and a reader."""

    def __init__(self, runner: asyncio.Runner, powertools: Powertools, log: list[Event]) -> None:
        self.log = log
        self._runner = runner
        self._powertools = powertools

    def follow(self, workflow_id: WorkflowId | None, stops: list[int]) -> list[Event]:
        """Read on from where one stopped, so many events at a time."""
        return self._runner.run(self._follow(workflow_id, stops))

    async def _follow(self, workflow_id: WorkflowId | None, stops: list[int]) -> list[Event]:
        wanted = sum(event.workflow_id == workflow_id or workflow_id is None for event in self.log)
        found: list[Event] = []
        cursor = Cursor(0)
        for stop in [*stops, wanted]:
            events = self._powertools.events
            topic = events.subscribe_all(since=cursor)
            if workflow_id is not None:
                topic = events.subscribe_workflow(workflow_id, since=cursor)
            async with topic as subscription:
                found += await take(subscription, min(stop, wanted - len(found)))
                cursor = subscription.cursor
        return found


@pytest.fixture
def resumed(dsn: str) -> Iterator[Resumed]:
    """Three workflows, one of them in a batch of more than a page, moved in turn."""
    with asyncio.Runner() as runner:
        hands, reading = by_hand(dsn, turbo=True), opened(dsn)
        hand = runner.run(hands.__aenter__())
        powertools = runner.run(reading.__aenter__())

        async def write() -> list[Event]:
            ids = [await hand.insert(workflow) for workflow in (chain(6), wide(700), chain(4))]
            for number in range(4):
                await hand.run(ids[0], {f"s{number}": None})
                await hand.run(ids[1], {f"s{number}": None, f"s{number + 10}": None})
                await hand.run(ids[2], {f"s{number}": None})
            return await powertools.events.read(since=Cursor(0), limit=10_000)

        yield Resumed(runner, powertools, runner.run(write()))
        runner.run(reading.__aexit__(None, None, None))
        runner.run(hands.__aexit__(None, None, None))


@pytest.mark.timeout(120)
@given(topic=st.sampled_from([None, 1, 2, 3]), stops=st.lists(st.integers(0, 400), max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_reader_may_stop_and_resume_anywhere(resumed: Resumed, topic: int | None, stops: list[int]) -> None:
    workflow_id = None if topic is None else WorkflowId(topic)

    found = resumed.follow(workflow_id, stops)

    assert found == [e for e in resumed.log if workflow_id is None or e.workflow_id == workflow_id]


@given(since=st.integers(0, 740), limit=st.integers(1, 800), topic=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_page_is_what_comes_after_its_cursor(resumed: Resumed, since: int, limit: int, topic: int | None) -> None:
    of_topic = [e for e in resumed.log if topic is None or e.workflow_id == topic]
    reading = resumed._powertools.events.read(
        since=Cursor(since), workflow_id=None if topic is None else WorkflowId(topic), limit=limit
    )

    page = resumed._runner.run(reading)

    assert page == [e for e in of_topic if e.cursor > since][:limit]


async def test_a_cursor_older_than_retention_is_told_so(writer: Hand, reader: Powertools) -> None:
    workflow_id = await writer.insert(wide(10))
    await writer.run(workflow_id, {"s0": None})
    await reader.events.head()
    await writer.rows(AGE, 10)

    async def pruned() -> bool:
        return await writer.one("SELECT pruned_to FROM powertools.event_log") == 10

    await eventually(pruned)

    # Far beyond the end, as the reader may tell of itself meanwhile.
    for since in (Cursor(9), Cursor(1_000)):
        with pytest.raises(CursorExpiredError, match=r"can be read from 10 to 1\d:") as refused:
            async with reader.events.subscribe_all(since=since):
                pass
        with pytest.raises(CursorExpiredError):
            async with reader.events.subscribe_workflow(workflow_id, since=since):
                pass
        with pytest.raises(CursorExpiredError):
            await reader.events.read(since=since)
        assert (refused.value.since, refused.value.oldest) == (since, 10)
        assert refused.value.head >= 12
    assert numbers(await reader.events.read(since=Cursor(10), workflow_id=workflow_id)) == [11, 12]
    await writer.leave_empty()


async def test_a_slow_reader_that_retention_overtakes_is_told_so(dsn: str, writer: Hand) -> None:
    async with opened(dsn, sweep_every=timedelta(hours=1)) as reader, reader.events.subscribe_all() as events:
        for _ in range(3):
            await writer.insert(wide(700))
        await take(events, 1)
        await reader.events.head()
        await writer.rows(AGE, 2100)
        assert await writer.one("SELECT powertools.prune_events_v1(interval '7 days', 100)") > 0

        with pytest.raises(CursorExpiredError):
            await take(events, 2100)
        await writer.leave_empty()


async def test_where_events_were_deleted_the_others_are_read_all_the_same(writer: Hand, reader: Powertools) -> None:
    for _ in range(3):
        await writer.insert(wide(2500))
    await writer.rows("DELETE FROM powertools.events WHERE workflow_id = 2")
    expected = [*range(1, 2501), *range(5001, 7502)]

    async with reader.events.subscribe_all(since=Cursor(0)) as replayed, reader.events.subscribe_all() as live:
        read = await reader.events.read(since=Cursor(2500), limit=1000)
        await writer.insert(chain(1))

        assert cursors(await take(replayed, 5001)) == expected
        assert cursors(await take(live, 1)) == [7501]
    assert cursors(read) == list(range(5001, 5501))
    await writer.leave_empty()
