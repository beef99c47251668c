"""Text for a terminal: how wide it is, what must not reach it, times in an engineer's words.

Nothing here knows a workflow. The rule that must never break: text from the database cannot send
control sequences to the reader's terminal.
"""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def one_line(text: str) -> str:
    r"""The text on one line, with control characters made visible.

    >>> one_line("a\nb\x1b[31m")
    'a b\\x1b[31m'
    """
    return _CONTROL.sub(_visible, text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))


def _visible(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def width(text: str) -> int:
    """Columns the text takes on a terminal; East Asian wide characters take two.

    >>> width("abc"), width("日本"), width("e\u0301")
    (3, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, columns: int) -> str:
    """The text cut to so many columns, with an ellipsis where something is missing.

    >>> shorten("customer", 5), shorten("customer", 8), shorten("日本語", 5)
    ('cust…', 'customer', '日本…')
    """
    if width(text) <= columns:
        return text
    kept, used = "", 1
    for character in text:
        used += _columns(character)
        if used > columns:
            break
        kept += character
    return f"{kept}…"


def instant(at: datetime | None) -> str:
    """An instant in UTC, to the second; empty for None.

    >>> instant(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02 03:04:05Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "step"), counted(0, "step")
    ('1 step', '0 steps')
    """
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def duration(span: timedelta) -> str:
    """A duration in its two largest units.

    >>> [duration(timedelta(seconds=s)) for s in (0.0424, 3.21, 75, 3_725, 93_600)]
    ['42 ms', '3.2 s', '1 min 15 s', '1 h 2 min', '1 d 2 h']
    """
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for size, big, small_size, small in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{int(seconds // size)} {big} {int(seconds % size // small_size)} {small}"
    return ""
