"""Notifications only save waiting: lost, forged, absent or in a flood, every event comes.

Rules: invariant/I5, fault/F10, property/P21, security/S11.
"""

import asyncio
import logging
import os
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from oban import Oban
from psycopg_pool import AsyncConnectionPool

from oban_powertools import Cursor, Powertools, Settings
from oban_powertools.events.subscription import BUFFER
from tests.support.by_hand import Hand, chain
from tests.support.following import Backends, cursors, numbers, opened, take, take_until_finished, wide
from tests.support.ledger import eventually
from tests.support.tcp_proxy import TcpProxy

NEVER = timedelta(hours=1)
PGBOUNCER = Path("/usr/sbin/pgbouncer")
SEED = int(os.environ.get("POWERTOOLS_SEED", "4"))


async def _until_listening(backends: Backends) -> list[int]:
    return await eventually(backends.listening)


@pytest.mark.notified
async def test_a_notification_wakes_the_readers_without_polling(dsn: str, writer: Hand) -> None:
    never = {"events_poll_every": NEVER, "events_poll_alone_every": NEVER}
    async with opened(dsn, **never) as reader, reader.events.subscribe_all() as events:
        await _until_listening(Backends(writer.conn))
        await writer.run_all(await writer.insert(chain(3)))

        assert numbers(await take_until_finished(events)) == list(range(1, 11))


async def test_without_notifications_polling_brings_the_same(dsn: str, writer: Hand) -> None:
    async with opened(dsn, listen=False) as reader, reader.events.subscribe_all() as events:
        await writer.run_all(await writer.insert(chain(3)))
        found = await take_until_finished(events)
        listening = await Backends(writer.conn).listening()

    assert numbers(found) == list(range(1, 11))
    assert listening == []


async def test_a_listener_killed_at_random_costs_no_event(writer: Hand, reader: Powertools) -> None:
    """The seed is printed when it fails; POWERTOOLS_SEED repeats it."""
    chance, backends, done = random.Random(SEED), Backends(writer.conn), asyncio.Event()

    async def kill() -> None:
        async with writer.powertools.connect() as conn:
            killer = Backends(conn)
            while not done.is_set():
                await killer.terminate(await killer.listening())
                with suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), chance.uniform(0, 0.2))

    async with reader.events.subscribe_all() as events:
        await _until_listening(backends)
        killing = asyncio.create_task(kill())
        workflow_id = await writer.insert(wide(40))
        for number in range(40):
            await writer.run(workflow_id, {f"s{number}": None})
        found = await take_until_finished(events)
        done.set()
        await asyncio.wait([killing])
        await _until_listening(backends)

    assert numbers(found) == list(range(1, 122)), f"seed {SEED}"
    assert cursors(found) == sorted(cursors(found))


async def test_forged_and_garbage_notifications_change_nothing_and_cost_little(dsn: str, writer: Hand) -> None:
    await writer.rows(f"ALTER DATABASE {urlsplit(dsn).path[1:]} SET track_functions = 'pl'")
    payloads = ["", "{", "\x01\x7f", "ü€😀" * 500, '{"action": "stop"}', "powertools.events", "x" * 7999]
    async with opened(dsn, sweep_every=NEVER) as reader, reader.events.subscribe_all() as events:
        await _until_listening(Backends(writer.conn))
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        for number in range(1000):
            await writer.rows("SELECT pg_notify('powertools.events', %s)", payloads[number % len(payloads)])
        took = loop.time() - began_at
        await writer.run_all(await writer.insert(chain(2)))

        assert numbers(await take_until_finished(events)) == list(range(1, 8))
        assert len(await _until_listening(Backends(writer.conn))) == 1

    looks = "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'place_events_v1'"

    async def counted() -> int:
        return sum(row["calls"] for row in await writer.rows(looks))

    assert await eventually(counted) <= took / 0.01 + 50


async def test_a_reader_slower_than_the_events_gets_all_of_them_from_a_bounded_buffer(
    writer: Hand, reader: Powertools
) -> None:
    async with reader.events.subscribe_all() as slow, reader.events.subscribe_all() as fast:
        ids = [await writer.insert(wide(900)) for _ in range(4)]
        at_once = await take(fast, 3600)
        buffered = len(slow._buffer)
        later = await take(slow, 3500)
        await writer.run(ids[0], {"s0": None})
        rest = await take(slow, 102)

    assert buffered <= BUFFER
    assert cursors(at_once) == list(range(1, 3601))
    assert cursors(later + rest) == list(range(1, 3603))


