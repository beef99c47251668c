"""Acknowledge a batch of executed jobs so that no outcome, and no refusal of one, stops a queue.

- When a reply is lost the ack is sent again: it is fenced, so twice counts once.
- An outcome that cannot be stored fails alone, with the reason as its attempt's error.
- What cannot be stored in any form, or belongs to a job that another session keeps locked, is set aside and tried
  again beside the queue while the process lives: the job stays in hand, so nobody rescues it.

The rule that must never break: only a database that cannot be reached makes the queue wait (invariant/I6).
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ..database.sqlstates import Trouble, find_trouble
from ..privacy.logs import find_logger, format_error
from .acks import Ack, Backoff, JobOutcome, failed, storable
from .rescue import Attempt

logger: Final = find_logger(__name__)

_HOLDS_UP: Final = 0.5
"""Seconds for which other sessions, or a shortage, may let a batch hold up its queue."""
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 2.0
_FIRST_ASIDE: Final = 1.0
"""Seconds until an outcome that was set aside is tried again; they double each time."""
_LONGEST_ASIDE: Final = 60.0

MOST_BYTES: Final = 2**26
"""Bytes of results in one statement."""


class NotStoredError(Exception):
    """A batch that could not be stored.

    Args:
        error: The database's or the driver's.
        lives: As ``find_trouble`` takes it.
    """

    def __init__(self, error: Exception, *, lives: bool | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.trouble: Trouble = find_trouble(error, lives=lives)


@dataclass(slots=True)
class _Aside:
    """Outcomes that were set aside, and when to try them again."""

    outcome: JobOutcome
    since: float
    pause: float
    due_at: float

    @property
    def producer(self) -> str | None:
        """Whose job it was; None where the worker has changed that."""
        try:
            return self.outcome.job.attempted_by[1]
        except (TypeError, LookupError):
            return None

    def put_off(self) -> None:
        self.due_at = time.monotonic() + self.pause
        self.pause = min(_LONGEST_ASIDE, self.pause * 2)


class Acknowledger:
    """Acknowledges for one Oban instance.

    Args:
        store: Stores a batch, one attempt a job, in one transaction; returns the ids that this attempt could still
        acknowledge; raises NotStoredError.
        keep_late: Keeps outcomes that came too late.
        backoff: For attempts that fail here.
        again_for: Seconds for which a batch is sent again while the database cannot be reached. After them an outcome
        that meets a shortage fails.
        stops: Whether the process is being stopped: then an outcome that may soon be stored is not put off.
    """

    def __init__(
        self,
        store: Callable[[Sequence[JobOutcome]], Awaitable[list[int]]],
        keep_late: Callable[[Sequence[JobOutcome]], Awaitable[int]],
        backoff: Backoff,
        *,
        stops: Callable[[], bool],
        again_for: float = 10.0,
    ) -> None:
        self._store = store
        self._keep_late = keep_late
        self._backoff = backoff
        self._stops = stops
        self.again_for = again_for
        self._fails_at: dict[Attempt, float] = {}
        self._aside: dict[Attempt, _Aside] = {}
        self._asking: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def __call__(self, acks: Sequence[Ack]) -> list[int]:
        """Acknowledge a batch; returns the ids that this attempt could still acknowledge.

        Raises:
            psycopg.Error, OSError: The database could not be reached for about 10 s; nothing is lost, the caller keeps
                the acks and tries again.

        Locks: the jobs by id, then as settle.
        """
        outcomes = [storable(ack, self._backoff) for ack in acks]
        acked: list[int] = []
        try:
            for batch in _batches(outcomes):
                acked += await self._acknowledge(batch)
        except NotStoredError as fault:
            raise fault.error from None
        await self._keep_refused(outcomes, acked)
        return acked

    async def keep_late(self, acks: Sequence[Ack]) -> None:
        """Keep what attempts came to that have another outcome already."""
        await self._keep_refused([storable(ack, self._backoff) for ack in acks], [])

    def attempts_aside(self) -> frozenset[Attempt]:
        """The attempts that were set aside and are still in hand: job id, and when the attempt began."""
        return frozenset(self._aside)

    def count_aside(self, producer: str) -> tuple[int, float | None]:
        """Outcomes of a producer that are set aside, and seconds since the oldest was; from any thread."""
        since = [aside.since for aside in list(self._aside.values()) if aside.producer == producer]
        return len(since), time.monotonic() - min(since) if since else None

    def stop(self) -> None:
        """Try no more what was set aside; it is rescued once this process has ended."""
        self._stopping.set()

    async def _acknowledge(self, outcomes: Sequence[JobOutcome]) -> list[int]:
        try:
            return await self._insist(outcomes)
        except NotStoredError as fault:
            if fault.trouble is Trouble.LOST:
                raise
            if len(outcomes) == 1:
                return self._or_aside(outcomes[0], await self._fail(outcomes[0], fault))
            logger.warning("%d jobs are acknowledged one by one: %s", len(outcomes), fault.error)
        acked: list[int] = []
        for outcome in outcomes:
            acked += self._or_aside(outcome, await self._store_alone(outcome))
        return acked

    async def _insist(self, outcomes: Sequence[JobOutcome]) -> list[int]:
        began_at, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                return await self._store(outcomes)
            except NotStoredError as fault:
                if fault.trouble is Trouble.REFUSED or time.monotonic() + pause > began_at + self._patience(fault):
                    raise
                if fault.trouble is not Trouble.CONTENDED:
                    # The reply may be lost after the commit: the same fenced statement again is harmless.
                    logger.warning("%d jobs are acknowledged again: %s", len(outcomes), fault.error)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _patience(self, fault: NotStoredError) -> float:
        waits = fault.trouble is Trouble.LOST or self._stops()
        return self.again_for if waits else min(self.again_for, _HOLDS_UP)

    def _may_pass(self, outcome: JobOutcome, fault: NotStoredError) -> bool:
        """Whether the obstacle may soon be over: another session always, a shortage for a while."""
        if fault.trouble is not Trouble.EXHAUSTED or self._stops():
            return fault.trouble is Trouble.CONTENDED
        fails_at = time.monotonic() + max(0, self.again_for - _HOLDS_UP)
        return time.monotonic() < self._fails_at.setdefault(_key_of(outcome), fails_at)

    async def _store_alone(self, outcome: JobOutcome) -> list[int] | None:
        """Store one outcome as it is, or as a failure; None when neither can be stored now."""
        try:
            return await self._store([outcome])
        except NotStoredError as fault:
            return await self._fail(outcome, fault)

    async def _fail(self, outcome: JobOutcome, fault: NotStoredError) -> list[int] | None:
        reason = format_error(fault.error) or type(fault.error).__name__
        for ascii_only in (False, True):
            if fault.trouble is Trouble.LOST:
                raise fault
            if self._may_pass(outcome, fault):
                break
            try:
                return await self._store([failed(outcome, reason, self._backoff, ascii_only=ascii_only)])
            except NotStoredError as again:
                fault = again
        logger.warning("job %d cannot be acknowledged now and is set aside: %s", outcome.id, fault.error)
        return None

    def _or_aside(self, outcome: JobOutcome, acked: list[int] | None) -> list[int]:
        if acked is not None:
            self._fails_at.pop(_key_of(outcome), None)
            return acked
        self._aside[_key_of(outcome)] = aside = _Aside(outcome, time.monotonic(), _FIRST_ASIDE, 0)
        aside.put_off()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_again(), name="powertools-acks-aside")
        return []

    async def _ask_again(self) -> None:
        while self._aside and not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _FIRST_ASIDE)
            for key, aside in list(self._aside.items()):
                if aside.due_at <= time.monotonic() or self._stopping.is_set():
                    await self._ask_for(key, aside)
        self._asking = None

    async def _ask_for(self, key: Attempt, aside: _Aside) -> None:
        outcome = aside.outcome
        try:
            acked = await self._store_alone(outcome)
        except Exception as error:  # noqa: BLE001 - the top of the loop
            logger.warning("job %d could not be acknowledged: %s", outcome.id, error)
            acked = None
        if acked is None:
            aside.put_off()
            return
        del self._aside[key]
        self._fails_at.pop(key, None)
        await self._keep_refused([outcome], acked)

    async def _keep_refused(self, outcomes: Sequence[JobOutcome], acked: Iterable[int]) -> None:
        """Keep outcomes that the fence refused, as late results."""
        # An id that occurs twice is two attempts, one of which may have been refused.
        acknowledged, submitted = Counter(acked), Counter(outcome.id for outcome in outcomes)
        late = [
            outcome
            for outcome in outcomes
            if acknowledged[outcome.id] < submitted[outcome.id] and _key_of(outcome) not in self._aside
        ]
        try:
            count = await self._keep_late(late) if late else 0
        except Exception:
            # The acks themselves are stored; their producer must not ask again (invariant/I6).
            logger.exception("the late results of %d jobs could not be kept", len(late))
            return
        if count:
            logger.warning("%d late results are kept: their attempts had ended, or been rescued, meanwhile", count)


def _key_of(outcome: JobOutcome) -> Attempt:
    return outcome.id, outcome.attempted_at


def _batches(outcomes: Sequence[JobOutcome]) -> Iterable[list[JobOutcome]]:
    # Rescued by age, a job may be here twice (oban/O6); results go by job, so each attempt has its statement.
    rest: list[JobOutcome] = list(outcomes)
    while rest:
        firsts: dict[int, JobOutcome] = {outcome.id: outcome for outcome in reversed(rest)}
        yield from _small_enough(firsts.values())
        rest = [outcome for outcome in rest if firsts[outcome.id] is not outcome]


def _small_enough(outcomes: Iterable[JobOutcome]) -> Iterator[list[JobOutcome]]:
    # The results of a statement are one jsonb, which holds 256 MB; PostgreSQL has them in memory several times over.
    batch: list[JobOutcome] = []
    room = MOST_BYTES
    for outcome in outcomes:
        room -= (size := outcome.size)
        if room < 0 and batch:
            yield batch
            batch, room = [], MOST_BYTES - size
        batch.append(outcome)
    yield batch
