"""The calls of a console: opened when it is first asked, and what it knows of their database between two pages."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import datetime, timedelta
from typing import Final

from ..calls import Calls
from ..every import Every
from ..operators.authorization import Authorize
from ..privacy.display import DisplayPolicy

type OpenCalls = Callable[[], AbstractAsyncContextManager[Calls]]
"""Opens the calls at the first request: ``lambda: open_calls(pool, authorize=...)``."""

_KNOWN_FOR: Final = timedelta(seconds=5)
"""How long the number in the menu is shown before it is asked for again."""


class OpenedCalls:
    """The console's calls: opened once, when they are first needed, and again where that failed.

    Args:
        source: Open ones, or what opens them.
        authorize, display: Policies for the console alone; None takes those of the source.
    """

    def __init__(self, source: Calls | OpenCalls, authorize: Authorize | None, display: DisplayPolicy | None) -> None:
        self._source = source
        self._authorize = authorize
        self._display = display
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._calls: Calls | None = None
        self.answered_at: datetime | None = None
        """When the database last answered a page of this process."""
        self._needs_review: int | None = None
        self._ask_again = Every(_KNOWN_FOR)

    async def get(self) -> Calls:
        """The calls.

        Raises:
            DatabaseUnavailableError, SchemaError, psycopg.Error: They cannot be opened now.
        """
        if self._calls is None:
            async with self._opening:
                if self._calls is None:
                    self._calls = await self._open()
        return self._calls

    async def needs_review(self, *, within: timedelta) -> int | None:
        """How many incidents need a person, for the menu of every page; None where that cannot be said now.

        Asked every few seconds for all pages together.

        Args:
            within: How long a page waits for it.
        """
        if self._ask_again.take():
            try:
                calls = await self.get()
                async with asyncio.timeout(within.total_seconds()):
                    self._needs_review = (await calls.lifeline.count_incidents()).needs_review
            except Exception:  # noqa: BLE001 - the page itself says what is wrong
                self._needs_review = None
        return self._needs_review

    async def close(self) -> None:
        """Close what was opened here."""
        self._calls = None
        await self._stack.aclose()

    async def _open(self) -> Calls:
        source = self._source
        calls = source if isinstance(source, Calls) else await self._stack.enter_async_context(source())
        if self._authorize is None and self._display is None:
            return calls
        ours = calls.under(authorize=self._authorize, display=self._display)
        self._stack.push_async_callback(ours.events.stop)
        return ours
