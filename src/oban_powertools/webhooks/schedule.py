"""The timing of deliveries: attempts, the pauses between them, and when to give up.

Pure; the caller passes the clock.
"""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

GIVE_UP_AFTER: Final = timedelta(hours=24)
"""Deliveries are tried for so long after they were written."""

FEWEST_ATTEMPTS: Final = 5
"""Attempts at least, however old it is: a delivery that waited long behind another is not given up for one bad
moment."""

DELIVER_FOR: Final = timedelta(seconds=30)
"""How long one job continues before others on its queue get their turn."""

LEASED_FOR: Final = timedelta(seconds=30)
"""Three times the longest attempt; a killed process's delivery waits at least so long."""

LOST_AFTER: Final = timedelta(seconds=60)
"""A job that executes for longer than this has lost its process; a live one is stopped a little before."""

_FIRST: Final = timedelta(seconds=5)
_LONGEST: Final = timedelta(hours=2)


def backoff(attempts: int) -> timedelta:
    """5 s, 10 s, 20 s ... 2 h after the n-th failed attempt, up to a fifth more or less.

    >>> 4 <= backoff(1).total_seconds() <= 6, 5760 <= backoff(40).total_seconds() <= 8640
    (True, True)
    """
    plain = min(_FIRST * 2 ** min(attempts - 1, 20), _LONGEST)
    return plain * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, nothing secret


def next_try(attempts: int, age: timedelta, retry_after: timedelta | None) -> timedelta | None:
    """The pause before the next attempt; None to give up.

    Args:
        attempts: Made so far.
        age: Since the delivery was written or replayed.
        retry_after: The pause that the receiver asked for; it gets nothing earlier.
    """
    if attempts >= FEWEST_ATTEMPTS and age >= GIVE_UP_AFTER:
        return None
    return max(backoff(attempts), min(retry_after or timedelta(0), GIVE_UP_AFTER))


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Parse the header ``Retry-After``, in seconds or as a date; None when it cannot be parsed.

    Any receiver may write anything there, so nothing is an error. The result is at most ``GIVE_UP_AFTER``.

    >>> parse_retry_after("120", datetime(2026, 1, 2, tzinfo=UTC))
    datetime.timedelta(seconds=120)
    >>> parse_retry_after("Fri, 02 Jan 2026 00:01:00 GMT", datetime(2026, 1, 2, tzinfo=UTC))
    datetime.timedelta(seconds=60)
    >>> parse_retry_after("Wed, 21 Oct 99999999999 07:28:00 GMT", datetime(2026, 1, 2, tzinfo=UTC))
    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        seconds = int(value[:9])
    else:
        try:
            at = parsedate_to_datetime(value)
            seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
        except Exception:  # noqa: BLE001 - the parser stumbles over odd dates in ways of its own
            return None
    return timedelta(seconds=min(max(seconds, 0), GIVE_UP_AFTER.total_seconds()))
