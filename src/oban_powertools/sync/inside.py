"""The synchronous calls of the process that runs a worker, for its plain functions.

What needs a loop runs on that of the process. The rule that must never break: closing them is its process's business.
"""

import asyncio
import atexit
from typing import Any, Final

from psycopg_pool import ConnectionPool

from ..calls import Calls
from ..current import find_here
from ..database.oban import pool_of
from ..database.pools import resolve
from ..errors import NotInWorkerError
from ..powertools import Powertools
from ..runtime.oban_attachment import Attachment
from .background import OnLoop
from .calls import SyncCalls
from .connections import SyncOptions, connecting
from .runs import Runs, Wanted, listen_nowhere

_BLOCKS: Final = (
    "an event loop runs here, which the call would block; in an asynchronous worker call current_powertools()"
)


def current_sync_calls() -> SyncCalls:
    """Every call of the process that runs this worker, for a plain function, which runs in a thread.

        current_sync_calls().workflows.insert(workflow, conn=connection)

    They share a small pool of their own, which connects when it is first used; waiting and subscriptions run on the
    event loop of the process. An asynchronous worker calls ``current_powertools``.

    Raises:
        NotInWorkerError: No attempt runs here, or an event loop does.
    """
    attachment, powertools = find_here()
    plainly_drained = attachment.drained is not None and attachment.drained.blocks
    if not plainly_drained and asyncio._get_running_loop() is not None:  # noqa: SLF001 - documented, and raises nothing
        raise NotInWorkerError(_BLOCKS)
    with attachment.lock:
        if not isinstance(attachment.sync_calls, SyncCalls):
            runs = _WorkerRuns(attachment, powertools)
            attachment.sync_calls = SyncCalls(runs)
            attachment.when_detached.append(runs.end)
            atexit.register(runs.end)
        return attachment.sync_calls


class _WorkerRuns(Runs):
    def __init__(self, attachment: Attachment, powertools: Powertools) -> None:
        assert attachment.loop is not None
        wanted = Wanted(
            source="", authorize=None, display=None, names=attachment.queries.names, settings=powertools.settings
        )
        super().__init__(wanted)
        self._powertools = powertools
        self._loop = attachment.loop

    def find_background(self) -> OnLoop:
        return OnLoop(self._loop, self._powertools)

    def close(self) -> None:
        """Leave them to the other functions of the process."""

    def end(self) -> None:
        """Close them with the process's Powertools."""
        atexit.unregister(self.end)
        super().close()

    def _find_options(self) -> SyncOptions:
        def ask() -> dict[str, Any]:
            asking = resolve(pool_of(self._powertools.oban))
            return asyncio.run_coroutine_threadsafe(asking, self._loop).result()

        return ask

    def _make_calls(self, pool: ConnectionPool[Any]) -> Calls:
        return self._powertools.through(lambda: connecting(pool, self._queries), listen_nowhere)
