"""The event calls of the facade.

The rule that must never break: placing has a transaction of its own, never the caller's.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from ..database import Connection, Queries
from ..states import WorkflowId
from .reads import place_events, read_log, read_workflow_log
from .types import Cursor, Event


class Events:
    """Read events, and follow them as they come.

    Args:
        connect: An autocommit connection of our own pool.
    """

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Connection]], queries: Queries) -> None:
        self._connect = connect
        self._queries = queries

    def topic_all(self) -> str:
        """The name of the topic with the events of every workflow: ``workflow:all``."""
        return "workflow:all"

    def topic_workflow(self, workflow_id: WorkflowId) -> str:
        """The name of the topic with the events of one workflow: ``workflow:42``."""
        return f"workflow:{workflow_id}"

    async def head(self) -> Cursor:
        """The cursor of the newest event; 0 when there was none yet."""
        async with self._connect() as conn:
            return (await place_events(conn, self._queries)).head

    async def read(self, *, since: Cursor, workflow_id: WorkflowId | None = None, limit: int = 1000) -> list[Event]:
        """One page of events, oldest first; an empty one when nothing came after the cursor.

        Args:
            since: The cursor of the last event seen; ``Cursor(0)`` for the start of the log.
            workflow_id: Only of this workflow; None for all.
            limit: At most 10,000.

        Raises:
            CursorExpiredError: Retention has removed events after this cursor.
            ValueError: The cursor is negative or the limit out of range.
        """
        if since < 0 or not 0 < limit <= 10_000:
            raise ValueError(f"since must be 0 or more and limit 1 to 10,000, found {since} and {limit}")
        async with self._connect() as conn:
            await place_events(conn, self._queries)
            if workflow_id is None:
                return await read_log(conn, self._queries, since, limit)
            return await read_workflow_log(conn, self._queries, workflow_id, since, limit)
