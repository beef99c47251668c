"""The stream that says that a page has something new."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from oban_powertools.web.streams import TOGETHER, Streams
from tests.support.console import furnished_console, served
from tests.support.event_source import EventSource, RefusedError
from tests.support.ledger import eventually


async def first(source: EventSource, event: str) -> str:
    async for message in source.messages():
        if message.event == event:
            return message.data
    raise AssertionError(event)


def is_open(*sources: EventSource) -> Callable[[], Awaitable[bool]]:
    async def opened() -> bool:
        return all(source.connects for source in sources)

    return opened


async def test_a_change_is_told_without_what_it_is(dsn: str) -> None:
    async with furnished_console(dsn) as shop, served(shop.console) as origin, asyncio.timeout(20):
        source = EventSource(f"{origin}/stream?topics=incident:all%20executor:all")
        waiting = asyncio.create_task(first(source, "changed"))
        await eventually(is_open(source))
        await shop.hand.powertools.lifeline.acknowledge_incident(1, actor="ada")

        assert await waiting == "now"


@pytest.mark.parametrize("topics", ["", "incident:all " * 5, "secret:all", "workflow:0"])
async def test_a_stream_has_a_few_topics_that_there_are(dsn: str, topics: str) -> None:
    async with furnished_console(dsn) as shop:
        answer = await shop.client.get("/stream", params={"topics": topics})

    assert answer.status_code in (400, 422)


async def test_one_actor_has_so_many_streams(dsn: str) -> None:
    async with furnished_console(dsn) as shop, served(shop.console) as origin, asyncio.timeout(20):
        sources = [EventSource(f"{origin}/stream?topics=incident:all") for _ in range(4)]
        tasks = [asyncio.create_task(first(source, "never")) for source in sources]
        await eventually(is_open(*sources))

        with pytest.raises(RefusedError) as refused:
            await first(EventSource(f"{origin}/stream?topics=incident:all"), "beat")

        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert refused.value.status == 429


async def test_somebody_unknown_gets_no_stream(dsn: str) -> None:
    async with furnished_console(dsn, actor=lambda connection: None) as shop:
        answer = await shop.client.get("/stream?topics=incident:all")

    assert answer.status_code == 401


def test_a_page_is_told_at_once_where_few_are_open_and_where_many_are_each_at_its_own_time() -> None:
    streams = Streams(lambda _: "ada")
    with ExitStack() as few:
        for page in range(TOGETHER):
            few.enter_context(streams.open.one_more(page))
        assert {streams.calm() for _ in range(100)} == {1.0}

        for page in range(TOGETHER, 10 * TOGETHER):
            few.enter_context(streams.open.one_more(page))
        waits = [streams.calm() for _ in range(1000)]

    assert (min(waits) >= 1, max(waits) <= 19) == (True, True)
    assert 8 < sum(waits) / len(waits) < 12
