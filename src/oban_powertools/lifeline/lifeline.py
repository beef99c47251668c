"""The calls of ``powertools.lifeline``. Thin: each call's work is a module of its own."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..authorization import ActorLike, Guard
from ..config import Settings
from ..database import Connection, Queries
from ..display import DisplayPolicy
from ..retention import PruneRun, Retention, RetentionStatus
from .executors import ExecutorHealth, list_health, read_beats, refresh
from .incidents import Incidents


class Lifeline(Incidents):
    """Which executors live, and what became of those that do not.

    Args:
        connect: A connection on which one statement is one transaction.
        guard: Decides what operators may do; None refuses all of it.
        display: Decides what is shown and kept of values that may hold secrets.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Connection]],
        queries: Queries,
        settings: Settings,
        guard: Guard | None = None,
        display: DisplayPolicy | None = None,
    ) -> None:
        super().__init__(connect, queries, settings, guard or Guard(None), display or DisplayPolicy())
        self._connect = connect
        self._queries = queries
        self._settings = settings
        self._retention = Retention(connect, queries, settings, guard or Guard(None), display or DisplayPolicy())

    async def refresh_heartbeats(self, heartbeats: Sequence[Mapping[str, Any]]) -> int:
        """Keep executors of the host's own alive; those of Oban's producers beat by themselves.

        Args:
            heartbeats: Each ``{"executor_id": ..., "node": ..., "producer_scope": ...}``; perhaps ``"producer"``, what
                its jobs carry in ``attempted_by`` behind the node (default: what follows the last colon of the id), and
                ``"gone_after"``, a timedelta (default: ``executor_missing_after``) within which it beats at least
                five times: when it does not, its jobs are rescued.

        Returns:
            How many; all of them are stored or none.

        Raises:
            ValueError: One of them is no heartbeat, or an executor is there twice; none is stored.
        """
        beats = read_beats(heartbeats, self._settings)
        async with self._connect() as conn:
            return await refresh(conn, self._queries, beats)

    async def list_executor_health(self) -> list[ExecutorHealth]:
        """Every executor with its health, by the database's clock; changes nothing.

        Returns:
            Those that have not stopped first, then by scope, node and id.
        """
        async with self._connect() as conn:
            return await list_health(conn, self._queries, self._settings)

    async def retention_status(self) -> RetentionStatus:
        """How long each class of records is kept, how much is due, and the last run; changes nothing."""
        return await self._retention.status()

    async def run_archive_prune(
        self, actor: ActorLike, *, reason: str, dry_run: bool = False, source: str = "api"
    ) -> PruneRun:
        """Remove every record whose time is over, as the sweep does by itself, and archive what is to be kept of it.

        In batches, a transaction each: what fails removes nothing, is told in the run, and other classes go on.

        Args:
            reason: Why; kept with the run and in the audit.
            dry_run: Do the first batch of each class for real and roll it back.
            source: The door: ``api``, ``cli`` or ``web``.

        Returns:
            The run; look at its ``outcome``.

        Raises:
            UnattributedActorError, ReasonRequiredError, NotAuthorizedError: It was refused, and that is recorded.

        Locks: an advisory try-lock; the rows that are removed, passing over those that are locked.
        """
        return await self._retention.run(actor, reason=reason, dry_run=dry_run, source=source)
