"""Say when something was, and how long it took: the same words in a terminal and on a page. No I/O.

Ages are on this process's clock.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_IN_JSON: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)")
"""With as many decimals as it has."""

_LONGEST: Final = timedelta(days=3650)


def instant(at: datetime | None) -> str:
    """An instant in UTC, to the second; empty for None.

    >>> instant(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02 03:04:05Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def find_instant(text: str) -> str | None:
    """An instant that PostgreSQL wrote into JSON, as ``instant`` says it; None for any other text.

    >>> find_instant("2026-01-02T03:04:05.06176+00:00"), find_instant("soon")
    ('2026-01-02 03:04:05Z', None)
    """
    return instant(datetime.fromisoformat(text)) if _IN_JSON.fullmatch(text) else None


def moment(at: datetime | None) -> str:
    """An instant as a fact of one record: how long ago, and exactly; empty for None."""
    return f"{ago(at)} ({instant(at)})" if at else ""


def ago(at: datetime | None) -> str:
    """How long ago an instant was, or in how long it comes, on this process's clock; empty for None.

    >>> ago(datetime.now(UTC) - timedelta(minutes=3, seconds=20)), ago(datetime.now(UTC) + timedelta(hours=2.01))
    ('3 min ago', 'in 2 h')
    """
    if at is None:
        return ""
    seconds = (datetime.now(UTC) - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    count, unit = next(((abs(seconds) // size, unit) for unit, size in units if abs(seconds) >= size), (0, "s"))
    return f"{count:.0f} {unit} ago" if seconds >= 0 else f"in {count:.0f} {unit}"


def duration(span: timedelta) -> str:
    """A duration in its two largest units.

    >>> [duration(timedelta(seconds=s)) for s in (0.0424, 3.21, 75, 3_725, 93_600, 2_592_000)]
    ['42 ms', '3.2 s', '1 min 15 s', '1 h 2 min', '1 d 2 h', '30 d']
    """
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, big, small_size, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = int(seconds % size // small_size)
            return f"{int(seconds // size)} {big}" + (f" {rest} {small}" if rest else "")
    return ""


def parse_span(text: str) -> timedelta | None:
    """A duration that somebody typed, with its unit; None for what is none, or longer than ten years.

    >>> parse_span("90s"), parse_span("2h"), parse_span("2 hours"), parse_span("0s")
    (datetime.timedelta(seconds=90), datetime.timedelta(seconds=7200), None, None)
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    span = timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if match else timedelta(0)
    return span if timedelta(0) < span <= _LONGEST else None
