"""Retention on request: its status, a run, a dry run."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import psycopg

from ...arguments import as_flag
from ...database import Session, record
from ...operators.audit import Operation, Operations, Outcome
from ...operators.authorization import Action, ActorLike, Target, TargetType
from ...operators.services import Facade, Services
from ...privacy.logs import find_logger, first_line
from ..settings import read_spans
from .batches import Progress, advance, prune_batch
from .records import PruneRun, RecordClass, RetainedClass, RetentionStatus

logger: Final = find_logger(__name__)

_RECORDS: Final = Target(type=TargetType.RECORDS, id="*")
_COUNTED: Final = 10_000


def _needed_for(of_class: RecordClass, spans: Mapping[str, timedelta | None]) -> timedelta | None:
    """How long records are kept at least: workflows as long as the log of events tells of them (retention/P2)."""
    kept_for, told_for = spans[f"retention.{of_class}"], spans["events_kept_for"]
    if of_class is not RecordClass.WORKFLOWS or kept_for is None or told_for is None:
        return kept_for
    return max(kept_for, told_for)


class Retention(Facade):
    """What is kept for how long, and its removal."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._operations = Operations(services)

    async def retention_status(self) -> RetentionStatus:
        """How long each class of records is kept, how much is due, and the last run; changes nothing."""
        async with self._connect() as session:
            names = {"tables": [*RecordClass], "schema": session.queries.names.schema}
            spans = await read_spans(session)
            sizes = {row["name"]: row for row in await session.all("retention_sizes", names)}
            oldest = {row["name"]: row["oldest_at"] for row in await session.all("retention_oldest")}
            classes = [
                RetainedClass(
                    name=of_class,
                    kept_for=spans[f"retention.{of_class}"],
                    is_archived=of_class.is_archived,
                    rows=sizes[of_class]["rows"] if of_class in sizes else 0,
                    bytes=sizes[of_class]["bytes"] if of_class in sizes else 0,
                    oldest_at=oldest[of_class],
                    due=await self._count_due(session, of_class, _needed_for(of_class, spans)),
                )
                for of_class in RecordClass
            ]
            last = await session.record(PruneRun, "last_prune_run")
        events_kept_for = spans["events_kept_for"]
        assert events_kept_for is not None
        return RetentionStatus(
            classes=tuple(classes), events_kept_for=events_kept_for, swept_at=oldest["retention"], last_run=last
        )

    async def _count_due(self, session: Session, of_class: RecordClass, kept_for: timedelta | None) -> int | None:
        if kept_for is None:
            return 0
        args = {"of_class": of_class, "kept_for": kept_for, "most": _COUNTED}
        row = await session.one("retention_due", args)
        return row["due"] if row else None

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

        Locks: the row of this part of the sweep; the rows that are removed, passing over those that are locked.
        """
        rehearsed = as_flag("dry_run", dry_run)
        async with self._operations.begin(
            actor, Action.ARCHIVE_PRUNE, _RECORDS, reason=reason, source=source
        ) as operation:
            acting = await operation.authorize()
            if rehearsed:
                return await self._rehearse_prune(acting.id, operation.entry.reason or "")
            # What is removed is written down before: a batch without its record is impossible (invariant/I4).
            async with operation.transaction() as session:
                run = await self._start_prune(session, acting.id, operation.entry.reason or "")
                operation.update(details={"run": run})
            async with self._connect() as session:
                progress = Progress.start()
                while progress.left:
                    await self._prune_next(session, progress, progress.left[0], run)
            return await self._finish_prune(operation, run, progress)

    async def _prune_next(self, session: Session, progress: Progress, of_class: RecordClass, run: int) -> None:
        try:
            async with session.transaction():
                row = await prune_batch(session, of_class, run, progress.after)
        except psycopg.Error as error:
            if session.conn.broken:
                raise
            logger.exception("pruning %s failed; the other classes go on", of_class)
            progress.failures[of_class] = first_line(error)
            progress.left.remove(of_class)
            return
        if row["archived"] is None:
            progress.failures[of_class] = "another session is pruning"
            progress.left.remove(of_class)
            return
        advance(progress, of_class, row)

    async def _finish_prune(self, operation: Operation, run: int, progress: Progress) -> PruneRun:
        error = "; ".join(f"{of_class}: {message}" for of_class, message in progress.failures.items()) or None
        async with self._connect() as session, session.transaction():
            args = {"id": run, "outcome": "failed" if error else "done", "error": error}
            ended = await session.record(PruneRun, "finish_prune_run", args)
            if error:
                operation.update(outcome=Outcome.FAILED, details={"run": run, "message": error})
                await operation.record(session)
        assert ended is not None
        return ended

    async def _rehearse_prune(self, actor: str, reason: str) -> PruneRun:
        """The first batch of every class, for real, and rolled back; each in a transaction of its own."""
        archived: dict[str, int] = {}
        pruned: dict[str, int] = {}
        failures: dict[str, str] = {}
        row: dict[str, Any] | None = None
        async with self._connect() as session:
            for of_class in Progress.start().left:
                async with session.transaction(force_rollback=True):
                    run = await self._start_prune(session, actor, reason)
                    try:
                        batch = await prune_batch(session, of_class, run, 0)
                    except psycopg.Error as error:
                        failures[of_class] = first_line(error)
                        continue
                    if batch["pruned"]:
                        archived[of_class.value] = int(batch["archived"] or 0)
                        pruned[of_class.value] = int(batch["pruned"])
            async with session.transaction(force_rollback=True):
                error = "; ".join(f"{of_class}: {message}" for of_class, message in failures.items()) or None
                args = {"id": await self._start_prune(session, actor, reason), "outcome": "failed" if error else "done"}
                row = await session.one("finish_prune_run", {**args, "error": error})
        assert row is not None
        return record(PruneRun, row, id=None, dry_run=True, archived=archived, pruned=pruned)

    async def _start_prune(self, session: Session, actor: str, reason: str) -> int:
        row = await session.one("start_prune_run", {"actor": actor, "reason": reason})
        assert row is not None
        return row["id"]
