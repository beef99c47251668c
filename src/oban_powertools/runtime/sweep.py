"""The sweep: a loop on every node that settles what no trigger could see.

Idempotent, and one node at a time takes each part, by a lock in the database, so any number of nodes may run it
(property/P13). The rule that must never break: it needs no leader, and nothing that it repairs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import psycopg

from .. import telemetry
from ..config import Settings
from ..database import Session
from ..privacy.logs import find_logger
from ..sweep_parts import ALL_PARTS, PARTS, SweepPart

logger: Final = find_logger(__name__)

_FULL_BATCHES_FOR: Final = timedelta(seconds=1)
"""For how long one sweep repeats a part that has more to do, before the other parts get their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did, and where the next one continues."""

    swept: bool = False
    """False when another node was doing it."""

    repaired: int = 0
    """Settle faults that could be settled now."""

    expired: int = 0
    """Waits, workflows, holds and signals whose time ran out, jobs to stop, and signals that had missed their wait."""

    reconciled: int = 0
    """Steps whose job was missing, or had ended unnoticed."""

    more: bool = False
    """Whether a part has more to do, for which there was no time: the next sweep begins at once."""

    due: frozenset[str] = frozenset()
    """Which of ``ALL_PARTS`` had something to do."""

    done: frozenset[str] = frozenset()
    """Which parts of ``sweep_once`` this node has done."""

    after_workflow_id: int = 0
    """Cursor of the comparison of steps with their jobs."""

    after_position: int = -1
    """Cursor of the comparison of steps with their jobs."""

    @property
    def at_end(self) -> bool:
        """Whether every unfinished workflow has been compared."""
        return self.after_position == -1


async def sweep_once(session: Session, since: Swept, settings: Settings) -> Swept:
    """Find out what is due, and sweep it batch by batch for about a second.

    Args:
        session: In autocommit: each part locks workflows by id, so it needs a transaction of its own.
        since: The previous sweep of this node; ``Swept()`` starts over.

    Locks: the row of each part, then as settle.
    """
    with telemetry.span(telemetry.Name.SWEEP) as measured:
        due = await _find_due(session, settings)
        until = time.monotonic() + _FULL_BATCHES_FOR.total_seconds()
        tried = {part: await _sweep_part(session, part, until) for part in PARTS if part in due}
        measured["parts"] = len(tried)
        counts = {part: tally.done for part, tally in tried.items() if tally.done is not None}
        done = frozenset(counts)
        repaired = counts.pop(SweepPart.REPAIR_SETTLE_FAULTS, 0)
        counts.pop(SweepPart.ANALYZE_OUTGROWN, 0)
        swept = Swept(swept=True)
        if SweepPart.RECONCILE in due:
            swept = await _compare(session, since, settings.sweep_batch)
            done |= {SweepPart.RECONCILE.value} if swept.swept else set[str]()
        more = any(tally.more for tally in tried.values())
        swept = replace(swept, due=due, done=done, repaired=repaired, expired=sum(counts.values()), more=more)
        measured |= {"repaired": swept.repaired, "expired": swept.expired, "reconciled": swept.reconciled}
        return swept


async def _find_due(session: Session, settings: Settings) -> frozenset[str]:
    try:
        row = await session.one("due_parts", {"incidents_every": settings.incidents_every})
    except psycopg.Error:
        if session.conn.broken:
            raise
        # One part's table may be locked or damaged: the others go on.
        logger.exception("what is due could not be read: everything is tried")
        return ALL_PARTS
    assert row is not None
    return frozenset(row["parts"])


async def _compare(session: Session, since: Swept, batch: int) -> Swept:
    args = {"after_workflow_id": since.after_workflow_id, "after_position": since.after_position, "batch": batch}
    try:
        compared = await session.one("reconcile", args)
    except psycopg.Error:
        if session.conn.broken:
            raise
        logger.exception("the sweep's part reconcile failed; the other parts go on")
        return replace(since, swept=False, reconciled=0)
    assert compared is not None
    return Swept(
        swept=compared["reconciled"] is not None,
        reconciled=compared["reconciled"] or 0,
        after_workflow_id=compared["after_workflow_id"],
        after_position=compared["after_position"],
    )


@dataclass(frozen=True, slots=True)
class _Tally:
    done: int | None
    """How many rows a part has handled; None when another node does it, or it failed."""

    more: bool = False
    """Whether there may be more to do at once."""


async def _sweep_part(session: Session, part: str, until: float) -> _Tally:
    """Sweep batch after batch, while there is more to do and time left."""
    tally = await _sweep_batch(session, part)
    while tally.more and time.monotonic() < until:
        following = await _sweep_batch(session, part)
        tally = _Tally((tally.done or 0) + (following.done or 0), following.more)
    return tally


async def _sweep_batch(session: Session, part: str) -> _Tally:
    try:
        row = await session.one("sweep_part", {"part": part, "batch": PARTS[part]})
    except psycopg.Error:
        logger.exception("the sweep's part %s failed; the other parts go on", part)
        return _Tally(None)
    assert row is not None
    if not row["swept"]:
        return _Tally(None)
    if row["failed"]:
        logger.error("the sweep's part %s failed for %d; the database's log says why", part, row["failed"])
    return _Tally(None if row["failed"] and not row["done"] else row["done"], row["more"])


class SweepLoop:
    """Runs the sweep every so often until stopped.

    Args:
        sweep: Does one sweep; its argument is the result of the previous one.
        every: Time between two sweeps of this node.
    """

    def __init__(self, sweep: Callable[[Swept], Awaitable[Swept]], every: timedelta) -> None:
        self._sweep = sweep
        self._every = every
        self._stopping = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.create_task(self._loop(), name="powertools-sweep")

    async def stop(self) -> None:
        """Let the sweep under way end, then stop."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def hurry(self) -> None:
        """Sweep at once: there is something to do."""
        self._wake.set()

    async def _loop(self) -> None:
        last = Swept()
        while not self._stopping:
            self._wake.clear()
            try:
                last = await self._sweep(last)
                if last.repaired or last.reconciled:
                    logger.warning(
                        "sweep repaired %d settle faults, reconciled %d steps", last.repaired, last.reconciled
                    )
            except Exception:
                logger.exception("sweep failed; trying again in %s", self._every)
                last = replace(last, more=False)
            if last.more:
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every.total_seconds())
