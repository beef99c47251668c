"""The stream as a browser has it: every event, in order, whatever cuts it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from oban_powertools import Cursor, Powertools, Workflow, WorkflowId
from oban_powertools.integrations.sse.limits import StreamLimits, Turns
from tests.support.event_source import EventSource, Message, RefusedError
from tests.support.site import HOSTS, Site, unreachable

SOON = 10
"""Seconds in which anything that is to happen has happened."""


async def insert(powertools: Powertools, steps: int = 2) -> WorkflowId:
    """A workflow of steps that wait for a signal, one after the other; ``complete`` moves it."""
    workflow = Workflow("waits")
    for number in range(steps):
        name, deps = f"s{number}", [f"s{number - 1}"] if number else []
        workflow.await_signal(name, signal=name, correlation_key="key", deps=deps)
    return (await powertools.workflows.insert(workflow)).id


async def complete(powertools: Powertools, workflow_id: WorkflowId, *numbers: int) -> None:
    for number in numbers:
        await powertools.workflows.signal(f"s{number}", "key", workflow_id=workflow_id)


async def take(messages: AsyncIterator[Message], count: int) -> list[Message]:
    async with asyncio.timeout(SOON):
        return [await anext(messages) for _ in range(count)]


async def take_until_finished(messages: AsyncIterator[Message]) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(2 * SOON):
        async for message in messages:
            found.append(message)
            if message.event == "workflow_finished":
                break
    return found


async def written(powertools: Powertools, since: Cursor, workflow_id: WorkflowId | None = None) -> list[dict]:
    return [event.to_dict() for event in await powertools.events.read(since=since, workflow_id=workflow_id)]


@pytest.mark.parametrize("host", HOSTS)
async def test_every_event_arrives_with_its_cursor_and_type(powertools: Powertools, host: str) -> None:
    async with Site(powertools, host=host).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:all")
        async with aclosing(source.messages()) as messages:
            first = asyncio.create_task(anext(messages))
            await asyncio.wait_for(source.connected.wait(), SOON)
            start = await powertools.events.head()
            workflow_id = await insert(powertools)
            await complete(powertools, workflow_id, 0, 1)
            found = [await first, *await take_until_finished(messages)]

    assert [message.json for message in found] == await written(powertools, start)
    assert [message.id for message in found] == [str(message.json["cursor"]) for message in found]
    assert [message.event for message in found] == [message.json["type"] for message in found]
    assert source.parser.retry == 1000


async def test_the_answer_is_a_stream_that_nobody_may_keep_or_hold_back(powertools: Powertools) -> None:
    async with (
        Site(powertools).served() as site,
        httpx.AsyncClient() as client,
        client.stream("GET", site.url, params={"topic": "workflow:all"}) as answer,
    ):
        headers = answer.headers

    assert headers["Content-Type"].partition(";")[0] == "text/event-stream"
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")


async def test_a_stream_goes_on_after_the_last_event_that_the_browser_has(powertools: Powertools) -> None:
    workflow_id = await insert(powertools, 3)
    await complete(powertools, workflow_id, 0, 1, 2)
    all_of_it = await written(powertools, Cursor(0))
    async with Site(powertools).served() as site:
        for after in (0, 3, len(all_of_it) - 1):
            by_query = EventSource(f"{site.url}?topic=workflow:all&after={after}")
            by_header = EventSource(f"{site.url}?topic=workflow:{workflow_id}&after=1", **{"Last-Event-ID": str(after)})
            for source in (by_query, by_header):
                async with aclosing(source.messages()) as messages:
                    found = await take_until_finished(messages)
                assert [message.json for message in found] == all_of_it[after:]


async def test_a_browser_cut_off_before_its_first_event_misses_nothing(powertools: Powertools) -> None:
    async with Site(powertools).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:all")
        async with aclosing(source.messages()) as messages:
            first = asyncio.create_task(anext(messages))
            await asyncio.wait_for(source.connected.wait(), SOON)
            first.cancel()
            await asyncio.wait({first})
        await insert(powertools)
        again = EventSource(f"{site.url}?topic=workflow:all", **{"Last-Event-ID": source.parser.last_id})
        async with aclosing(again.messages()) as messages:
            [message] = await take(messages, 1)

    assert message.json["number"] == 1


async def test_the_stream_of_a_workflow_has_no_event_of_another_one(powertools: Powertools) -> None:
    mine, others = await insert(powertools, 3), await insert(powertools, 3)
    async with Site(powertools).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:{mine}&after=0")
        async with aclosing(source.messages()) as messages:
            found = await take(messages, 1)
            for number in range(3):
                await complete(powertools, others, number)
                await complete(powertools, mine, number)
            found += await take_until_finished(messages)

    assert [message.json for message in found] == await written(powertools, Cursor(0), mine)


async def test_a_name_that_looks_like_a_message_arrives_as_a_name(powertools: Powertools) -> None:
    forged = "x\r\n\r\nevent: workflow_finished\rid: 999\ndata: {}\n\n"
    workflow = Workflow(forged, context={"label": forged})
    workflow.await_signal(forged, signal="s0", correlation_key="key")
    async with Site(powertools).served() as site:
        workflow_id = (await powertools.workflows.insert(workflow)).id
        await complete(powertools, workflow_id, 0)
        async with aclosing(EventSource(f"{site.url}?topic=workflow:all&after=0").messages()) as messages:
            found = await take_until_finished(messages)

    assert [message.json for message in found] == await written(powertools, Cursor(0))
    assert {message.json["workflow_label"] for message in found} == {forged}


async def test_an_open_stream_outlives_an_outage_of_the_database(powertools: Powertools, dsn: str) -> None:
    async with Site(powertools).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:all")
        async with aclosing(source.messages()) as messages:
            collecting = asyncio.create_task(take_until_finished(messages))
            await asyncio.wait_for(source.connected.wait(), SOON)
            with unreachable(dsn):
                pass
            async with Powertools.open(dsn) as other:
                await complete(other, await insert(other, 1), 0)
            found = await collecting

    assert [message.json for message in found] == await written(powertools, Cursor(0))
    assert source.connects == 1


async def test_streams_end_with_the_powertools_they_are_of(dsn: str) -> None:
    async with Powertools.open(dsn) as powertools:
        site = Site(powertools)
        async with site.served(), httpx.AsyncClient() as client:
            await client.send(client.build_request("GET", site.url, params={"topic": "workflow:all"}), stream=True)
            await powertools.__aexit__()
            await site.until_open(0)
            await powertools.__aenter__()


async def test_a_stream_that_is_closed_for_its_age_is_taken_up_without_a_gap(powertools: Powertools) -> None:
    limits = {"lasts_for": timedelta(seconds=0.2)}
    async with Site(powertools, limits=limits).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:all")
        async with aclosing(source.messages()) as messages:
            collecting = asyncio.create_task(take_until_finished(messages))
            await asyncio.wait_for(source.connected.wait(), SOON)
            workflow_id = await insert(powertools, 30)
            for number in range(30):
                await complete(powertools, workflow_id, number)
                await asyncio.sleep(0.02)  # so that it lasts longer than a stream
            found = await collecting

    assert [message.json for message in found] == await written(powertools, Cursor(0))
    assert source.connects > 1


async def test_who_loses_the_right_to_see_loses_the_stream(powertools: Powertools) -> None:
    limits = {"authorize_every": timedelta(seconds=0.1)}
    async with Site(powertools, limits=limits).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:all")
        async with aclosing(source.messages()) as messages:
            waiting = asyncio.create_task(anext(messages))
            await asyncio.wait_for(source.connected.wait(), SOON)
            site.allowed = lambda connection, topic: False
            await site.until_open(0)
            await insert(powertools)
            with pytest.raises(RefusedError) as refused:
                await asyncio.wait_for(waiting, SOON)

    assert refused.value.status == 403


async def test_an_authorize_that_fails_later_closes_the_stream(powertools: Powertools) -> None:
    def broken(connection: object, topic: str) -> bool:
        raise ConnectionError("the user directory is away")

    async with (
        Site(powertools, limits={"authorize_every": timedelta(seconds=0.1)}).served() as site,
        httpx.AsyncClient() as client,
        client.stream("GET", site.url, params={"topic": "workflow:all"}) as answer,
    ):
        site.allowed = broken
        async with asyncio.timeout(SOON):
            lines = [line async for line in answer.aiter_lines()]

    assert lines == ["id: 0", "retry: 1000", ""]


async def test_a_cursor_older_than_retention_gets_a_reset_and_goes_on_from_now(
    powertools: Powertools, dsn: str
) -> None:
    await complete(powertools, await insert(powertools), 0, 1)
    await insert(powertools)
    head = await powertools.events.head()
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT powertools.prune_events_v1('0 s', 1000)")
    async with Site(powertools).served() as site:
        source = EventSource(f"{site.url}?topic=workflow:all&after=1")
        async with aclosing(source.messages()) as messages:
            [reset] = await take(messages, 1)
            following = asyncio.create_task(take(messages, 1))
            workflow_id = await insert(powertools)
            [message] = await following

    assert (reset.event, reset.json) == ("reset", {"type": "reset", "cursor": str(head)})
    assert (message.json["workflow_id"], message.json["number"]) == (str(workflow_id), 1)


async def test_a_cursor_of_another_database_gets_a_reset(powertools: Powertools) -> None:
    await insert(powertools)
    head = await powertools.events.head()
    async with Site(powertools).served() as site:
        messages = EventSource(f"{site.url}?topic=workflow:all&after=999").messages()
        async with aclosing(messages):
            [reset] = await take(messages, 1)

    assert (reset.event, reset.id) == ("reset", str(head))


async def test_a_quiet_stream_has_a_heartbeat(powertools: Powertools) -> None:
    async with (
        Site(powertools, limits={"heartbeat_every": timedelta(seconds=0.05)}).served() as site,
        httpx.AsyncClient() as client,
        client.stream("GET", site.url, params={"topic": "workflow:all"}) as answer,
        asyncio.timeout(SOON),
    ):
        comments = [line async for line in _first(answer.aiter_lines(), 2)]

    assert comments == [": heartbeat", ": heartbeat"]


async def _first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    """The first comments."""
    async for line in lines:
        if line.startswith(":"):
            yield line
            count -= 1
        if not count:
            return


async def test_who_leaves_frees_place_and_subscription(powertools: Powertools) -> None:
    workflow_id = await insert(powertools, 1)
    async with Site(powertools).served() as site, httpx.AsyncClient() as client:
        for topic in ("workflow:all", f"workflow:{workflow_id}"):
            for _ in range(5):
                await client.send(client.build_request("GET", site.url, params={"topic": topic}), stream=True)
        await site.until_open(10)
        await client.aclose()
        await site.until_open(0)

    assert subscribers(powertools) == 0


async def test_a_client_that_takes_nothing_is_let_go(powertools: Powertools) -> None:
    """Its events wait in the database, not in this process."""
    await complete(powertools, await insert(powertools, 300), *range(300))
    async with Site(powertools, limits={"send_within": timedelta(seconds=0.3)}).served() as site:
        parts = urlsplit(site.url)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((parts.hostname, parts.port))
            request = f"GET {parts.path}?topic=workflow:all&after=0 HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
            client.sendall(request.encode())
            await site.until_open(1)
            await site.until_open(0)

    assert subscribers(powertools) == 0


async def test_a_server_that_stops_closes_its_streams_within_a_second(powertools: Powertools) -> None:
    async with Site(powertools).served() as site, httpx.AsyncClient() as client:
        for _ in range(10):
            await client.send(client.build_request("GET", site.url, params={"topic": "workflow:all"}), stream=True)
        started_at = time.monotonic()
        site.server.should_exit = True
        await site.until_open(0)
        took = time.monotonic() - started_at

    assert took < 1


def subscribers(powertools: Powertools) -> int:
    return len(powertools.events._feed._everybody())


@contextlib.contextmanager
def server(dsn: str, listening: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--factory",
        "tests.support.site:from_environment",
        "--log-level",
        "error",
    ]
    environment = {**os.environ, "SITE_DSN": dsn}
    process = subprocess.Popen(
        [*command, "--fd", str(listening.fileno())], env=environment, pass_fds=[listening.fileno()]
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_a_browser_goes_on_without_a_gap_when_its_server_ends(
    powertools: Powertools, dsn: str, end: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        source = EventSource(f"http://127.0.0.1:{listening.getsockname()[1]}/ops/events/?topic=workflow:all")
        async with aclosing(source.messages()) as messages:
            with server(dsn, listening) as process:
                collecting = asyncio.create_task(take(messages, 1))
                await asyncio.wait_for(source.connected.wait(), 2 * SOON)
                workflow_id = await insert(powertools, 6)
                found = await collecting
                await complete(powertools, workflow_id, 0, 1)
                found += await take(messages, 2)
                process.send_signal(end)
                ended_at = time.monotonic()
                await asyncio.to_thread(process.wait, SOON)
                took = time.monotonic() - ended_at
            await complete(powertools, workflow_id, 2, 3)
            with server(dsn, listening):
                following = asyncio.create_task(take_until_finished(messages))
                await complete(powertools, workflow_id, 4, 5)
                found += await following

    assert [message.json for message in found] == await written(powertools, Cursor(0))
    assert took < 2


async def test_who_begins_at_the_logs_start_again_and_again_waits_for_a_turn(powertools: Powertools) -> None:
    workflow_id = await insert(powertools)
    await complete(powertools, workflow_id, 0, 1)
    begun = asyncio.get_running_loop().time()
    async with Site(powertools, limits={"past_per_second": 1000}).served() as site:
        for _ in range(6):  # 500 events are half a second; four turns come without a wait
            await powertools.events.stop()  # or the feed would have them in memory
            source = EventSource(f"{site.url}?topic=workflow:all&after=0")
            async with aclosing(source.messages()) as messages:
                await take(messages, 1)

    assert asyncio.get_running_loop().time() - begun >= 1.0


async def test_the_turns_of_one_client_are_not_anothers() -> None:
    turns = Turns(StreamLimits(past_per_second=50_000))
    taken: list[str] = []

    async def take_turns(client: str, count: int) -> None:
        for _ in range(count):
            await turns.take(client)
            taken.append(client)

    begun = asyncio.get_running_loop().time()
    await asyncio.gather(take_turns("busy", 14), take_turns("new", 4))

    assert asyncio.get_running_loop().time() - begun >= 0.1
    assert taken.index("new") < 4 and taken[-1] == "busy"


async def test_clients_that_have_saved_up_their_turns_are_forgotten() -> None:
    turns = Turns(StreamLimits(past_per_second=10**9))
    for client in range(100):
        await turns.take(client)

    assert len(turns._due) <= 10
