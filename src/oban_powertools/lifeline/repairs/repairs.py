"""Preview and execute repairs: each call owns its transactions.

The rule that must never break: what is refused changes nothing, and is written to the audit all the same.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg

from ... import json_border
from ...audit import Entry, Outcome
from ...authorization import Action, Actor, ActorLike, Surface, Target, TargetType, as_actor, find_actor
from ...display import Kind
from ...errors import (
    CommandRefusedError,
    NotFoundError,
    PowertoolsError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewNotFoundError,
)
from .actions import Applier, Repair, check_arguments
from .capture import rehearse
from .context import Context, whole
from .execute import (
    RepairDone,
    carry_out,
    check_reason,
    find_locked,
    record_done,
    refuse_stored,
    refused_entry,
    subject_of,
)
from .preview import RepairPreview, find_legal, find_stored, find_warnings, shown, store
from .targets import Row, as_repair, find, refuse_incident


class Repairs:
    """Preview and execute repairs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._applier = Applier(context.queries, context.settings)

    async def preview(
        self,
        actor: ActorLike,
        *,
        action: str,
        target_type: str,
        target_id: str,
        incident_fingerprint: str | None,
        payload: Any,
        hold_for: timedelta | None,
        source: str,
    ) -> RepairPreview:
        """As ``Lifeline.preview_repair``."""
        target = Target(type=TargetType.RECORDS, id=f"{target_type} {target_id}")
        try:
            repair, target = as_repair(action, target_type, str(target_id))
            arguments = check_arguments(repair, payload, hold_for)
            json_border.check_payload("the payload", payload, self._context.settings.payload_limit)
            who = as_actor(actor)
            known = target = await self._authorized(who, target, Action.PREVIEW_REPAIR)
            return await whole(lambda: self._preview(who, repair, known, arguments, incident_fingerprint))
        except (CommandRefusedError, NotFoundError) as error:
            entry = refused_entry(find_actor(actor), target, error, Surface(source), action=Action.PREVIEW_REPAIR)
            await self._context.write_audit(replace(entry, details={**entry.details, "repair": str(action)[:100]}))
            raise

    async def _authorized(self, actor: Actor, target: Target, *actions: Action) -> Target:
        # The host decides on all that is known, and before somebody learns what exists.
        missing: NotFoundError | None = None
        async with self._context.connect() as conn:
            try:
                target = (await find(conn, self._context.queries, self._context.settings, target)).target
            except NotFoundError as error:
                missing = error
        await self._context.guard.check(actor, target, *actions)
        if missing is not None:
            raise missing
        return target

    async def _preview(
        self, actor: Actor, action: Action, target: Target, arguments: dict[str, Any], incident: str | None
    ) -> RepairPreview:
        context, queries = self._context, self._context.queries
        repair = Repair(action=action, arguments=arguments, actor_id=actor.id, reason="a preview")
        async with context.connect() as conn, conn.transaction():
            found = await find_locked(conn, queries, context.settings, target)
            if (refusal := refuse_incident(found, incident)) is not None:
                raise refusal
            subject = subject_of(target, arguments, incident)
            done = await rehearse(conn, queries, found, subject, lambda: self._applier.apply(conn, repair, found))
            warnings = find_warnings(action, found, done.plan)
            if incident is not None and context.incidents is not None:
                warning = await context.incidents.warn(conn, incident)
                warnings += [warning] if warning is not None else []
            legal, illegal = await find_legal(conn, queries, context.settings, found)
            details = {"warnings": warnings, "legal": list(legal), "illegal": dict(illegal)}
            preview_id, token = await store(
                conn, queries, actor_id=actor.id, plan=done.plan, target=target, details=details
            )
            stored = await find_stored(conn, queries, preview_id=preview_id)
        # What is legal, and the warnings, are of now, also where the plan was there before.
        return shown(context.display, {**stored, "plan": {**stored["plan"], **details}}, token)

    async def get(self, preview_id: int) -> RepairPreview:
        """As ``Lifeline.get_preview``."""
        async with self._context.connect() as conn:
            return shown(self._context.display, await find_stored(conn, self._context.queries, preview_id=preview_id))

    async def find(self, token: str) -> RepairPreview | None:
        """As ``Lifeline.find_preview_of``."""
        with suppress(PreviewNotFoundError):
            async with self._context.connect() as conn:
                return shown(self._context.display, await find_stored(conn, self._context.queries, token=token))
        return None

    async def execute(self, actor: ActorLike, preview_token: str, reason: str, *, source: str) -> RepairDone:
        """As ``Lifeline.execute_repair``."""
        context, surface = self._context, Surface(source)
        stored: Row | None = None
        about = Entry(
            actor=find_actor(actor), action=Action.EXECUTE_REPAIR, outcome=Outcome.FAILED, surface=surface,
            target=Target(type=TargetType.RECORDS, id="an unknown preview"), reason=(reason or "").strip() or None,
        )  # fmt: skip
        try:
            who = as_actor(actor)
            async with context.connect() as conn:
                stored = await find_stored(conn, context.queries, token=preview_token)
            action, target = as_repair(stored["action"], stored["target_type"], stored["target_id"])
            about = replace(about, action=action, target=target, preview_id=stored["id"], plan_hash=stored["plan_hash"])
            said = str(context.display.render(Kind.REASON, check_reason(reason)))
            if (refusal := refuse_stored(stored, who)) is not None:
                raise refusal
            about = replace(about, target=await self._known(who, target, action, stored), reason=said)
            row, entry = stored, about
            return await whole(lambda: self._execute(row, who, entry))
        except (CommandRefusedError, NotFoundError) as error:
            await self._end(stored, error)
            told = refused_entry(about.actor, about.target, error, surface, action=about.action)
            await context.write_audit(replace(about, outcome=told.outcome, details=told.details))
            raise
        except Exception as error:
            # The caller gets the first error; a database that is away takes no record of it either.
            with suppress(psycopg.Error):
                await context.write_audit(replace(about, details={"error_type": type(error).__name__}))
            raise

    async def _known(self, actor: Actor, target: Target, action: Action, stored: Row) -> Target:
        try:
            return await self._authorized(actor, target, Action.EXECUTE_REPAIR, action)
        except NotFoundError as error:
            raise PreviewDriftedError(stored["id"], [str(error)]) from error

    async def _execute(self, stored: Row, actor: Actor, entry: Entry) -> RepairDone:
        context, incident = self._context, stored["incident_fingerprint"]
        async with context.connect() as conn, conn.transaction():
            plan = await carry_out(
                conn, context.queries, context.settings, stored, entry.target, actor, entry.reason or ""
            )
            found = None
            if incident is not None and context.incidents is not None:
                found = await context.incidents.recompute(conn, incident)
            done = replace(entry, outcome=Outcome.EXECUTED, incident_id=found)
            audit_id = await record_done(conn, context.queries, context.display, done, plan, incident)
        return RepairDone(
            preview_id=stored["id"], audit_id=audit_id, target=str(entry.target), total_changes=len(plan.changes),
            effect=plan.effect,
        )  # fmt: skip

    async def _end(self, stored: Row | None, error: PowertoolsError) -> None:
        if stored is not None and isinstance(error, PreviewDriftedError | PreviewExpiredError):
            status = "drifted" if isinstance(error, PreviewDriftedError) else "expired"
            async with self._context.connect() as conn:
                await conn.execute(self._context.queries["end_preview"], {"id": stored["id"], "status": status})
