"""What the tests of subscriptions share: somebody who follows, and somebody who writes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from oban_powertools import AnyEvent, Event, Powertools, Settings, Workflow
from oban_powertools.events import Subscription
from tests.support.by_hand import everybody_may, step

WITHIN = 20  # seconds


async def take[E: AnyEvent](subscription: Subscription[E], count: int) -> list[E]:
    """The next so many events."""
    async with asyncio.timeout(WITHIN):
        return [await anext(subscription) for _ in range(count)]


async def take_until_finished(subscription: Subscription[Event], workflows: int = 1) -> list[Event]:
    """Everything up to the end of the last of so many workflows."""
    found: list[Event] = []
    async with asyncio.timeout(WITHIN):
        async for event in subscription:
            found.append(event)
            workflows -= event.to_dict()["type"] == "workflow_finished"
            if workflows == 0:
                return found
    raise AssertionError("the subscription ended")


def wide(steps: int) -> Workflow:
    """Steps without edges: so many events in one batch."""
    workflow = Workflow("wide")
    workflow.add_many({f"s{number}": step() for number in range(steps)})
    return workflow


def numbers(events: Sequence[Event]) -> list[int]:
    return [event.number for event in events]


def cursors(events: Sequence[AnyEvent]) -> list[int]:
    return [event.cursor for event in events]


@asynccontextmanager
async def opened(dsn: str, **settings: Any) -> AsyncIterator[Powertools]:
    """A running Powertools without queues."""
    async with Powertools.open(dsn, authorize=everybody_may, settings=Settings(**settings)) as powertools:
        yield powertools


class Backends:
    """The server processes of one database, seen from a connection of the test's own."""

    def __init__(self, conn: psycopg.AsyncConnection) -> None:
        self._conn = conn

    async def listening(self) -> list[int]:
        """Pids of the connections that wait after a LISTEN."""
        rows = await self._conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND query LIKE '%LISTEN \"powertools.events\";'"
        )
        return [pid for (pid,) in await rows.fetchall()]

    async def terminate(self, pids: Sequence[int]) -> None:
        await self._conn.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (list(pids),))

    async def of_powertools(self) -> int:
        """How many connections Powertools has of its own."""
        rows = await self._conn.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'powertools'"
        )
        return (await rows.fetchall())[0][0]
