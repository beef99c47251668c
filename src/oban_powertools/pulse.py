"""When a loop last succeeded, for whoever wonders whether it still runs (the doctor).

The rule that must never break: a fault here stops no loop.
"""

import time
from typing import Final

import psycopg

from .database import Connection, Queries, fetch_one
from .logs import find_logger

logger = find_logger(__name__)

_EVERY: Final = 5.0
"""Seconds between two beats of this process."""


class Pulse:
    """Writes down that a loop did all that it does.

    Args:
        loop: Its name in powertools.loops.
    """

    def __init__(self, queries: Queries, loop: str) -> None:
        self._queries = queries
        self._loop = loop
        self._due_at = 0.0

    async def beat(self, conn: Connection) -> None:
        """Write it down, at most once in 5 s."""
        if time.monotonic() < self._due_at:
            return
        try:
            await fetch_one(conn, self._queries["loop_succeeded"], {"loop": self._loop})
        except psycopg.Error:
            logger.exception("it could not be written down that the loop %s succeeded", self._loop)
        self._due_at = time.monotonic() + _EVERY
