"""A writer whose jobs only the test moves, and a reader that runs beside it, on one database."""

from collections.abc import AsyncIterator

import pytest

from oban_powertools import Powertools
from tests.support.by_hand import Hand, by_hand
from tests.support.following import opened


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Hand]:
    """Moves jobs; its own Powertools does not run."""
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


@pytest.fixture
async def reader(dsn: str, writer: Hand) -> AsyncIterator[Powertools]:
    """A running Powertools without queues."""
    async with opened(dsn) as powertools:
        yield powertools
