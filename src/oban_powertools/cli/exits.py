"""Exit codes, and which error ends the command with which. The only place that maps them.

The rule that must never break: a code keeps its meaning, scripts depend on it.
"""

from enum import IntEnum
from typing import Final

import click
import psycopg

from ..database.sqlstates import Trouble, find_trouble
from ..errors import (
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
    SchemaError,
)


class Exit(IntEnum):
    """What the command's end means to a script."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_AUTHORISED = 4
    CONFLICT = 5
    FINDINGS = 6
    UNAVAILABLE = 7
    INTERRUPTED = 130
    """128 + SIGINT, as the shell has it."""
    BROKEN_PIPE = 141
    """128 + SIGPIPE, as the shell has it."""


EXIT_CODES: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (ConfigurationError, Exit.USAGE),
    (InvalidArgumentError, Exit.USAGE),
    (NotFoundError, Exit.NOT_FOUND),
    (NotAuthorizedError, Exit.NOT_AUTHORISED),
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
"""The first entry that fits counts; an error that is not here is unexpected and ends with FAILED."""


class StoppedError(Exception):
    """A command ends early, for a reason that is no error of the layers below."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message


def find_exit_code(error: BaseException) -> Exit | None:
    """The code of an expected error; None for one that nobody foresaw."""
    if isinstance(error, StoppedError | click.ClickException):
        return Exit(error.exit_code)
    if isinstance(error, psycopg.Error) and find_trouble(error) is not Trouble.REFUSED:
        return Exit.UNAVAILABLE
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), None)
