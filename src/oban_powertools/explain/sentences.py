"""The words that several explanations share: durations, errors, lists."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, cast

from .. import json_border
from ..redaction import redacted

MAX_ERROR: Final = 200
"""Characters of an error that a sentence quotes."""


def span(duration: timedelta) -> str:
    """A duration as a person says it; below zero it is none.

    >>> span(timedelta(seconds=40)), span(timedelta(minutes=3)), span(timedelta(hours=50))
    ('40 s', '3 min', '2 d')
    """
    seconds = max(0, round(duration.total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def error_line(error: Any) -> str | None:
    r"""The line of an Oban error that says what happened, without the frames around it; None without one.

    >>> error_line({"attempt": 1, "at": "...", "error": "ValueError: no such account\n"})
    'ValueError: no such account'
    """
    text: object = cast("dict[str, Any]", error).get("error", error) if isinstance(error, dict) else error
    if text is None:
        return None
    # Before it is cut: half a secret is one that nobody recognizes.
    line = redacted(what_happened(text if isinstance(text, str) else json_border.dumps(text)))
    return (line if len(line) <= MAX_ERROR else f"{line[:MAX_ERROR]}...") or None


def what_happened(error: str) -> str:
    r"""The line of a traceback, of Python or of Elixir, that names the exception; empty for an empty text.

    >>> what_happened('Traceback (most recent call last):\n  File "a.py", line 1\n    g()\nValueError: no\nmore\n')
    'ValueError: no'
    >>> what_happened("** (RuntimeError) no such account\n    (app 1.0.0) lib/app.ex:12: App.run/1")
    '** (RuntimeError) no such account'
    """
    lines = [line for line in error.splitlines() if line.strip()]
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    after = frames[-1] + 1 if frames else 0
    return next((line for line in lines[after:] if not line.startswith(" ")), "").strip()


def with_error(sentence: str, error: Any) -> str:
    """The sentence, then a colon and the error where there is one."""
    line = error_line(error)
    return f"{sentence}: {line}" if line else sentence


def count(number: int, singular: str) -> str:
    """1 step, 2 steps."""
    return f"{number} {singular}" if number == 1 else f"{number} {singular}s"


def listed(names: Sequence[str], more: int) -> str:
    """Names in one sentence: ``a, b and 3 more``."""
    parts = [*names, *([f"{more} more"] if more else [])]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
