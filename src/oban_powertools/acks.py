"""Acknowledge executed jobs in bulk: one fenced statement a batch.

A row that cannot be stored fails alone: it is refused or escaped here, and should PostgreSQL still
object, the batch is taken one by one. The rule that must never break: an ack is fenced by (id,
state, attempted_at), so repeating one whose reply was lost is harmless (F7).
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import orjson
import psycopg
from oban import Job

from . import json_border
from .database import Connection, Queries, fetch_all
from .logs import find_logger, said
from .results import Encoded

logger = find_logger(__name__)

type Connect = Callable[[], AbstractAsyncContextManager[Connection]]

_CONTENDED: Final = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)
_REFUSED: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, psycopg.NotSupportedError)
_REFUSED_FOR_GOOD: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.RaiseException)
_CONTENDED_TRIES: Final = 5
_LOST_TRIES: Final = 8
_MAX_SECONDS: Final = 2**31 - 1


class Ack(Protocol):
    """What Oban's executor says about a job it ran."""

    @property
    def job(self) -> Job:
        """The executed job."""
        ...

    @property
    def id(self) -> int | None:
        """The job's id."""
        ...

    @property
    def attempted_at(self) -> datetime | None:
        """When the attempt began: the fence."""
        ...

    @property
    def state(self) -> str:
        """What the job becomes."""
        ...

    @property
    def attempt_change(self) -> int | None:
        """-1 for a snooze."""
        ...

    @property
    def error(self) -> dict[str, Any] | None:
        """The error to add: attempt, at, error."""
        ...

    @property
    def meta(self) -> dict[str, Any] | None:
        """What to merge into the job's meta."""
        ...

    @property
    def schedule_in(self) -> int | None:
        """Seconds until the next attempt."""
        ...


@dataclass(slots=True, kw_only=True)
class AckRow:
    """One ack, made storable."""

    id: int
    queue: str
    attempt: int
    attempted_at: datetime
    state: str
    attempt_change: int | None
    schedule_in: int | None
    error: str | None
    meta: str | None
    result: str | None


