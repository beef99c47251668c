"""A call after the end says so in a sentence of ours, by every facade, with and without asyncio."""

import pickle
from collections.abc import Callable
from typing import Any, Final, get_type_hints

import pytest
from psycopg_pool import AsyncConnectionPool, PoolClosed

from oban_powertools import Powertools
from oban_powertools.calls import Calls, open_calls
from oban_powertools.errors import PowertoolsClosedError
from oban_powertools.sync import open_sync_calls
from oban_powertools.testing import open_runner

CALLS: Final[dict[str, Callable[[Any], Any]]] = {
    "workflows": lambda calls: calls.workflows.get(1),
    "audit": lambda calls: calls.audit.list(),
    "explain": lambda calls: calls.explain.workflow(1),
    "events": lambda calls: calls.events.head(),
    "metrics": lambda calls: calls.metrics.count(),
    "webhooks": lambda calls: calls.webhooks.list(),
    "lifeline": lambda calls: calls.lifeline.list_incidents(),
    "shared_settings": lambda calls: calls.shared_settings.list_settings(),
    "queues": lambda calls: calls.queues.list(),
    "jobs": lambda calls: calls.jobs.list(),
}
"""Facade -> one of its calls."""


async def left(dsn: str) -> Any:
    async with Powertools.open(dsn) as powertools:
        pass
    return powertools


async def closed(dsn: str) -> Any:
    powertools = await Powertools.start(dsn)
    await powertools.close()
    return powertools


async def calls(dsn: str) -> Any:
    async with AsyncConnectionPool(dsn, min_size=1, open=False) as pool, open_calls(pool) as opened:
        pass
    return opened


async def runner(dsn: str) -> Any:
    with open_runner(dsn) as opened:
        pass
    return opened.powertools


@pytest.mark.parametrize("facade", CALLS)
@pytest.mark.parametrize("end", [left, closed, calls, runner])
async def test_a_call_after_the_end_says_so(dsn: str, end: Callable[[str], Any], facade: str) -> None:
    ended = await end(dsn)

    with pytest.raises(PowertoolsClosedError, match="between `start` and `close`"):
        await CALLS[facade](ended)


@pytest.mark.parametrize("facade", CALLS)
def test_a_synchronous_call_after_the_end_says_so(dsn: str, facade: str) -> None:
    with open_sync_calls(dsn) as ended:
        pass

    with pytest.raises(PowertoolsClosedError):
        CALLS[facade](ended)


def test_every_facade_is_known_here() -> None:
    assert {name for name in get_type_hints(Calls) if not name.startswith("_")} == set(CALLS)


async def test_a_connection_and_a_subscription_after_the_end_say_so(dsn: str) -> None:
    ended = await left(dsn)

    with pytest.raises(PowertoolsClosedError):
        async with ended.connect():
            pass
    with pytest.raises(PowertoolsClosedError):
        async with ended.events.subscribe("executor:all") as events:
            async for _ in events:
                break


def test_who_knew_the_error_of_the_pool_still_does_and_it_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(PowertoolsClosedError()))

    assert isinstance(error, PoolClosed)
    assert str(error) == str(PowertoolsClosedError())
