"""The calls of ``powertools.lifeline``. Thin: each call's work is a module of its own."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from ..arguments import as_flag, as_id, as_list, as_text
from ..operators.audit import Operations
from ..operators.authorization import ActorLike
from ..operators.services import Services
from ..runtime.executors import ExecutorHealth, list_health, read_beats, refresh
from ..upkeep.retention import PruneRun, Retention, RetentionStatus
from .incidents import Incidents, Projector
from .repairs import Bulk, BulkPreview, Bulks, Context, RepairDone, RepairPreview, Repairs


class Lifeline(Incidents):
    """Which executors live, what became of those that do not, and the repair of what is broken."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._connect = services.connect
        self._settings = services.settings
        self._retention = Retention(services)
        context = Context(
            connect=services.connect, settings=services.settings, display=services.display,
            operations=Operations(services), incidents=Projector(services.settings),
        )  # fmt: skip
        self._repairs = Repairs(context)
        self._bulks = Bulks(context)

    async def refresh_heartbeats(self, heartbeats: Iterable[Mapping[str, Any]]) -> int:
        """Keep executors of the host's own alive; those of Oban's producers beat by themselves.

        Args:
            heartbeats: Each ``{"executor_id": ..., "node": ..., "producer_scope": ...}``; perhaps ``"producer"``, what
                its jobs carry in ``attempted_by`` behind the node (default: what follows the last colon of the id), and
                ``"gone_after"``, a timedelta (default: ``executor_missing_after``) within which it beats at least
                five times: when it does not, its jobs are rescued.

        Returns:
            How many; all of them are stored or none.

        Raises:
            InvalidArgumentError: One of them is no heartbeat, or an executor is there twice; none is stored.
        """
        beats = read_beats(as_list("heartbeats", heartbeats, "heartbeats"), self._settings)
        async with self._connect() as session:
            return await refresh(session, beats, self._settings)

    async def list_executor_health(self) -> list[ExecutorHealth]:
        """Every executor with its health, by the database's clock; changes nothing.

        Returns:
            Those that have not stopped first, then by scope, node and id.
        """
        async with self._connect() as session:
            return await list_health(session)

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

        Locks: the row of this part of the sweep; the rows that are removed, passing over those that are locked.
        """
        return await self._retention.run(actor, reason=reason, dry_run=as_flag("dry_run", dry_run), source=source)

    async def preview_repair(
        self,
        actor: ActorLike,
        *,
        action: str,
        target_type: str,
        target_id: str | int,
        incident_fingerprint: str | None = None,
        payload: Any = None,
        hold_for: timedelta | None = None,
        source: str = "api",
    ) -> RepairPreview:
        """Show what a repair would do, by doing it and taking it back; gives a token that executes exactly that.

        Args:
            action: One of the repairs in docs/reference/repairs.md.
            target_id: A number; ``41/bill`` for a step; an executor's id.
            incident_fingerprint: The incident that it is for.
            payload: The result, of ``step_complete``.
            hold_for: How long, of ``step_hold`` and ``workflow_hold``; whole seconds.

        Returns:
            The ready preview of the same plan and actor again, while it is unused and not expired.

        Raises:
            UnsupportedActionError, UnsupportedTargetError, TargetNotFoundError: There is no such repair or target.
            NotAuthorizedError, UnattributedActorError: Nobody who may look.
            CommandRefusedError: It does not fit the target as it is: ``IllegalRepairError``, ``HeartbeatLateError``,
                ``RepairRequiresMissingExecutorError``, ``IncidentMismatchError``, or what the command itself raises.
            UnstorableValueError: The payload is not JSON-safe or above the limit.

        Locks: the target's jobs, its family; for as long as the repair takes.
        """
        return await self._repairs.preview(
            actor, action=action, target_type=target_type, target_id=str(target_id),
            incident_fingerprint=incident_fingerprint, payload=payload, hold_for=hold_for, source=source,
        )  # fmt: skip

    async def get_preview(self, preview_id: int | str) -> RepairPreview:
        """A preview as it was made, without its token.

        Raises:
            PreviewNotFoundError: There is none.
        """
        return await self._repairs.get(as_id("preview_id", preview_id))

    async def find_preview_of(self, preview_token: str) -> RepairPreview | None:
        """The preview of a token, without the token; None when there is none."""
        return await self._repairs.find(as_text("preview_token", preview_token))

    async def execute_repair(
        self, actor: ActorLike, preview_token: str, reason: str, *, source: str = "api"
    ) -> RepairDone:
        """Do what a preview showed, once, in one transaction with its audit record; or refuse.

        Args:
            reason: 8 characters at least, for whoever reads the audit.

        Raises:
            PreviewDriftedError: It would do something else by now; says what has changed.
            PreviewConsumedError, PreviewExpiredError, PreviewOfAnotherActorError, PreviewNotFoundError: As named.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError, ReasonTooShortError: As named.

        Locks: the preview, the target's jobs, its family.
        """
        return await self._repairs.execute(actor, preview_token, reason, source=source)

    async def preview_bulk(
        self,
        actor: ActorLike,
        action: str,
        filter: Mapping[str, Any],  # noqa: A002 - the word of the contract
        *,
        hold_for: timedelta | None = None,
        source: str = "api",
    ) -> BulkPreview:
        """List what a bulk repair would be about: a manifest of at most 1,000 targets, with a token.

        Args:
            filter: What to match, all of it: ``ids``, ``state``, ``queue``, ``worker`` and so on, by type of target.

        Raises:
            BulkFilterError, BulkTooLargeError: The filter is empty or unknown, or matches nothing or too much.
            UnsupportedActionError, UnsupportedTargetError: There is no such repair, or an id is none.
            NotAuthorizedError, UnattributedActorError: Nobody who may look.
        """
        return await self._bulks.preview(actor, action, filter, hold_for=hold_for, source=source)

    async def execute_bulk(
        self,
        actor: ActorLike,
        preview_token: str,
        reason: str,
        *,
        confirm_total: int | None = None,
        source: str = "api",
    ) -> Bulk:
        """Repair the targets of a manifest one by one; called again, it goes on where it stopped.

        Args:
            confirm_total: How many targets there are; needed above 100.

        Raises:
            BulkCountError, PreviewConsumedError, PreviewExpiredError, PreviewOfAnotherActorError: As named.
            PreviewNotFoundError, NotAuthorizedError, UnattributedActorError: As named.
            ReasonRequiredError, ReasonTooShortError: As named.
        """
        return await self._bulks.execute(actor, preview_token, reason, confirm_total=confirm_total, source=source)

    async def bulk_status(self, bulk_id: int | str) -> Bulk:
        """A bulk repair with the outcome of each target.

        Raises:
            PreviewNotFoundError: There is none.
        """
        return await self._bulks.status(as_id("bulk_id", bulk_id))
