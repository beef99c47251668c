"""End a failed command: print one line, never a stray traceback, and choose the exit code.

The only place that maps errors to codes. It is loaded only after a failure, because it imports every error.
"""

import os
import sys
from typing import Final

import click
import psycopg

from ..database.sqlstates import Trouble, find_trouble
from ..errors import (
    BulkCountError,
    BulkFilterError,
    BulkMatchesNothingError,
    CommandRefusedError,
    ConfigurationError,
    CursorExpiredError,
    DatabaseUnavailableError,
    IdempotencyConflictError,
    InvalidArgumentError,
    NotAuthorizedError,
    NotFoundError,
    PowertoolsError,
    ReadOnlyDatabaseError,
    ReasonRequiredError,
    ReasonTooShortError,
    ReservedActorError,
    SchemaError,
    UnattributedActorError,
    UnknownStatusError,
    UnsupportedActionError,
    UnsupportedRecoveryActionError,
    UnsupportedTargetError,
)
from ..privacy.logs import first_line, format_traceback
from ..privacy.redaction import redacted
from .exits import Exit, StoppedError
from .forms import Form
from .output import print_json, say, say_lines
from .program import as_called

_MISTAKES: Final[tuple[type[CommandRefusedError], ...]] = (
    UnattributedActorError,
    ReservedActorError,
    ReasonRequiredError,
    ReasonTooShortError,
    UnsupportedActionError,
    UnsupportedTargetError,
    UnsupportedRecoveryActionError,
    UnknownStatusError,
    BulkFilterError,
    BulkCountError,
)
"""Refusals of what was typed, whatever the database holds: usage, as what click refuses."""

EXIT_CODES: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (ConfigurationError, Exit.USAGE),
    (InvalidArgumentError, Exit.USAGE),
    (NotFoundError, Exit.NOT_FOUND),
    (NotAuthorizedError, Exit.NOT_AUTHORISED),
    (BulkMatchesNothingError, Exit.CONFLICT),
    *((mistake, Exit.USAGE) for mistake in _MISTAKES),
    (CommandRefusedError, Exit.CONFLICT),
    (IdempotencyConflictError, Exit.CONFLICT),
    (CursorExpiredError, Exit.CONFLICT),
    (DatabaseUnavailableError, Exit.UNAVAILABLE),
    (ReadOnlyDatabaseError, Exit.UNAVAILABLE),
    (SchemaError, Exit.UNAVAILABLE),
    (PowertoolsError, Exit.FAILED),
    (psycopg.errors.InsufficientPrivilege, Exit.NOT_AUTHORISED),
    (click.Abort, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (BrokenPipeError, Exit.BROKEN_PIPE),
)
"""Error -> exit code; the first match counts. An error that is missing here is unexpected and ends with FAILED."""


def find_exit_code(error: BaseException) -> Exit | None:
    """The exit code of an expected error; None for an unexpected one."""
    if isinstance(error, StoppedError | click.ClickException):
        return Exit(error.exit_code)
    of_psycopg = isinstance(error, psycopg.Error) and not isinstance(error, PowertoolsError)
    if of_psycopg and find_trouble(error) is not Trouble.REFUSED:
        return Exit.UNAVAILABLE
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), None)


def report(error: BaseException, *, debug: bool, form: Form = Form.TABLE) -> Exit:
    """Print on stderr what went wrong, in JSON on one line for a program; returns the exit code."""
    code = find_exit_code(error)
    if code is Exit.BROKEN_PIPE:
        # The reader of the pipe has left; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    if debug:
        say_lines(format_traceback(error), err=True)
    if code is not Exit.INTERRUPTED:
        _say_error(error, form)
    return Exit.FAILED if code is None else code


def _say_error(error: BaseException, form: Form) -> None:
    sentence = as_called(redacted(_sentence(error)))
    if form.is_json:
        print_json({"error": {"code": _code(error), "message": sentence}}, Form.JSONL, err=True)
        return
    first, *more = sentence.split("\n")
    say(f"error: {first}", err=True)
    for line in more:
        # Lines from a text of the database are indented, so that they cannot pass for ours.
        say(f"  {line.removeprefix('  ')}", err=True)


def _code(error: BaseException) -> str:
    """A stable name for scripts: that of our errors, else what kind of error it is."""
    match error:
        case PowertoolsError():
            return error.code
        case click.UsageError():
            return "usage"
        case psycopg.Error():
            return "database"
        case StoppedError() | click.ClickException():
            return "stopped"
        case _:
            return "unexpected"


def _sentence(error: BaseException) -> str:
    match error:
        case click.UsageError():
            hint = f" (see {error.ctx.command_path} -h)" if error.ctx else ""
            return error.format_message().rstrip(".") + hint
        case click.ClickException():
            return error.format_message()
        case PowertoolsError() | StoppedError():
            return "".join((str(error), *getattr(error, "__notes__", ())))
        case psycopg.errors.InsufficientPrivilege():
            return f"the database refused: {first_line(error)}"
        case psycopg.Error() if find_trouble(error) is not Trouble.REFUSED:
            return f"the database failed: {first_line(error)}"
        case _:
            return f"unexpected {type(error).__name__}: {first_line(error)} (--debug shows where)"
