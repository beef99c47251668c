"""What waits: a stored workflow, and a subscription to events."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, overload

from ..arguments import as_span, unless_none
from ..events import AnyEvent, Cursor, Subscription
from ..states import WorkflowId
from ..workflows import StepHandle, WorkflowRecord
from ..workflows.handle import as_returned, step_name


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncWorkflowHandle:
    """A stored workflow to wait for."""

    id: WorkflowId
    """Its id."""

    name: str
    """Its label."""

    inserted: bool
    """False when its idempotency key named a workflow that existed already."""

    wait_for: Callable[..., WorkflowRecord] = field(repr=False)
    """``SyncWorkflows.wait``."""

    result_of: Callable[..., Any] = field(repr=False)
    """Waits for a step's result."""

    def wait(self, timeout: timedelta | float | None = None) -> WorkflowRecord:
        """Wait until it has ended, as ``SyncWorkflows.wait`` does."""
        return self.wait_for(self.id, timeout=timeout)

    @overload
    def result[Result](self, step: StepHandle[Result], timeout: timedelta | float | None = None) -> Result: ...
    @overload
    def result(self, step: str, timeout: timedelta | float | None = None) -> Any: ...
    def result(self, step: StepHandle[Any] | str, timeout: timedelta | float | None = None) -> Any:
        """Wait until a step has completed, and read its result, as ``WorkflowHandle.result`` does."""
        within = unless_none(as_span, "timeout", timeout)
        return as_returned(step, self.result_of(self.id, step_name(step), timeout=within))


class SyncSubscription[E: AnyEvent]:
    """The events of one topic, oldest first, without an end: ``for event in subscription``.

    Made by ``Events.subscribe`` and its like. One thread at a time may iterate.
    """

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], events: Subscription[E]) -> None:
        self._run = run
        self._events = events

    @property
    def cursor(self) -> Cursor:
        """Every event of the topic up to this cursor was delivered: pass it as ``since`` to go on after it."""
        return self._events.cursor

    def __iter__(self) -> Iterator[E]:
        return self

    def __next__(self) -> E:
        """The next event; waits for it, however long the database is away.

        Raises:
            CursorExpiredError: Retention has removed events that were not given yet.
            StopIteration: The subscription has ended.
        """
        try:
            return self._run(self._events.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def next(self, timeout: timedelta) -> E | None:
        """The next event, or None when none came in that time.

        Raises:
            CursorExpiredError: As iterating.
        """
        return self._run(self._next(timeout))

    async def _next(self, timeout: timedelta) -> E | None:
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._events.__anext__()
        except TimeoutError:
            return None
