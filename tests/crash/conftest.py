"""What every crash test starts from."""

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.crash.barriers import Gate
from tests.crash.cluster import Cluster, open_cluster


@pytest.fixture
async def cluster(dsn: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A database with a ledger, and no worker process yet."""
    async with open_cluster(dsn, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def gate(dsn: str) -> AsyncIterator[Gate]:
    """A closed gate: steps with ``gate=gate.number`` wait in the middle of their code."""
    async with Gate.closed(dsn) as gate:
        yield gate


@pytest.fixture(params=[pytest.param(True, id="turbo"), pytest.param(False, id="stock", marks=pytest.mark.crash)])
def turbo(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def chance() -> random.Random:
    """Randomness whose seed a failure shows; ``CRASH_SEED`` repeats it."""
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(10**6))
    print(f"CRASH_SEED={seed}")  # noqa: T201
    return random.Random(seed)
