"""One event loop in a thread, for what needs one: waiting for workflows, subscriptions, requests to webhooks.

It starts with the first such call.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..calls import Calls


class OnLoop:
    """The asynchronous calls, and the event loop of another thread on which they run."""

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: Calls) -> None:
        self._loop = loop
        self.calls: Calls = calls

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and block this thread until it ends; an interruption here cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what was opened for it: nothing."""


class Background(OnLoop):
    """A thread with an event loop and the asynchronous calls.

    Args:
        opening: Opens the calls, on that loop.

    Raises:
        Exception: Whatever opening raised.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Calls]]) -> None:
        self._opening = opening
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="powertools-sync", daemon=True)
        self._thread.start()
        try:
            super().__init__(self._loop, self.run(self._open()))
        except BaseException:
            self._end()
            raise

    async def _open(self) -> Calls:
        self._opened = self._opening()
        return await self._opened.__aenter__()

    def close(self) -> None:
        """Close the calls and end the thread."""
        self.run(self._opened.__aexit__(None, None, None))
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