async def test_thousands_of_subscribers_share_one_listener(writer: Hand, reader: Powertools) -> None:
    workflow_ids = [await writer.insert(chain(1)) for _ in range(20)]
    head = await reader.events.head()
    backends = Backends(writer.conn)

    async def follow(number: int) -> list[int]:
        events = reader.events
        topic = (
            events.subscribe_workflow(workflow_ids[number % 20], since=head) if number % 2 else events.subscribe_all()
        )
        async with topic as subscription:
            subscribed.release()
            return numbers(await take(subscription, 3 if number % 2 else 60))

    subscribed = asyncio.Semaphore(0)
    following = [asyncio.create_task(follow(number)) for number in range(3000)]
    for _ in following:
        await subscribed.acquire()
    listening = await _until_listening(backends)
    connections = await backends.of_powertools()
    for workflow_id in workflow_ids:
        await writer.run_all(workflow_id)
    found = await asyncio.gather(*following)

    assert len(listening) == 1
    # With Oban's own pool and notifier.
    assert connections <= 1 + Settings().pool_size + 10 + 1
    assert {tuple(told) for told in found[1::2]} == {(2, 3, 4)}
    assert {tuple(told) for told in found[::2]} == {(2, 3, 4) * 20}


async def test_subscribers_survive_an_outage_of_the_database(dsn: str, writer: Hand, reader: Powertools) -> None:
    name = urlsplit(dsn).path[1:]
    async with reader.events.subscribe_all() as events, await _to_postgres(dsn) as outside:
        workflow_id = await writer.insert(chain(2))
        before = await take(events, 1)
        waiting = asyncio.create_task(take(events, 3))
        await outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        await writer.run(workflow_id, {"s0": None})
        mine = writer.conn.info.backend_pid
        await outside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s", (name, mine)
        )
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(dsn)
        await outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())

        after = await waiting
        await _until_listening(Backends(writer.conn))

    assert numbers(before + after) == [1, 2, 3, 4]


async def _to_postgres(dsn: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(urlsplit(dsn)._replace(path="/postgres").geturl(), autocommit=True)


@pytest.fixture
def pgbouncer() -> Path:
    """The program."""
    if not PGBOUNCER.exists():
        message = f"pgbouncer is not installed in {PGBOUNCER}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return PGBOUNCER


@pytest.fixture
async def pooled_dsn(pgbouncer: Path, dsn: str, server_directory: Path) -> AsyncIterator[str]:
    """The test's database through pgbouncer in transaction mode."""
    # Through the proxy, because another user than ours may not reach the server's socket.
    async with TcpProxy.before(dsn) as proxy:
        with _pooling(pgbouncer, proxy.dsn, server_directory) as pooled:

            async def answers() -> bool:
                return await _answers(pooled)

            await eventually(answers)
            yield pooled


@contextmanager
def _pooling(program: Path, dsn: str, directory: Path) -> Iterator[str]:
    server = urlsplit(dsn)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = directory / "pgbouncer.ini"
    settings.write_text(f"""
[databases]
* = host={server.hostname} port={server.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
""")
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_postgres, str(program), str(settings)]
    with (directory / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}{server.path}"
    finally:
        process.terminate()
        process.wait(timeout=10)


async def _answers(dsn: str) -> bool:
    try:
        async with await psycopg.AsyncConnection.connect(dsn, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@asynccontextmanager
async def _through_pooler(dsn: str, **settings: Any) -> AsyncIterator[Powertools]:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        dsn, kwargs={"prepare_threshold": None}, min_size=1, max_size=5, open=False
    )
    async with pool:
        powertools = Powertools(Oban(pool=pool), settings=Settings(**settings))
        try:
            async with powertools:
                yield powertools
        finally:
            await powertools.close()


async def test_behind_a_pooler_in_transaction_mode_events_are_polled_for(
    pooled_dsn: str, writer: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    async with _through_pooler(pooled_dsn) as reader, reader.events.subscribe_all() as events:
        await writer.run_all(await writer.insert(chain(3)))
        found = await take_until_finished(events)

        async def told() -> bool:
            return any("listen_dsn" in record.message for record in caplog.records)

        with caplog.at_level(logging.WARNING, "oban_powertools.events"):
            await eventually(told, within=20)

    assert numbers(found) == list(range(1, 11))


@pytest.mark.notified
async def test_beside_a_pooler_the_listener_takes_a_way_of_its_own(pooled_dsn: str, dsn: str, writer: Hand) -> None:
    settings = {"listen_dsn": dsn, "events_poll_every": NEVER, "events_poll_alone_every": NEVER}
    async with _through_pooler(pooled_dsn, **settings) as reader, reader.events.subscribe_all() as events:
        await _until_listening(Backends(writer.conn))
        await writer.run_all(await writer.insert(chain(3)))

        assert numbers(await take_until_finished(events)) == list(range(1, 11))


async def test_the_log_is_placed_and_pruned_without_readers(dsn: str, writer: Hand) -> None:
    await writer.run_all(await writer.insert(chain(1)))

    async def placed() -> bool:
        return await writer.one("SELECT head FROM powertools.event_log") == 4

    async with opened(dsn) as powertools:
        await eventually(placed)
        found = await powertools.events.read(since=Cursor(0))

    assert cursors(found) == [1, 2, 3, 4]
