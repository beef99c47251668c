"""Automatic retention: a part of the sweep, one batch of each class at a time.

A fault here stops no other part of the sweep.
"""

from datetime import timedelta
from typing import Final

import psycopg

from ...database import Session
from ...every import Every
from ...privacy.logs import find_logger, format_error
from .batches import Progress, advance, prune_batch

logger: Final = find_logger(__name__)

_EVERY: Final = timedelta(minutes=10)
"""Between the end of a run and the start of the next on this node."""

_REASON: Final = "older than its retention"


class RetentionSweep:
    """Removes what is due, a round of batches with every sweep, until nothing is left; then rests.

    Args:
        first_after: From the start of the process to its first run.
    """

    def __init__(self, *, first_after: timedelta = timedelta(minutes=1)) -> None:
        self._progress: Progress | None = None
        self._run: int | None = None
        self._every = Every(_EVERY, first_after=first_after)
        self._passed_over = False
        self.ended_well: bool = False
        """Whether the last sweep ended a run in which nothing failed and nobody else was pruning."""

    async def sweep(self, session: Session) -> int:
        """One round, when it is time; returns how many rows it removed.

        Args:
            session: In autocommit: each batch is a transaction of its own.
        """
        self.ended_well = False
        if self._progress is None:
            if not self._every.is_due:
                return 0
            self._progress, self._passed_over = Progress.start(), False
        try:
            removed = await self._round(session, self._progress)
            if not self._progress.left:
                await self._end(session, None)
                self.ended_well = not self._passed_over
        except psycopg.Error as error:
            logger.exception("retention failed; it tries again in %s", _EVERY)
            if not session.conn.broken:
                await self._end(session, format_error(error).partition("\n")[0])
            return 0
        return removed

    async def _round(self, session: Session, progress: Progress) -> int:
        removed = 0
        for of_class in [*progress.left]:
            async with session.transaction() as transaction:
                run = self._run or await self._start(session)
                row = await prune_batch(session, of_class, run, progress.after)
                if self._run is None and not row["pruned"]:
                    raise psycopg.Rollback(transaction)  # no run without anything to tell of it
            if row["pruned"]:
                self._run = run
            self._passed_over |= row["archived"] is None
            removed += int(row["pruned"] or 0)
            advance(progress, of_class, row)
        return removed

    async def _start(self, session: Session) -> int:
        row = await session.one("start_prune_run", {"actor": None, "reason": _REASON})
        assert row is not None
        await session.one("record_prune", {"run": row["id"], "reason": _REASON})
        return row["id"]

    async def _end(self, session: Session, error: str | None) -> None:
        run, self._run, self._progress = self._run, None, None
        self._every.rest()
        if error is not None and run is None:
            run = await self._start(session)
        if run is not None:
            args = {"id": run, "outcome": "failed" if error else "done", "error": error}
            await session.one("finish_prune_run", args)
