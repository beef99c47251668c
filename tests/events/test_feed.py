"""The feed: what it keeps in memory for who comes back, and when it numbers the starts of jobs."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from oban_powertools import AnyEvent, Cursor
from oban_powertools.events.feed import Feed
from oban_powertools.events.reads import Log
from oban_powertools.events.topics import WORKFLOWS, Topic, of_workflow
from tests.support.by_hand import Hand, chain
from tests.support.following import cursors, numbers, take, take_until_finished, wide


class CountingLog(Log):
    """Counts what subscribers read by themselves."""

    reads = 0

    async def read_on(self, topic: Topic, since: Cursor, limit: int) -> tuple[Sequence[AnyEvent], Cursor]:
        self.reads += 1
        return await super().read_on(topic, since, limit)


@pytest.fixture
def log(writer: Hand) -> CountingLog:
    return CountingLog(writer.powertools._services)


@pytest.fixture
async def feed(log: CountingLog) -> AsyncIterator[Feed]:
    """One that polls alone."""
    poll_every = timedelta(milliseconds=20)
    feed = Feed(log, None, poll_every=poll_every, poll_alone_every=poll_every)
    yield feed
    await feed.stop()


async def test_who_comes_back_with_a_cursor_of_a_moment_ago_is_served_from_memory(
    writer: Hand, feed: Feed, log: CountingLog
) -> None:
    async with feed.subscribed(WORKFLOWS, None) as everything:
        workflow_id, other = await writer.insert(chain(3)), await writer.insert(chain(1))
        await writer.run_all(other)
        await writer.run_all(workflow_id)
        seen = await take_until_finished(everything, workflows=2)
        cut = seen[4].cursor

        async with (
            feed.subscribed(WORKFLOWS, cut) as back,
            feed.subscribed(of_workflow(workflow_id), cut) as back_on_one,
        ):
            assert await take(back, len(seen) - 5) == seen[5:]
            mine = [event for event in seen[5:] if event.workflow_id == workflow_id]
            assert await take(back_on_one, len(mine)) == mine

            later = await writer.insert(chain(1))
            assert [event.workflow_id for event in await take(back, 1)] == [later]

    assert log.reads == 0


async def test_who_comes_back_after_more_than_memory_holds_reads_the_log(
    writer: Hand, feed: Feed, log: CountingLog
) -> None:
    before = await writer.insert(wide(10))
    async with feed.subscribed(WORKFLOWS, None) as everything:
        await writer.insert(wide(6_000))
        seen = await take(everything, 6_000)

        async with (
            feed.subscribed(WORKFLOWS, Cursor(0)) as back,
            feed.subscribed(of_workflow(before), Cursor(0)) as back_on_one,
        ):
            assert cursors(await take(back, 6_010)) == list(range(1, seen[-1].cursor + 1))
            assert numbers(await take(back_on_one, 10)) == list(range(1, 11))

    assert log.reads > 0


async def test_a_feed_that_begins_again_does_not_offer_what_it_kept_before(
    writer: Hand, feed: Feed, log: CountingLog
) -> None:
    async with feed.subscribed(WORKFLOWS, None) as everything:
        await writer.insert(wide(3))
        first = await take(everything, 3)
    await feed.stop()
    await writer.insert(wide(4))

    async with feed.subscribed(WORKFLOWS, first[0].cursor) as back:
        assert cursors(await take(back, 6)) == [first[0].cursor + n for n in range(1, 7)]

    assert log.reads > 0


async def test_the_start_of_a_job_that_runs_on_is_told_while_it_runs(writer: Hand, feed: Feed) -> None:
    workflow_id = await writer.insert(chain(1))
    async with feed.subscribed(of_workflow(workflow_id), None) as events:
        await writer.start((await writer.job(workflow_id, "s0")).id)

        [started] = await take(events, 1)

    assert started.to_dict()["change"] == "started"
