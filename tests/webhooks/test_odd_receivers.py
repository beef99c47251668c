"""Whatever a receiver answers is written down, quotes nothing of it, and the delivery goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oban_powertools.webhooks.schedule import GIVE_UP_AFTER, parse_retry_after
from tests.webhooks.conftest import Post

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nretry-after: %s\r\n\r\n"
ODD_DATES = (
    "Wed, 21 Oct 99999999999 07:28:00 GMT",
    "Wed, 21 Oct 10000 07:28:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Sat, 01 Jan 0001 00:00:00 +2359",
    "Mon, 00 Jan 0000 00:00:00 GMT",
    "Wed, 21 Oct 2015 07:28:00 +99999999999999",
    "Wed, 32 Oct 2015 25:61:00 GMT",
)
DATES = st.builds(
    "Wed, {} Oct {} {}:{}:00 {}{}".format,
    st.integers(),
    st.integers(0),
    st.integers(0),
    st.integers(0),
    st.sampled_from("+- "),
    st.integers(0),
)


@given(st.text() | DATES | st.integers().map(str))
@example(ODD_DATES[0])
@example(ODD_DATES[2])
@example("9" * 5000)
@example("-1")
@example("1e9")
@example("\u0663")
def test_retry_after_is_a_span_within_what_is_tried_or_nothing(value: str) -> None:
    asked = parse_retry_after(value, NOW)

    assert asked is None or timedelta(0) <= asked <= GIVE_UP_AFTER


@pytest.mark.parametrize("value", [*ODD_DATES, "", " ", "nonsense", "\xff\xfe", "1, 2", "9" * 5000])
async def test_a_busy_receiver_is_written_down_whatever_its_retry_after(post: Post, value: str) -> None:
    async with answering(BUSY % value.encode("latin-1")) as url:
        issued = await post.add(url)
        await post.finish_workflows()

        wait = await post.deliver(issued)

    [delivery] = await post.deliveries(issued)
    assert (delivery.status, delivery.error, delivery.attempts) == (503, "HTTP 503", 1)
    assert wait is not None and timedelta(0) < wait <= GIVE_UP_AFTER


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"hunter2", None),
        (b"\x00\xff" * 5000, None),
        (b"HTTP/1.1 200 hunter2\r\nhunter2 header\r\n\r\n", None),
        (b"HTTP/1.1 999 hunter2\r\ncontent-length: 0\r\n\r\n", 999),
        (b"HTTP/1.1 500 hunter2\r\ncontent-length: hunter2\r\n\r\n", None),
        (b"HTTP/1.1 500 no\r\ntransfer-encoding: chunked\r\n\r\nhunter2", 500),
        (b"HTTP/1.1 500 no\r\ncontent-encoding: gzip\r\ncontent-length: 7\r\n\r\nhunter2", 500),
        (b"HTTP/1.1 101 hunter2\r\nupgrade: hunter2\r\n\r\n", None),
        (b"HTTP/1.1 302 \xe9\r\nlocation: \xff\r\ncontent-length: 0\r\n\r\n", 302),
        (b"", None),
    ],
)
async def test_an_odd_answer_is_written_down_and_not_quoted(post: Post, answer: bytes, status: int | None) -> None:
    async with answering(answer) as url:
        issued = await post.add(url)
        await post.finish_workflows()

        wait = await post.deliver(issued)

    [delivery] = await post.deliveries(issued)
    assert (delivery.status, delivery.attempts) == (status, 1)
    assert delivery.error and "hunter2" not in delivery.error
    assert wait is not None


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A receiver that answers each request with these very bytes, and hangs up."""

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer_one, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
