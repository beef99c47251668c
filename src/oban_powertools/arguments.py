"""Check the arguments of public calls: ids, cursors, durations, lists, names, enum words and limits.

No I/O. A wrong argument is refused before anything is done. The rule that must never break: an empty value (``""``,
``[]``, ``0``) means neither "everything" nor "for ever".
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

from .errors import InvalidArgumentError
from .spelling import one_of
from .states import JobId, WorkflowId

LARGEST_ID: Final = 2**63 - 1
"""The largest bigint."""

LONGEST: Final = timedelta(days=36_525)
"""100 years: the longest duration, so that an instant after it can be stored and read."""

LARGEST_CURSOR: Final = 2**62
"""Small enough to add a page to it without overflow."""

_SHOWN: Final = 80
"""Characters of a wrong value that the error shows."""


def refuse(argument: str, value: object, expected: str) -> InvalidArgumentError:
    """The error of a wrong argument: the value, and what was expected."""
    text = repr(value)
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}... ({type(value).__qualname__})"
    return InvalidArgumentError(argument, text.encode("utf-8", "backslashreplace").decode(), expected)


def as_id(argument: str, value: object) -> int:
    """The id of something stored: an int, or its decimal text.

    >>> as_id("workflow_id", "7")
    7

    Raises:
        InvalidArgumentError: It is no whole number from 1 to 2**63 - 1.
    """
    # A handle, a record or a job for its id.
    hint = "" if isinstance(value, str | int) or not hasattr(value, "id") else f"; pass {argument}=....id"
    return _whole(argument, value, 1, LARGEST_ID, f"an id, a whole number from 1 to 2**63 - 1 or its text{hint}")


def as_cursor(argument: str, value: object) -> int:
    """A place in the event log; 0 is before the first event.

    Raises:
        InvalidArgumentError: It is no whole number from 0 to 2**62.
    """
    return _whole(argument, value, 0, LARGEST_CURSOR, "a cursor, a whole number from 0 to 2**62 or its text")


def as_count(argument: str, value: object, *, least: int = 1, most: int = 2**31 - 1) -> int:
    """A count within bounds.

    Raises:
        InvalidArgumentError: It is no int from ``least`` to ``most``.
    """
    if type(value) is not int or not least <= value <= most:
        raise refuse(argument, value, f"a whole number from {least:,} to {most:,}")
    return value


def as_workflow_id(value: object) -> WorkflowId:
    """The id of a workflow, as ``as_id``."""
    return WorkflowId(as_id("workflow_id", value))


def as_job_id(value: object) -> JobId:
    """The id of a job, as ``as_id``."""
    return JobId(as_id("job_id", value))


def as_span(
    argument: str, value: object, *, least: timedelta = timedelta.min, most: timedelta = timedelta.max
) -> timedelta:
    """A span of time: a ``timedelta``, or a number of seconds.

    >>> as_span("timeout", 1.5)
    datetime.timedelta(seconds=1, microseconds=500000)

    Raises:
        InvalidArgumentError: It is neither; or below ``least``, or above ``most``.
    """
    span = _seconds(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(span, timedelta):
        raise refuse(argument, value, "a timedelta, such as timedelta(seconds=30), or a number of seconds, such as 30")
    if span < least:
        raise refuse(argument, value, f"a timedelta of {least} at least")
    if span > most:
        raise refuse(argument, value, f"a timedelta of {most} at most")
    return span


def _seconds(number: float) -> timedelta | None:
    try:
        return timedelta(seconds=number)
    except (ValueError, OverflowError):  # no number, or beyond the longest
        return None


def as_instant(
    argument: str, value: object, expected: str = "an aware datetime, such as datetime.now(UTC)"
) -> datetime:
    """An instant.

    Raises:
        InvalidArgumentError: It is no ``datetime`` with a time zone.
    """
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise refuse(argument, value, expected)
    return value


def as_list(argument: str, value: object, of: str) -> list[Any]:
    """The members of any iterable, which is read here once; empty for an empty one.

    Args:
        of: The name of its members, in the plural.

    Raises:
        InvalidArgumentError: It cannot be iterated; or it is a text or a mapping, whose parts are meant by nobody.
    """
    if type(value) in (list, tuple):  # most are, and the checks below cost ten times as much
        return [*cast("Iterable[Any]", value)]
    if isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        hint = f"; for one: [{value!r}]" if isinstance(value, str) and len(value) <= _SHOWN else ""
        raise refuse(argument, cast("object", value), f"a list of {of}{hint}")
    return list(cast("Iterable[Any]", value))


def as_text(argument: str, value: object) -> str:
    """A text that is not blank; whether it can be stored is checked where the attempt is recorded.

    Raises:
        InvalidArgumentError: It is no text, or empty.
    """
    if check_text(argument, value) is None:
        raise refuse(argument, value, "text")
    if not str(value).strip():
        raise InvalidArgumentError(argument, "empty", "text that says something")
    return str(value)


def as_key(argument: str, value: object) -> str:
    """A name or a key to search for.

    Raises:
        InvalidArgumentError: It is no text, is empty, or has characters that PostgreSQL cannot store.
    """
    if not is_storable(key := as_text(argument, value)):
        raise refuse(argument, value, "text without NUL characters and lone surrogates")
    return key


def as_reason(value: object) -> str | None:
    """A reason without blanks around it; None when it is empty, which acts that need one refuse.

    Raises:
        InvalidArgumentError: It is neither text nor None.
    """
    return (check_text("reason", value) or "").strip() or None


def check_text(argument: str, value: object) -> str | None:
    """A text for people, possibly empty; None stays None.

    Raises:
        InvalidArgumentError: It is something else.
    """
    if value is not None and not isinstance(value, str):
        raise refuse(argument, value, "text")
    return value


def as_flag(argument: str, value: object) -> bool:
    """A bool.

    Raises:
        InvalidArgumentError: It is neither True nor False, such as the text "false".
    """
    if not isinstance(value, bool):
        raise refuse(argument, value, "True or False")
    return value


def as_word[Word: StrEnum](argument: str, value: object, words: type[Word]) -> Word:
    """One of the words of an enum, or its text.

    Raises:
        InvalidArgumentError: It is none of them.
    """
    if not isinstance(value, str) or value not in words:
        raise refuse(argument, value, one_of(value, words))
    return words(value)


def unless_none[Read](read: Callable[[str, object], Read], argument: str, value: object) -> Read | None:
    """The argument as ``read`` returns it; None, for "not passed", stays None."""
    return None if value is None else read(argument, value)


def _whole(argument: str, value: object, least: int, most: int, expected: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise refuse(argument, value, expected)
    return int(value)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can store a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
