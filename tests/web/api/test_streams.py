"""The stream of events of the API: it begins, goes on without a gap, says when it cannot, and refuses as a problem."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from oban_powertools import WorkflowId
from tests.support.by_hand import Hand, chain
from tests.support.console import SAME_ORIGIN, console_of, served
from tests.support.event_source import Message, Parser

STREAM = "/api/v1/events/stream"


@pytest.fixture
async def online(hand: Hand) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        console_of(hand) as (console, _),
        served(console) as address,
        httpx.AsyncClient(base_url=address, headers=SAME_ORIGIN) as client,
    ):
        yield client


async def _first(client: httpx.AsyncClient, count: int, *, then: object = None, **query: str) -> list[Message]:
    """The first messages of a stream; ``then`` is awaited when it is open."""
    parser, messages = Parser(), list[Message]()
    async with asyncio.timeout(30), client.stream("GET", STREAM, params=query) as answer:
        assert answer.status_code == 200
        assert answer.headers["x-request-id"]
        async for text in answer.aiter_text():
            if then is not None:
                begin, then = then, None
                await begin()  # type: ignore[operator]
            messages += parser.feed(text)
            if len(messages) >= count:
                return messages
    return messages


async def test_a_stream_tells_what_happens_from_now_on(online: httpx.AsyncClient, hand: Hand) -> None:
    inserted: list[WorkflowId] = []

    async def insert() -> None:
        inserted.append(await hand.insert(chain(1)))

    [message] = await _first(online, 1, then=insert, topic="workflow:all")

    assert (message.event, message.json["workflow_id"]) == ("step_updated", str(inserted[0]))
    assert message.id == message.json["cursor"]


async def test_a_stream_goes_on_after_the_cursor_of_a_page(online: httpx.AsyncClient, hand: Hand) -> None:
    head = (await online.get("/api/v1/events", params={"topic": "workflow:all"})).json()["next_cursor"]
    workflow_id = await hand.insert(chain(1))

    [message] = await _first(online, 1, topic=f"workflow:{workflow_id}", after=head)

    assert message.json["step_name"] == "s0"


async def test_a_cursor_that_is_not_in_the_log_is_reset(online: httpx.AsyncClient) -> None:
    [message] = await _first(online, 1, topic="workflow:all", after="999999999999")

    assert message.event == "reset"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 422),
        ({"topic": "workflow"}, 422),
        ({"topic": "workflow:999999999"}, 404),
        ({"topic": "workflow:all", "after": "x"}, 422),
        ({"topic": "workflow:all", "since": "1"}, 422),
    ],
)
async def test_a_stream_that_cannot_begin_is_a_problem(
    online: httpx.AsyncClient, query: dict[str, str], status: int
) -> None:
    answer = await online.get(STREAM, params=query)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_somebody_unknown_gets_no_stream(hand: Hand) -> None:
    async with console_of(hand, actor=lambda connection: None) as (_, client):
        answer = await client.get(STREAM, params={"topic": "workflow:all"})

    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
