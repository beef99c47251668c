"""Read stored previews again: show them, compare them with the rows as they are now, find the record of an execution.

Changes nothing and locks nothing. The rule that must never break: the token of a preview is handed out to the actor who
previewed it, and to nobody else (security/S3).
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ...acts import REPAIRS
from ...arguments import as_count, as_id, as_key, as_text, as_word, unless_none
from ...database import Row, Session, json_border, record
from ...errors import (
    ApprovalMissingError,
    CommandRefusedError,
    NotAuthorizedError,
    NotFoundError,
    PreviewDriftedError,
    PreviewNotFoundError,
    ReservedActorError,
    UnattributedActorError,
)
from ...operators.audit import AuditRecord
from ...operators.authorization import Action, ActorLike, as_actor
from ...operators.services import Facade, Services
from . import previews
from .drift import Promise, find_moved_rows
from .plan import VERSION, Change
from .records import ListedPreview, PreviewCheck, PreviewStatus, RepairPreview
from .rehearsal import read_rows
from .targets import as_repair, find

_MOST: Final = 1000
"""Previews of one page."""

_COMPARED: Final = 100
"""Rows of each preview of a list that are compared with what they are now."""


class Previews(Facade):
    """Read previews again."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._guard = services.guard

    async def get_preview(self, preview_id: int | str, *, token_for: ActorLike | None = None) -> RepairPreview:
        """A stored preview, without its token.

        Args:
            token_for: With the token, if this actor previewed it; when it is over, that is refused.

        Raises:
            PreviewNotFoundError: There is none.
        """
        key, asking = as_id("preview_id", preview_id), None if token_for is None else as_actor(token_for)
        async with self._connect() as session:
            stored = await previews.find_stored(session, preview_id=key)
            own = asking is not None and asking.id == stored["actor_id"]
            token = await previews.find_token(session, key) if own else None
        return previews.build_preview(self._display, stored, token)

    async def list_previews(
        self,
        *,
        status: PreviewStatus | str | None = None,
        actor: str | None = None,
        action: str | None = None,
        target_type: str | None = None,
        target_id: str | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> list[ListedPreview]:
        """Previews, the newest first, those that can still be executed compared with the rows as they are now.

        Args:
            status: What has become of them.
            actor: Only of this actor's id.
            action: Only of this repair.
            target_type: Only about this type of target, with ``target_id`` about this one.
            before: Only ids below this one: the last id of the previous page.
            limit: At most 1,000.

        Raises:
            InvalidArgumentError: A filter is not what it should be.
        """
        texts = {"actor": actor, "action": action, "target_type": target_type, "target_id": target_id}
        args = {
            **{name: unless_none(as_key, name, text) for name, text in texts.items()},
            "status": None if status is None else as_word("status", status, PreviewStatus).value,
            "actions": list(REPAIRS),
            "before": unless_none(as_id, "before", before),
            "compared": _COMPARED,
            "page": min(as_count("limit", limit), _MOST),
        }
        async with self._connect() as session:
            rows = await session.all("list_previews", args)
            changed = await _find_changed(session, rows)
        return [
            record(
                ListedPreview,
                row,
                severity=Action(row["action"]).row.severity,
                has_changed=changed.get(row["id"]),
                awaits_approval=await self._awaits_approval(row),
            )
            for row in rows
        ]

    async def _awaits_approval(self, row: Row) -> bool:
        if row["status"] != PreviewStatus.READY or row["approved_by"] or not self._guard.wants_second_person:
            return False
        with suppress(PreviewNotFoundError, UnattributedActorError, ReservedActorError):
            refusal = await self.find_execution_refusal(row["id"], row["actor_id"])
            return isinstance(refusal, ApprovalMissingError)
        return False

    async def find_preview_of(self, preview_token: str) -> RepairPreview | None:
        """The preview of a token, without the token; None when there is none."""
        token = as_text("preview_token", preview_token)
        with suppress(PreviewNotFoundError):
            async with self._connect() as session:
                return previews.build_preview(self._display, await previews.find_stored(session, token=token))
        return None

    async def check_preview(self, preview_id: int | str) -> PreviewCheck:
        """Compare the rows that a preview shows with what they are now; locks nothing.

        Raises:
            PreviewNotFoundError: There is none.
        """
        key = as_id("preview_id", preview_id)
        async with self._connect() as session:
            stored = await previews.find_stored(session, preview_id=key)
            changes = [change for change in Promise.of(stored, {}).changes if change.before is not None]
            rows = await read_rows(session, [(change.source, change.id) for change in changes])
        now = {row: json_border.loads(content) for row, content in rows.items()}
        return PreviewCheck(
            preview_id=key,
            status=stored["status"],
            rows=len(changes),
            moved=[previews.show_moved(self._display, moved) for moved in find_moved_rows(changes, now)],
            checked_at=stored["now"],
        )

    async def find_execution_refusal(
        self, preview_id: int | str, asking: ActorLike
    ) -> CommandRefusedError | NotAuthorizedError | None:
        """Why this actor may not execute a preview, as far as that is known before; None when they may.

        Nothing is recorded and nothing is locked; an execution asks again, and compares every row.

        Raises:
            PreviewNotFoundError: There is none.
            UnattributedActorError, ReservedActorError: The actor is none.
        """
        key, actor = as_id("preview_id", preview_id), as_actor(asking)
        async with self._connect() as session:
            stored = await previews.find_stored(session, preview_id=key)
            if (refusal := previews.refuse_stored(stored, actor)) is not None:
                return refusal
            action, target = as_repair(stored["action"], stored["target_type"], stored["target_id"])
            try:
                target = (await find(session, target, stored["arguments"].get("to"))).target
            except NotFoundError as error:
                return PreviewDriftedError(key, [str(error)], str(error))
            approval = await previews.find_approval(session, key)
        try:
            await self._guard.check(actor, target, Action.EXECUTE_REPAIR, action, approved=approval is not None)
        except NotAuthorizedError as error:
            return error
        return None

    async def find_approval(self, preview_id: int | str) -> AuditRecord | None:
        """The audit record of a preview's approval by a second person; None while there is none."""
        key = as_id("preview_id", preview_id)
        async with self._connect() as session:
            return await previews.find_approval(session, key)

    async def find_execution(self, preview_id: int | str) -> AuditRecord | None:
        """The audit record of a preview's execution; None while there is none, or when retention has removed it."""
        key = as_id("preview_id", preview_id)
        async with self._connect() as session:
            return await session.record(AuditRecord, "execution_of", {"id": key})


async def _find_changed(session: Session, rows: Sequence[Row]) -> dict[int, bool]:
    """Preview -> whether one of its rows has changed since, of those that are ready; all are read at once."""
    open_ones = [row for row in rows if row["status"] == PreviewStatus.READY]
    changes = {row["id"]: [Change(**change) for change in row["changes"] if change["before"]] for row in open_ones}
    keys = {(change.source, change.id) for those in changes.values() for change in those}
    now = {key: json_border.loads(content) for key, content in (await read_rows(session, keys)).items()}
    return {row["id"]: row["version"] != VERSION or bool(find_moved_rows(changes[row["id"]], now)) for row in open_ones}
