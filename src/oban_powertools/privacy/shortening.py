"""Shorten texts of any size, so that what a worker raises can be stored and logged without holding anything up."""

from typing import Final

LONGEST_ERROR: Final = 20_000
"""Characters of a stored error, usually a traceback."""


def shortened(text: str, most: int = LONGEST_ERROR) -> str:
    """Shorten a text that is too long to its beginning, its end, and a note of how much is left out between them.

    >>> shortened("a" * 50 + "b" * 50, 10)
    'aaaaa ... 90 characters are left out ... bbbbb'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} ... {len(text) - 2 * half} characters are left out ... {text[-half:]}"