class BulkAck:
    """Acknowledges for one Oban instance.

    Args:
        connect: A connection on which one statement is one transaction, or which commits at exit.
        backoff: Seconds until the retry of an attempt: (attempt, max_attempts) -> seconds.
    """

    def __init__(self, connect: Connect, queries: Queries, backoff: Callable[[int, int], int]) -> None:
        self._connect = connect
        self._queries = queries
        self._backoff = backoff

    async def __call__(self, acks: Sequence[Ack]) -> list[int]:
        """Acknowledge a batch; the ids that were still this attempt's to acknowledge.

        Raises:
            psycopg.OperationalError: The database could not be reached for about 10 s; nothing is
                lost, the caller keeps the acks and tries again.

        Locks: the jobs by id, then as settle.
        """
        # Rescued by age, a job may be here twice (O6); results go by job, so each attempt has its statement.
        firsts = {ack.id: ack for ack in reversed(acks)}
        others = [ack for ack in acks if firsts[ack.id] is not ack]
        acked = await self._acknowledge(list(firsts.values()))
        return acked + await self(others) if others else acked

    async def _acknowledge(self, acks: Sequence[Ack]) -> list[int]:
        rows = sorted((self._row(ack) for ack in acks), key=lambda row: row.id)
        try:
            return await self._store(rows)
        except _REFUSED as error:
            logger.warning("bulk ack of %d jobs failed, acknowledging one by one: %s", len(rows), error)
        by_id = {ack.id: ack for ack in acks}
        return [job_id for row in rows for job_id in await self._store_alone(row, by_id[row.id])]

    async def _store_alone(self, row: AckRow, ack: Ack) -> list[int]:
        try:
            return await self._store([row])
        except _REFUSED as error:
            failed = self._failed(ack, said(error))
        try:
            return await self._store([failed])
        except _REFUSED_FOR_GOOD as error:
            logger.error("job %d cannot be acknowledged in any form and is left to the rescue: %s", row.id, error)
            return []

    async def _store(self, rows: Sequence[AckRow]) -> list[int]:
        args = _arrays(rows)
        contended = lost = 0
        while True:
            try:
                async with self._connect() as conn:
                    return [row["id"] for row in await fetch_all(conn, self._queries["ack_jobs"], args)]
            except _CONTENDED:
                contended += 1
                if contended == _CONTENDED_TRIES:
                    raise
                await asyncio.sleep(random.uniform(0.01, 0.05) * contended)  # noqa: S311
            except psycopg.OperationalError as error:
                # The reply may be lost after the commit: the same fenced statement again is harmless.
                lost += 1
                if lost == _LOST_TRIES:
                    raise
                logger.warning("ack of %d jobs got no answer, asking again: %s", len(rows), error)
                await asyncio.sleep(min(2.0, 0.05 * 2**lost))

    async def keep_late(self, acks: Sequence[Ack], acked: Sequence[int]) -> None:
        """Keep what the fence refused of a batch as late results, unless the job carries this very outcome already.

        Args:
            acked: The ids that were acknowledged.
        """
        # An id that is here twice is two attempts, of which one may have been refused.
        taken, asked = Counter(acked), Counter(ack.id for ack in acks)
        rows = [self._row(ack) for ack in acks if ack.id is not None and taken[ack.id] < asked[ack.id]]
        if not rows:
            return
        args = {
            "ids": [row.id for row in rows],
            "attempted_ats": [row.attempted_at for row in rows],
            "attempts": [row.attempt for row in rows],
            "states": [row.state for row in rows],
            "errors": [row.error for row in rows],
            "results": [row.result for row in rows],
        }
        try:
            async with self._connect() as conn:
                kept = await fetch_all(conn, self._queries["keep_late_results"], args)
        except psycopg.Error:
            # The acks themselves are stored; their producer must not ask again (I6).
            logger.exception("the late results of %d jobs could not be kept", len(rows))
            return
        if kept:
            logger.warning("%d late results are kept: their attempts had been rescued meanwhile", len(kept))

    def _row(self, ack: Ack) -> AckRow:
        assert ack.id is not None and ack.attempted_at is not None
        meta = dict(ack.meta) if ack.meta else {}
        result = meta.pop("return", None)
        if isinstance(result, Encoded):
            meta.pop("recorded", None)
        elif result is not None:
            meta["return"] = result
        if reason := _unstorable(ack, meta):
            return self._failed(ack, f"{reason}\n{ack.error.get('error')}" if ack.error else reason)
        return AckRow(
            id=ack.id,
            queue=ack.job.queue,
            attempt=ack.job.attempt,
            attempted_at=ack.attempted_at.astimezone(UTC).replace(tzinfo=None),
            state=ack.state,
            attempt_change=ack.attempt_change,
            schedule_in=round(ack.schedule_in) if ack.schedule_in is not None else None,
            error=_error(ack.error) if ack.error else None,
            meta=json_border.dumps(meta) if meta else None,
            result=json_border.dumps(result) if isinstance(result, Encoded) else None,
        )

    def _failed(self, ack: Ack, reason: str) -> AckRow:
        assert ack.id is not None and ack.attempted_at is not None
        job = ack.job
        last = job.attempt >= job.max_attempts
        text = f"the outcome {ack.state!r} cannot be stored: {reason}"
        return AckRow(
            id=ack.id,
            queue=job.queue,
            attempt=job.attempt,
            attempted_at=ack.attempted_at.astimezone(UTC).replace(tzinfo=None),
            state="discarded" if last else "retryable",
            attempt_change=None,
            schedule_in=None if last else self._backoff(job.attempt, job.max_attempts),
            error=_error({"attempt": job.attempt, "at": datetime.now(UTC).isoformat(), "error": text}),
            meta=None,
            result=None,
        )


def _unstorable(ack: Ack, meta: dict[str, Any]) -> str | None:
    seconds: Any = ack.schedule_in
    if seconds is not None and not (type(seconds) in (int, float) and abs(seconds) <= _MAX_SECONDS):
        return f"it is to run again in {seconds!r}, expected a number of seconds up to {_MAX_SECONDS}"
    faults = json_border.find_faults(meta, "meta")
    return "; ".join(str(fault) for fault in faults) or None


def _error(error: dict[str, Any]) -> str:
    return json_border.dumps({**error, "error": json_border.storable_text(str(error.get("error")))})


def _arrays(rows: Sequence[AckRow]) -> dict[str, Any]:
    results = {str(row.id): orjson.Fragment(row.result) for row in rows if row.result is not None}
    return {
        "ids": [row.id for row in rows],
        "attempted_ats": [row.attempted_at for row in rows],
        "states": [row.state for row in rows],
        "attempt_changes": [row.attempt_change for row in rows],
        "schedule_ins": [row.schedule_in for row in rows],
        "errors": [row.error for row in rows],
        "metas": [row.meta for row in rows],
        "results": orjson.dumps(results).decode() if results else None,
        "fetching": orjson.dumps(Counter(row.queue for row in rows)).decode(),
    }
