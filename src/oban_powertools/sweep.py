"""The sweep: a loop on every node that settles what no trigger could see.

Idempotent and guarded by a try-lock in the database, so any number of nodes may run it (P13). The
rule that must never break: it depends on no leader and on nothing it repairs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from .database import Connection, Queries, fetch_one

logger = logging.getLogger(__name__)

_FAULTS: Final = 100
"""Settle faults one sweep tries to repair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did, and where the next one goes on."""

    swept: bool = False
    """False when another node was at it."""

    repaired: int = 0
    """Settle faults that could be settled now."""

    reconciled: int = 0
    """Steps whose job was gone or had ended unseen."""

    after_workflow_id: int = 0
    """Cursor of the comparison of steps with their jobs."""

    after_position: int = -1
    """Cursor of the comparison of steps with their jobs."""

    @property
    def at_end(self) -> bool:
        """Whether every unfinished workflow has been compared."""
        return self.after_position == -1


async def sweep_once(conn: Connection, queries: Queries, since: Swept, batch: int) -> Swept:
    """Sweep one batch.

    Args:
        conn: In autocommit: the two halves lock workflows by id each, so they need a transaction each.
        since: The previous sweep of this node; ``Swept()`` starts over.
        batch: Steps to compare with their jobs.

    Locks: a transaction-level advisory try-lock each, then as settle.
    """
    repaired = await fetch_one(conn, queries["repair_settle_faults"], {"batch": _FAULTS})
    args = {"after_workflow_id": since.after_workflow_id, "after_position": since.after_position, "batch": batch}
    compared = await fetch_one(conn, queries["reconcile"], args)
    assert repaired is not None and compared is not None
    return Swept(
        swept=compared["reconciled"] is not None,
        repaired=repaired["repaired"],
        reconciled=compared["reconciled"] or 0,
        after_workflow_id=compared["after_workflow_id"],
        after_position=compared["after_position"],
    )


class SweepLoop:
    """Runs the sweep every so often until stopped.

    Args:
        sweep: One sweep, given the previous one.
        every: Time between two sweeps of this node.
    """

    def __init__(self, sweep: Callable[[Swept], Awaitable[Swept]], every: timedelta) -> None:
        self._sweep = sweep
        self._every = every
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.create_task(self._loop(), name="powertools-sweep")

    async def stop(self) -> None:
        """Let the sweep under way end, then stop."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _loop(self) -> None:
        last = Swept()
        while not self._stopping.is_set():
            try:
                last = await self._sweep(last)
                if last.repaired or last.reconciled:
                    logger.warning(
                        "sweep repaired %d settle faults, reconciled %d steps", last.repaired, last.reconciled
                    )
            except Exception:
                logger.exception("sweep failed; trying again in %s", self._every)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every.total_seconds())
