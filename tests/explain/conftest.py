"""Hands for explanations: with executors that are forgotten, or with a database that may be broken."""

from collections.abc import AsyncIterator

import pytest

from tests.support.by_hand import Hand, by_hand


@pytest.fixture
async def hand(shared_dsn: str) -> AsyncIterator[Hand]:
    """Jobs that only the test moves, and executors that only the test registers."""
    async with by_hand(shared_dsn, turbo=True) as hand:
        yield hand
        await hand.rows("TRUNCATE oban_producers")


@pytest.fixture
async def damaged(dsn: str) -> AsyncIterator[Hand]:
    """A Hand on a database of the test's own, which need not be sound in the end."""
    async with by_hand(dsn, turbo=True) as hand:
        yield hand
        await hand.rows("TRUNCATE powertools.workflows, powertools.steps, oban_jobs")
