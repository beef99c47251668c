"""Rescue jobs: run them again because nobody works on them, never because they are old.

Who is gone is decided in ``sql/functions/executors.sql``, what happens to each job in ``sql/functions/rescue.sql``. The
rule that must never break: a job that its producer runs, fetches or has yet to acknowledge is never given back from
here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg

from ..config import Settings
from ..database import Session
from ..database.values import naive
from ..every import Every
from ..privacy.logs import find_logger

logger: Final = find_logger(__name__)

type Attempt = tuple[int, datetime]
"""A job's id, and when the attempt began: aware, UTC."""

_AT_ONCE: Final = 500
"""Jobs rescued in one transaction."""

_LOOK_THROUGH_EVERY: Final = timedelta(seconds=30)
"""How often a node looks through all executing jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """The jobs that one producer of this process has in hand."""

    queue: str
    """Its queue."""

    fetching: bool
    """Whether a fetch is under way, whose jobs are not known yet."""

    attempts: frozenset[Attempt]
    """The attempts that it runs, or has yet to acknowledge."""


class Rescuer:
    """Rescues for one node.

    Args:
        hands: Producer, as in ``attempted_by`` of jobs -> what it has in hand.
    """

    def __init__(self, settings: Settings, hands: Callable[[], Mapping[str, Hand]]) -> None:
        self._hands = hands
        self._look_through = Every(_LOOK_THROUGH_EVERY)
        self._compare = Every(settings.executor_gone_after / 3)
        self._suspects: set[Attempt] = set()

    async def sweep(self, session: Session, *, gone: bool) -> int | None:
        """Rescue what is due now: jobs of gone executors; now and then all executing jobs, and this process's own.

        Args:
            session: In autocommit.
            gone: Whether an executor is gone whose jobs have not been searched yet.

        Returns:
            How many jobs were rescued; None when another node is at it, or it failed. A fault is logged: the other
            parts of the sweep go on.
        """
        try:
            thorough = self._look_through.take()
            rescued = await self._rescue_gone(session, thorough=thorough) if gone or thorough else 0
            lost = await self.rescue_lost(session) if self._compare.take() else 0
            return None if rescued is None else rescued + lost
        except psycopg.Error:
            logger.exception("the rescue failed; the next sweep tries again")
            return None

    async def rescue(self, session: Session, *, thorough: bool) -> int:
        """Rescue the jobs of gone executors, batch by batch; returns how many.

        Args:
            session: In autocommit.
            thorough: Search all executing jobs, also for unknown executors.

        Locks: the part's row; the jobs by id, skipping those that are locked, then as settle.
        """
        return await self._rescue_gone(session, thorough=thorough) or 0

    async def _rescue_gone(self, session: Session, *, thorough: bool) -> int | None:
        args = {"batch": _AT_ONCE, "thorough": thorough}
        rescued = 0
        while True:
            row = await session.one("rescue", args)
            if row is None or (count := row["rescued"]) is None:
                return rescued or None
            rescued += count
            if count < _AT_ONCE:
                break
        if rescued:
            logger.warning("rescued %d jobs whose executor is gone", rescued)
        return rescued

    async def rescue_lost(self, session: Session) -> int:
        """Rescue jobs that only the database believes to run in this process: seen twice in a row, to be sure."""
        hands = self._hands()
        if not hands:
            return 0
        args = {"queues": sorted({hand.queue for hand in hands.values()}), "producers": list(hands)}
        rows = await session.all("list_executing", args)
        lost = self._find_lost(rows)
        if not lost:
            return 0
        parameters = {
            "job_ids": [job_id for job_id, _ in lost],
            "attempted_ats": [naive(at) for _, at in lost],
        }
        row = await session.one("rescue_lost", parameters)
        rescued = row["rescued"] if row else 0
        logger.warning("rescued %d jobs that their producer here does not know (a lost fetch or ack)", rescued)
        return rescued

    def _find_lost(self, rows: Sequence[Mapping[str, Any]]) -> set[Attempt]:
        # The jobs in hand are read after the rows: an earlier fetch is in them by now, unless it is still under way.
        hands = self._hands()
        lost: set[Attempt] = set()
        suspects: set[Attempt] = set()
        for row in rows:
            hand, attempt = hands.get(row["producer"]), (row["id"], row["attempted_at"].replace(tzinfo=UTC))
            if hand is None or attempt in hand.attempts:
                continue
            if not hand.fetching:
                (lost if attempt in self._suspects else suspects).add(attempt)
            elif attempt in self._suspects:
                suspects.add(attempt)
        self._suspects = suspects
        return lost

    async def discard_exhausted(self, session: Session) -> int:
        """Discard jobs that are available without an attempt left, as Oban's own rescue does."""
        return len(await session.all("discard_exhausted", {"batch": _AT_ONCE}))
