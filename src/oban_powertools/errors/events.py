"""What a reader of the event log may meet."""

from .base import PowertoolsError


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
