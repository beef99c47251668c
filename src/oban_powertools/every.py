"""When something that is done every so often is due again, by the process's clock. No I/O.

Not for a second attempt, whose pauses grow, nor for what all nodes share: the database says when that is due.
"""

import time
from datetime import timedelta


class Every:
    """Due at once, or after a first time, and again a while after each ``rest``.

    Args:
        interval: From a rest until it is due again.
        first_after: From now until it is due for the first time.
    """

    __slots__ = ("_due_at", "_interval")

    def __init__(self, interval: timedelta, *, first_after: timedelta = timedelta(0)) -> None:
        self._interval = interval
        self.rest(first_after)

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return self.due_in <= 0

    @property
    def due_in(self) -> float:
        """Seconds until it is due; 0 when it is."""
        return max(0.0, self._due_at - time.monotonic())

    def take(self) -> bool:
        """Whether it is due; then it rests."""
        due = self.is_due
        if due:
            self.rest()
        return due

    def rest(self, interval: timedelta | None = None) -> None:
        """Have it due again after its interval, or after another one this time."""
        self._due_at = time.monotonic() + (self._interval if interval is None else interval).total_seconds()

    def hurry(self) -> None:
        """Have it due now."""
        self._due_at = time.monotonic()
