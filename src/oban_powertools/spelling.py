"""Suggest the name that somebody meant. No I/O."""

import difflib
from collections.abc import Iterable
from typing import Final

_MOST: Final = 1000
"""Names that are compared: it takes about a microsecond a character."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name; empty where no known one is close.

    >>> did_you_mean("chargee", ["charge", "bill"]), did_you_mean("ship", ["charge", "bill"])
    ("; did you mean 'charge'?", '')
    """
    names = [str(each) for each in known]
    if not isinstance(name, str) or len(names) > _MOST:
        return ""
    by_lower = {each.lower(): each for each in reversed(names)}
    close = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def one_of(name: object, known: Iterable[str]) -> str:
    """What was expected instead of an unknown word, for an error's sentence.

    >>> one_of("runing", ["running", "failed"])
    "one of: running, failed; did you mean 'running'?"
    """
    words = [str(word) for word in known]
    return f"one of: {', '.join(words)}{did_you_mean(name, words)}"
