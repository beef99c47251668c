"""Store a batch of acks: by our one statement, or by Oban's own ack in the lock order of settle.

``acknowledging`` decides what happens when it cannot be stored. The rule that must never break: the caller learns
whether the connection still lived, because that decides what an error means.

tests/runtime/test_oban_contract.py names everything used here.
"""
# pyright: reportPrivateUsage=false

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, cast

import psycopg
from oban._executor import AckAction
from oban._query import Query, _ack_jobs

from ..database import Connect, Connection, Session
from ..privacy.logs import find_logger
from ..workflows.job_identity import identity_of, is_step
from . import ack_statements
from .acknowledging import NotStoredError
from .acks import JobOutcome

logger: Final = find_logger(__name__)

UNINSTALLED: Final = (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedFunction)
"""Our functions are not there: Oban's own go on (invariant/I6)."""


class AckStore:
    """Stores the acks of one Oban instance.

    Args:
        connect: A session of our own.
        turbo: In one statement; else by Oban's own ack.
    """

    def __init__(
        self,
        query: Query,
        connect: Connect,
        *,
        turbo: bool,
    ) -> None:
        self._query = query
        self._connect = connect
        self._turbo = turbo

    async def store(self, outcomes: Sequence[JobOutcome]) -> list[int]:
        """Store a batch; returns the ids that this attempt could still acknowledge.

        Raises:
            NotStoredError: Nothing was stored, or the reply is lost.
        """
        if self._turbo:
            try:
                return await _through(self._connect(), ack_statements.store_outcomes, outcomes)
            except NotStoredError as fault:
                if not isinstance(fault.error, UNINSTALLED):
                    raise
                logger.warning("acknowledging %d jobs one by one: %s", len(outcomes), fault.error)
        return await _through(self._query.connection(), self._store_one_by_one, outcomes)

    async def keep_late(self, outcomes: Sequence[JobOutcome]) -> int:
        """As ``ack_statements.keep_late``.

        Raises:
            NotStoredError: They could not be kept.
        """
        return await _through(self._connect(), ack_statements.keep_late, outcomes)

    async def _store_one_by_one(self, conn: Connection, outcomes: Sequence[JobOutcome]) -> list[int]:
        acks = cast("list[AckAction]", sorted(outcomes, key=_lock_order))
        return await _ack_jobs(cast("Query", _QueryOn(conn, self._query._prefix)), acks)


class _QueryOn:
    """The part of Oban's query object that its ack uses, on a known connection."""

    def __init__(self, conn: Connection, prefix: str) -> None:
        self._conn = conn
        self._prefix = prefix
        self._pool = self

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        yield self._conn


async def _through[Via: Connection | Session, T](
    connecting: AbstractAsyncContextManager[Via],
    work: Callable[[Via, Sequence[JobOutcome]], Awaitable[T]],
    outcomes: Sequence[JobOutcome],
) -> T:
    via = None
    try:
        async with connecting as via:
            return await work(via, outcomes)
    except Exception as error:
        conn = via.conn if isinstance(via, Session) else via
        raise NotStoredError(error, lives=conn is not None and not conn.closed) from error


def _lock_order(ack: JobOutcome) -> tuple[int, int, int]:
    meta = identity_of(ack.job)
    return (meta["workflow_id"], meta["position"], ack.id) if is_step(ack.job) else (0, 0, ack.id)
