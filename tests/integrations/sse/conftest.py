"""A running Powertools that works on no queue: the tests move the steps."""

from collections.abc import AsyncIterator

import pytest

from oban_powertools import Powertools


@pytest.fixture
async def powertools(dsn: str) -> AsyncIterator[Powertools]:
    async with Powertools.open(dsn) as powertools:
        yield powertools
