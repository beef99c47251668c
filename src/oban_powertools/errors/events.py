"""What whoever reads or publishes events may meet."""

from collections.abc import Sequence

from .base import PowertoolsError
from .commands import CommandRefusedError


class CursorExpiredError(PowertoolsError):
    """The cursor is not in the log: retention has removed events after it, or it is another log's."""

    code = "cursor_expired"

    def __init__(self, since: int, oldest: int, head: int) -> None:
        super().__init__(since, oldest, head)
        self.since = since
        self.oldest = oldest
        self.head = head

    def __str__(self) -> str:
        return (
            f"cursor {self.since} is not in the event log, which can be read from {self.oldest} to {self.head}: read "
            "the workflows as they are now (workflows.list, workflows.steps), then subscribe without a cursor"
        )


class UnpublishableChangeError(CommandRefusedError):
    """A host may not tell of this change: it moves the workflow."""

    code = "unpublishable_change"
    legal_next_steps = ("complete_step",)

    def __init__(self, change: str, expected: Sequence[str]) -> None:
        super().__init__(change, tuple(expected))
        self.change = change
        self.expected = tuple(expected)

    def __str__(self) -> str:
        return (
            f"{self.change!r} cannot be published, only: {', '.join(self.expected)}; "
            "to end a step that runs elsewhere, call workflows.complete_step, which writes the event too"
        )
