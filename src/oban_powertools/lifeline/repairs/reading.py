"""Read stored previews again: show them, compare them with the rows as they are now, find the record of an execution.

Changes nothing and locks nothing. The rule that must never break: the token of a preview is handed out to the actor who
previewed it, and to nobody else (security/S3).
"""

from contextlib import suppress

from ...arguments import as_id, as_text
from ...database import json_border
from ...errors import CommandRefusedError, NotAuthorizedError, NotFoundError, PreviewDriftedError, PreviewNotFoundError
from ...operators.audit import AuditRecord
from ...operators.authorization import Action, ActorLike, as_actor
from ...operators.services import Facade, Services
from . import previews
from .drift import Promise, find_moved_rows
from .records import PreviewCheck, RepairPreview
from .rehearsal import read_rows
from .targets import as_repair, find


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
                return PreviewDriftedError(key, [str(error)])
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
