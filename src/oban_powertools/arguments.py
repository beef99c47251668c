"""What callers give, read in one place: ids, cursors, spans of time, lists, names, words and limits.

No I/O. The rule that must never break: what is not what a call asks for is refused before anything is done, and nothing
(``""``, ``[]``, ``0``) is taken neither for everything nor for ever.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

from .errors import InvalidArgumentError
from .states import JobId, WorkflowId

LARGEST_ID: Final = 2**63 - 1
"""What a bigint holds."""

LONGEST: Final = timedelta(days=36_525)
"""100 years: the longest span of time, so that an instant behind it can be stored and read."""

LARGEST_CURSOR: Final = 2**62
"""So that a page behind it can be counted too."""

_SHOWN: Final = 80
"""Characters shown of what was found."""


def refuse(argument: str, found: object, expected: str) -> InvalidArgumentError:
    """The error that says what was found in an argument, and what was expected."""
    shown = repr(found)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}... ({type(found).__qualname__})"
    return InvalidArgumentError(argument, shown.encode("utf-8", "backslashreplace").decode(), expected)


def as_id(argument: str, found: object) -> int:
    """The id of something stored: an int, or its decimal text.

    >>> as_id("workflow_id", "7")
    7

    Raises:
        InvalidArgumentError: It is no whole number from 1 to 2**63 - 1.
    """
    return _whole(argument, found, 1, LARGEST_ID, "an id, a whole number from 1 to 2**63 - 1 or its text")


def as_cursor(argument: str, found: object) -> int:
    """A place in the event log; 0 is before the first event.

    Raises:
        InvalidArgumentError: It is no whole number from 0 to 2**62.
    """
    return _whole(argument, found, 0, LARGEST_CURSOR, "a cursor, a whole number from 0 to 2**62 or its text")


def as_count(argument: str, found: object, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """A number of things.

    Raises:
        InvalidArgumentError: It is no int from ``least`` to ``most``.
    """
    if type(found) is not int or not least <= found <= most:
        raise refuse(argument, found, f"a whole number from {least:,} to {most:,}")
    return found


def as_workflow_id(found: object) -> WorkflowId:
    """The id of a workflow, as ``as_id``."""
    return WorkflowId(as_id("workflow_id", found))


def as_job_id(found: object) -> JobId:
    """The id of a job, as ``as_id``."""
    return JobId(as_id("job_id", found))


def as_span(
    argument: str, found: object, *, least: timedelta = timedelta.min, most: timedelta = timedelta.max
) -> timedelta:
    """A span of time.

    Raises:
        InvalidArgumentError: It is no ``timedelta``, also where seconds were meant; or below ``least``, or above
            ``most``.
    """
    if not isinstance(found, timedelta):
        number = f"{found!r}" if isinstance(found, int | float) and not isinstance(found, bool) else "30"
        raise refuse(argument, found, f"a timedelta, such as timedelta(seconds={number})")
    if found < least:
        raise refuse(argument, found, f"a timedelta of {least} at least")
    if found > most:
        raise refuse(argument, found, f"a timedelta of {most} at most")
    return found


def as_instant(
    argument: str, found: object, expected: str = "an aware datetime, such as datetime.now(UTC)"
) -> datetime:
    """An instant.

    Raises:
        InvalidArgumentError: It is no ``datetime`` with a time zone.
    """
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise refuse(argument, found, expected)
    return found


def as_list(argument: str, found: object, of: str) -> list[Any]:
    """The members of any iterable, which is read here once; empty for an empty one.

    Args:
        of: What its members are, in the plural.

    Raises:
        InvalidArgumentError: It cannot be iterated; or it is a text or a mapping, whose parts are meant by nobody.
    """
    if type(found) in (list, tuple):  # most are, and the checks below cost ten times as much
        return [*cast("Iterable[Any]", found)]
    if isinstance(found, str | bytes | bytearray | Mapping) or not isinstance(found, Iterable):
        hint = f"; for one: [{found!r}]" if isinstance(found, str) and len(found) <= _SHOWN else ""
        raise refuse(argument, cast("object", found), f"a list of {of}{hint}")
    return list(cast("Iterable[Any]", found))


def as_text(argument: str, found: object) -> str:
    """A text that says something; whether it can be stored is for whoever records the attempt.

    Raises:
        InvalidArgumentError: It is no text, or empty.
    """
    if check_text(argument, found) is None:
        raise refuse(argument, found, "text")
    if not str(found).strip():
        raise InvalidArgumentError(argument, "empty", "text that says something")
    return str(found)


def as_key(argument: str, found: object) -> str:
    """A name or a key to look for.

    Raises:
        InvalidArgumentError: It is no text, is empty, or has characters that PostgreSQL cannot store.
    """
    if not is_storable(key := as_text(argument, found)):
        raise refuse(argument, found, "text without NUL characters and lone surrogates")
    return key


def as_reason(found: object) -> str | None:
    """Why somebody does something; None when it says nothing, which whoever needs one refuses.

    Raises:
        InvalidArgumentError: It is neither text nor None.
    """
    return (check_text("reason", found) or "").strip() or None


def check_text(argument: str, found: object) -> str | None:
    """What people read: text, or None for nothing; it may be empty.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if found is not None and not isinstance(found, str):
        raise refuse(argument, found, "text")
    return found


def as_flag(argument: str, found: object) -> bool:
    """Yes or no.

    Raises:
        InvalidArgumentError: It is neither True nor False, such as the text "false".
    """
    if not isinstance(found, bool):
        raise refuse(argument, found, "True or False")
    return found


def as_word[Word: StrEnum](argument: str, found: object, words: type[Word]) -> Word:
    """One of the words of an enum, or its text.

    Raises:
        InvalidArgumentError: It is none of them.
    """
    if not isinstance(found, str) or found not in words:
        raise refuse(argument, found, f"one of: {', '.join(words)}")
    return words(found)


def unless_none[Read](read: Callable[[str, object], Read], argument: str, found: object) -> Read | None:
    """What was given, as ``read`` reads it; None, for "not given", stays None."""
    return None if found is None else read(argument, found)


def _whole(argument: str, found: object, least: int, most: int, expected: str) -> int:
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        raise refuse(argument, found, expected)
    return int(found)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
