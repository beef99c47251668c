"""Errors of reading and publishing events."""

from collections.abc import Sequence
from typing import ClassVar

from .base import PowertoolsError
from .commands import CommandRefusedError


class CursorExpiredError(PowertoolsError):
    """The cursor is not in the log: retention has removed events after it, or it is another log's."""

    code = "cursor_expired"
    sentence = (
        "cursor {since} is not in the event log, which can be read from {oldest} to {head}: read how the workflows are "
        "now, as powertools workflow list does, then follow the log without a cursor"
    )

    since: int
    oldest: int
    head: int


class UnpublishableChangeError(CommandRefusedError):
    """A host may not tell of this change: it moves the workflow."""

    code = "unpublishable_change"
    instead: ClassVar[str | tuple[str, ...]] = ("complete_step",)
    sentence = (
        "{change!r} cannot be published, only: {expected}; to end a step that runs elsewhere, call "
        "workflows.complete_step, which writes the event too"
    )

    change: str
    expected: Sequence[str]
