"""What a reader of the event log may meet."""

from .base import PowertoolsError


class CursorExpiredError(PowertoolsError):
    """Retention has removed events that the reader has not seen."""

    code = "cursor_expired"

    def __init__(self, since: int, oldest: int) -> None:
        super().__init__(since, oldest)
        self.since = since
        self.oldest = oldest

    def __str__(self) -> str:
        return (
            f"the events after cursor {self.since} were removed, the oldest cursor to read from is {self.oldest}: read "
            "the workflows as they are now (workflows.list, workflows.steps), then subscribe without a cursor"
        )
