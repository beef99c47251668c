"""Store when each part of the sweep last succeeded, for the doctor.

A fault here stops no loop.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

import psycopg

from ..database import Session
from ..every import Every
from ..privacy.logs import find_logger

logger: Final = find_logger(__name__)

_EVERY: Final = timedelta(seconds=5)
"""Between two beats of this process."""


class Pulse:
    """Stores which parts of the sweep have done all that was due."""

    def __init__(self) -> None:
        self._succeeded: set[str] = set()
        self.every: Every = Every(_EVERY)

    def succeeded(self, parts: Iterable[str]) -> None:
        """Remember that these parts have done all that was due; the next beat stores it."""
        self._succeeded |= set(parts)

    async def beat(self, session: Session) -> None:
        """Store it, at most once in 5 s."""
        if not self.every.is_due or not self._succeeded:
            return
        try:
            await session.one("parts_succeeded", {"parts": sorted(self._succeeded)})
        except psycopg.Error:
            logger.exception("it could not be written down that parts of the sweep succeeded")
        self._succeeded.clear()
        self.every.rest()
