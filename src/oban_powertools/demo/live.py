"""The demo's live stream: the events of the census as they arrive, and how late they are.

The rule that must never break: an event that does not arrive ends the demo with an error.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from statistics import median
from typing import Final

from .. import Event, StepChange, WorkflowFinished
from .screen import GREEN, RED, YELLOW, Screen
from .steps import FLAKY, HANDLER

_END_WITHIN: Final = 10.0
"""Seconds in which the last event has to arrive."""


class DemoError(Exception):
    """The demo cannot go on, or did not end as planned; the text is for the user."""


class LiveStream:
    """Follows the events of one workflow from now on, counts them, and tells the ones that matter."""

    def __init__(self, events: AsyncIterator[Event], screen: Screen) -> None:
        self._events = events
        self._screen = screen
        self._last: Event | None = None
        self._delays: list[float] = []
        screen.event("following its events live")
        self._following = asyncio.create_task(self._follow())

    @property
    def counted(self) -> str:
        """``2,911 live, half of them within 12 ms``: from what happened to its arrival, on one clock."""
        within = f", half of them within {median(self._delays) * 1000:.0f} ms" if self._delays else ""
        return f"{len(self._delays):,} live{within}"

    async def wait_for_the_end(self) -> None:
        """Wait until the event of the workflow's end has arrived.

        Raises:
            DemoError: An event is missing.
        """
        try:
            await asyncio.wait_for(self._following, _END_WITHIN)
        except TimeoutError:
            raise DemoError(
                f"the workflow has ended, and its event did not arrive; the last one: {self._last}"
            ) from None

    def stop(self) -> None:
        """Follow no further."""
        self._following.cancel()

    async def _follow(self) -> None:
        async for event in self._events:
            self._delays.append((datetime.now(UTC) - event.timestamp).total_seconds())
            if self._last is not None and event.number != self._last.number + 1:
                raise DemoError(f"event {self._last.number} is followed by {event.number}: some are missing")
            self._last = event
            if told := _tell(event):
                self._screen.event(*told)
            if isinstance(event, WorkflowFinished):
                return


def _tell(event: Event) -> tuple[str, str] | None:
    """What is worth telling: text and colour."""
    if isinstance(event, WorkflowFinished):
        return f"the workflow has ended: {event.outcome}", GREEN
    match event.step_name, event.change:
        case name, StepChange.RETRYING if event.error:  # else it was given back, without an attempt's error
            return f"step {name!r} failed: {event.error}; it is tried again in about a second", YELLOW
        case name, StepChange.DISCARDED:
            return f"step {name!r} is discarded: {event.error}", RED
        case name, StepChange.COMPLETED if name == FLAKY:
            return f"step {name!r} succeeded at attempt {event.attempt}", GREEN
        case name, StepChange.COMPLETED if name == HANDLER:
            return f"step {name!r} dealt with that: it hangs on a continue edge", GREEN
        case _:
            return None
