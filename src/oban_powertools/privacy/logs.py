"""Loggers whose records contain no secret, whatever an exception's text says.

A record that leaves is finished text: its arguments and its exception, which handlers would read, are removed. The
rule that must never break: every logger of this package is made here.
"""

import logging
import re
import traceback
from collections.abc import Iterator
from typing import Final, Literal

import psycopg

from .redaction import REDACTED, redacted
from .shortening import shortened

_LOOKED_THROUGH: Final = 100_000
"""Characters of a text that are searched for secrets: a worker may raise an error of any size."""

_DONE: Final = "_redacted"
"""Attribute of a record that has passed, for the filters of handlers."""

_QUOTED: Final = re.compile(r'".*"', re.DOTALL)
_ROWS: Final = re.compile(
    r"^(?:DETAIL|CONTEXT|QUERY|LINE \d+):.*?(?=^(?:HINT|DETAIL|CONTEXT|QUERY):|^\s*$|^Traceback |\Z)",
    re.DOTALL | re.MULTILINE,
)
"""The lines in which PostgreSQL quotes rows and statements: their values have no key to be judged by."""


class Public(str):
    """A text of our own that only looks like a secret, such as the hash of a row."""

    __slots__ = ()


class Redacting(logging.Filter):
    """Removes what looks like a secret from a record's message and traceback."""

    def filter(self, record: logging.LogRecord) -> Literal[True]:
        """Every record passes, redacted."""
        if _DONE in vars(record):
            return True
        record.msg, record.args = _message(record), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = format_traceback(record.exc_info[1])
        elif record.exc_text:
            record.exc_text = _bounded(record.exc_text)
        record.exc_info = None
        vars(record)[_DONE] = True
        return True


def _message(record: logging.LogRecord) -> str:
    args = record.args if isinstance(record.args, tuple) else ()
    public = {f"\0{number}\0": arg for number, arg in enumerate(args) if isinstance(arg, Public)}
    places = {id(arg): place for place, arg in public.items()}
    if args:
        safe_args = (format_error(arg) if isinstance(arg, BaseException) else arg for arg in args)
        record.args = tuple(places.get(id(arg), arg) for arg in safe_args)
    try:
        text = _bounded(record.getMessage())
    except (TypeError, ValueError, KeyError):
        return f"a message that cannot be written, at {record.pathname}:{record.lineno}"
    for place, arg in public.items():
        text = text.replace(place, arg)
    return text


def _bounded(text: str) -> str:
    """Redact and shorten a text; its size is limited first, because the search must not hold up a queue."""
    return shortened(redacted(shortened(text, _LOOKED_THROUGH)))


def find_logger(name: str) -> logging.Logger:
    """The logger of this name, with redaction."""
    logger = logging.getLogger(name)
    if not any(isinstance(each, Redacting) for each in logger.filters):
        logger.addFilter(Redacting())
    return logger


def format_error(error: BaseException) -> str:
    """The text of an exception, safe to log and print; of a PostgreSQL error only the primary message."""
    text = str(error)
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        text = error.diag.message_primary
    if isinstance(error, psycopg.DataError):
        # The one class of errors whose message quotes values.
        text = _QUOTED.sub(REDACTED, text)
    return _bounded(_ROWS.sub("", text))


def first_line(error: BaseException) -> str:
    """The first line of ``format_error``; the name of its class where it has no text."""
    return next(iter(format_error(error).splitlines()), type(error).__name__)


def format_traceback(error: BaseException) -> str:
    """An exception with its traceback, safe to log and print."""
    text = "".join(traceback.format_exception(error))
    for link in _chain(error):
        if isinstance(link, psycopg.Error):
            text = text.replace(str(link), format_error(link))
    return _bounded(_ROWS.sub("", text)).rstrip("\n")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
