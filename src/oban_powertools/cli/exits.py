"""Exit codes of the command. ``reporting`` maps each error to one.

Scripts depend on them: a code never changes its meaning.
"""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, for scripts."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_AUTHORISED = 4
    CONFLICT = 5
    FINDINGS = 6
    UNAVAILABLE = 7
    INTERRUPTED = 130
    """128 + SIGINT, as in a shell."""
    BROKEN_PIPE = 141
    """128 + SIGPIPE, as in a shell."""


class StoppedError(Exception):
    """A command ends early, for a reason of its own and not for an error of the rooms below."""

    def __init__(self, message: str, exit_code: Exit) -> None:
        super().__init__(message, exit_code)
        self.message = message
        self.exit_code = exit_code

    def __str__(self) -> str:
        return self.message
