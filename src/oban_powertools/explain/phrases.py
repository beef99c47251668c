"""Phrases that several explanations share: durations, errors, lists."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from ..privacy.redaction import redacted
from ..times import duration
from ..workflows.failures import summary

MAX_ERROR: Final = 200
"""Characters of an error that a sentence quotes."""


def spell_span(span: timedelta) -> str:
    """A duration in words, to the second; a negative one counts as 0.

    As ``times.duration``, but without a second unit where the first one says enough.

    >>> [spell_span(timedelta(seconds=s)) for s in (40, 85, 180, 6_000, 180_000)]
    ['40 s', '1 min 25 s', '3 min', '1 h 40 min', '2 d']
    """
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    number, unit, *more = duration(timedelta(seconds=seconds)).split()
    return " ".join((number, unit, *(more if number == "1" else ())))


def error_line(error: Any) -> str | None:
    r"""An error in one line, its class and its text, as sentences quote it; None without one.

    >>> error_line({"error": "Traceback ...", "class": "ValueError", "text": "no such account\n"})
    'ValueError: no such account'
    """
    # Redacted before it is cut, because half a secret is not recognized.
    line = redacted(summary(error))
    return (line if len(line) <= MAX_ERROR else f"{line[:MAX_ERROR]}...") or None


def with_error(sentence: str, error: Any) -> str:
    """The sentence, then a colon and the error where there is one."""
    line = error_line(error)
    return f"{sentence}: {line}" if line else sentence


def listed(names: Sequence[str], more: int) -> str:
    """Names in one sentence: ``a, b and 3 more``."""
    parts = [*names, *([f"{more} more"] if more else [])]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
