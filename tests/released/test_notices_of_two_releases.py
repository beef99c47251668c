"""While an upgrade is under way, processes of both releases find incidents and dispatch: each notice is told once."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from oban_powertools import open_calls
from oban_powertools.database import connect
from oban_powertools.events.notices import KINDS
from tests.support.by_hand import everybody_may
from tests.support.ledger import eventually
from tests.support.receiver import Receiver, receiving

ROOT = Path(__file__).parents[2]
RELEASES = {"5aa1e6a": Path(__file__).parent / "5aa1e6a" / "oban_powertools.zip", "this": ROOT / "src"}
ADA: Any = {"actor": "ada", "reason": "because of a test"}
TYPES = [kind for kind in KINDS if kind.startswith(("incident.", "executor."))]

STORED = """
INSERT INTO powertools.signals (signal, correlation_key, status, inserted_at)
VALUES (%s, 'k', 'stored', now() - interval '2 h')
"""
TAKEN = "UPDATE powertools.signals SET status = 'late' WHERE signal = %s"
MUTED = "UPDATE powertools.incidents SET muted_until = now() - interval '1 s' WHERE state = 'active'"
LOST = """
WITH beats AS MATERIALIZED (
  SELECT powertools.beat_v1('{e}', '{n}', '{p}', '{elsewhere}', '{0}', '{15 s}', '{0}', '{0}', '45 s', '2 min', '{}')
)
SELECT FROM beats
"""
SILENT = """
UPDATE powertools.executors SET beat_at = now() - interval '1 h', started_at = now() - interval '2 h'
WHERE executor_id = 'e'
"""
UP_FOR_LONG = """
CREATE OR REPLACE FUNCTION powertools.server_started_at() RETURNS timestamptz LANGUAGE sql STABLE
AS $$ SELECT now() - interval '1 day' $$
"""
"""Silence counts from the start of the server."""

STOPPED = "UPDATE powertools.executors SET stopped_at = now() WHERE executor_id = 'e'"


@asynccontextmanager
async def at_work(release: str, dsn: str) -> AsyncIterator[None]:
    """A process of this release, at work."""
    sources = RELEASES[release]
    path = os.pathsep.join((str(sources), str(ROOT)))
    node = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.released.teller",
        dsn,
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert node.stdin is not None
    assert node.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert (await node.stdout.readline()).decode().startswith(str(sources))
        yield
    finally:
        node.stdin.close()
        await asyncio.wait_for(node.wait(), 30)


class Troubles:
    """What happens while they are at work, one after the other."""

    def __init__(self, conn: AsyncConnection[Any], events: Receiver) -> None:
        self._conn = conn
        self._events = events
        self.expected: list[str] = []

    async def happen(self, statement: str, *args: str, told: str) -> None:
        """Do this, and wait until all that it leads to was received."""
        await self._conn.execute(statement.encode(), args)
        self.expected += told.split()

        async def received() -> bool:
            return len(self._events.received) >= len(self.expected)

        await eventually(received, within=30)

    @property
    def states(self) -> list[str]:
        """What a chat is told of that."""
        return [kind for kind in self.expected if kind.startswith("incident.") and kind != "incident.changed"]

    async def of(self, name: str) -> None:
        """An incident opens, its mute ends, it is over, and it comes back and is over again."""
        await self.happen(STORED, name, told="incident.opened")
        await self.happen(MUTED, told="incident.changed")
        await self.happen(TAKEN, name, told="incident.resolved")
        await self.happen(STORED, name, told="incident.reopened")
        await self.happen(TAKEN, name, told="incident.resolved")


@pytest.mark.parametrize("order", [("5aa1e6a", "this"), ("this", "5aa1e6a")], ids=["forward", "back"])
async def test_each_notice_is_told_once_and_in_order_while_one_release_follows_the_other(
    dsn: str, order: tuple[str, str]
) -> None:
    async with receiving() as events, receiving() as chat, await connect(dsn) as conn, AsyncExitStack() as later:
        async with await connect(dsn) as own, open_calls(own, authorize=everybody_may) as calls:
            await calls.webhooks.add(events.url, types=TYPES, allow_private=True, **ADA)
            await calls.webhooks.add(chat.url, format="chat", allow_private=True, **ADA)
        troubles = Troubles(conn, events)
        async with at_work(order[0], dsn):
            await troubles.of("before")
            await later.enter_async_context(at_work(order[1], dsn))
            for number in range(3):
                await troubles.of(f"during-{number}")
            await conn.execute(UP_FOR_LONG.encode())
            await conn.execute(LOST.encode())
            await troubles.happen(SILENT, told="executor.missing incident.opened")
            await troubles.happen(STOPPED, told="executor.recovered incident.resolved")
        await troubles.of("after")

        async def told_in_the_chat() -> bool:
            return len(of_states(chat)) >= len(troubles.states)

        await eventually(told_in_the_chat, within=30)

    assert Counter(events.kinds) == Counter(troubles.expected)
    assert len({message.event["id"] for message in events.received}) == len(events.received)
    assert sorted(of_states(chat)) == sorted(troubles.states)


def of_states(chat: Receiver) -> list[str]:
    """What a chat was told of changes of state; an earlier release tells of no mute that ends."""
    words = [message.json["text"].split()[2] for message in chat.received]
    return [f"incident.{word.rstrip(':')}" for word in words if word != "is"]
