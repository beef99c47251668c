"""What every repair works with, and how a whole transaction is tried again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg

from ...config import Settings
from ...database import Connect, Session
from ...database.sqlstates import Trouble, find_trouble
from ...operators.audit import Operations
from ...privacy.display import DisplayPolicy
from .execute import TargetMovedError

_TRIES: Final = 5


class Incidents(Protocol):
    """What repairs ask of the incidents."""

    async def warn(self, session: Session, fingerprint: str) -> str | None:
        """What to think of before a repair for this incident: that its fault is still active; None for nothing."""
        ...

    async def find_id(self, session: Session, fingerprint: str) -> int | None:
        """The incident's id; None when there is no such incident."""
        ...

    async def recompute(self, session: Session, fingerprint: str) -> int | None:
        """Look at one incident again, in the repair's own transaction; its id, None when there is no such incident."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every repair works with."""

    connect: Connect
    """An autocommit connection of our own pool."""

    settings: Settings
    """Thresholds and limits."""

    operations: Operations
    """Asks who may, and records what came of it."""

    display: DisplayPolicy
    """Decides what is shown."""

    incidents: Incidents | None = None
    """Looked at again after a repair that is for one of them."""


async def whole[T](work: Callable[[], Awaitable[T]]) -> T:
    """Do a whole transaction, again when a lock or another session was in its way; at most five times."""
    for attempt in range(1, _TRIES):
        try:
            return await work()
        except (psycopg.Error, TargetMovedError) as error:
            if isinstance(error, psycopg.Error) and find_trouble(error) is not Trouble.CONTENDED:
                raise
            await asyncio.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - jitter
    return await work()
