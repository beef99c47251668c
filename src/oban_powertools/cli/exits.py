"""Exit codes of the command. ``reporting`` maps each error to one.

Scripts depend on them: a code never changes its meaning.
"""

from enum import IntEnum


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


class StoppedError(Exception):
    """A command ends early, for a reason that is no error of the layers below."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message
