"""Shorten texts of any size, so that what a worker raises can be stored and logged without holding anything up."""

from typing import Final

LONGEST_ERROR: Final = 20_000
"""Characters kept of an error, a traceback as a rule."""


def shortened(text: str, most: int = LONGEST_ERROR) -> str:
    """A text that is too long as its beginning, its end, and how much is left out between them.

    >>> shortened("a" * 50 + "b" * 50, 10)
    'aaaaa ... 90 characters are left out ... bbbbb'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters are left out ... {text[-half:]}"
