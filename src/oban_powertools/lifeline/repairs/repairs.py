"""Preview and execute repairs: each call owns its transactions.

The rule that must never break: what is refused changes nothing, and is written to the audit all the same.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from ...arguments import as_text
from ...database import json_border
from ...errors import NotFoundError, PreviewDriftedError, PreviewExpiredError, PreviewNotFoundError
from ...operators.audit import Operation
from ...operators.authorization import Action, Actor, ActorLike, Target, TargetType
from ...privacy.display import Kind
from .actions import Applier, Repair, check_arguments
from .capture import rehearse
from .context import Context, whole
from .execute import RepairDone, carry_out, check_reason, find_locked, refuse_stored, subject_of, told
from .preview import RepairPreview, find_legal, find_stored, find_warnings, shown, store
from .targets import Row, as_repair, find, refuse_incident


class Repairs:
    """Preview and execute repairs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._applier = Applier(context.settings)

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
        unknown = Target(type=TargetType.RECORDS, id=f"{target_type} {target_id}")
        async with self._context.operations.begin(
            actor, Action.PREVIEW_REPAIR, unknown, source=source, details={"repair": str(action)[:100]}
        ) as operation:
            repair, target = as_repair(action, target_type, str(target_id))
            operation.tell(target=target, incident_id=await self._incident_id(incident_fingerprint))
            arguments = check_arguments(repair, payload, hold_for)
            json_border.check_payload("the payload", payload, self._context.settings.payload_limit)
            who = operation.actor
            known = await self._authorized(operation)
            return await whole(lambda: self._preview(who, repair, known, arguments, incident_fingerprint))

    async def _authorized(self, operation: Operation, *also: Action) -> Target:
        # The host decides on all that is known, and before somebody learns what exists.
        missing: NotFoundError | None = None
        async with self._context.connect() as session:
            try:
                found = await find(session, operation.entry.target)
                operation.tell(target=found.target)
            except NotFoundError as error:
                missing = error
        await operation.authorize(*also)
        if missing is not None:
            raise missing
        return operation.entry.target

    async def _incident_id(self, fingerprint: str | None) -> int | None:
        if fingerprint is None or self._context.incidents is None:
            return None
        as_text("incident_fingerprint", fingerprint)
        async with self._context.connect() as session:
            return await self._context.incidents.find_id(session, fingerprint)

    async def _preview(
        self, actor: Actor, action: Action, target: Target, arguments: dict[str, Any], incident: str | None
    ) -> RepairPreview:
        context = self._context
        repair = Repair(action=action, arguments=arguments, actor_id=actor.id, reason="a preview")
        async with context.connect() as session, session.transaction():
            found = await find_locked(session, target)
            if (refusal := refuse_incident(found, incident)) is not None:
                raise refusal
            subject = subject_of(target, arguments, incident)
            done = await rehearse(session, found, subject, lambda: self._applier.apply(session, repair, found))
            warnings = find_warnings(action, found, done)
            if incident is not None and context.incidents is not None:
                warning = await context.incidents.warn(session, incident)
                warnings += [warning] if warning is not None else []
            legal, illegal = await find_legal(session, found)
            details = {"warnings": warnings, "legal": list(legal), "illegal": dict(illegal)}
            preview_id, token = await store(session, actor_id=actor.id, plan=done, target=target, details=details)
            stored = await find_stored(session, preview_id=preview_id)
        # What is legal, and the warnings, are of now, also where the plan was there before.
        return shown(context.display, {**stored, "plan": {**stored["plan"], **details}}, token)

    async def get(self, preview_id: int) -> RepairPreview:
        """As ``Lifeline.get_preview``."""
        async with self._context.connect() as session:
            return shown(self._context.display, await find_stored(session, preview_id=preview_id))

    async def find(self, token: str) -> RepairPreview | None:
        """As ``Lifeline.find_preview_of``."""
        with suppress(PreviewNotFoundError):
            async with self._context.connect() as session:
                return shown(self._context.display, await find_stored(session, token=token))
        return None

    async def execute(self, actor: ActorLike, preview_token: str, reason: str, *, source: str) -> RepairDone:
        """As ``Lifeline.execute_repair``."""
        context = self._context
        unknown = Target(type=TargetType.RECORDS, id="an unknown preview")
        async with context.operations.begin(
            actor, Action.EXECUTE_REPAIR, unknown, reason=reason, source=source
        ) as operation:
            who = operation.actor
            async with context.connect() as session:
                stored = await find_stored(session, token=preview_token)
            try:
                await self._check(operation, stored, who, reason)
                return await whole(lambda: self._execute(operation, stored, who))
            except (PreviewDriftedError, PreviewExpiredError) as error:
                status = "drifted" if isinstance(error, PreviewDriftedError) else "expired"
                async with context.connect() as session:
                    await session.run("end_preview", {"id": stored["id"], "status": status})
                raise

    async def _check(self, operation: Operation, stored: Row, actor: Actor, reason: str) -> None:
        action, target = as_repair(stored["action"], stored["target_type"], stored["target_id"])
        incident_id = await self._incident_id(stored["incident_fingerprint"])
        operation.tell(
            action=action,
            target=target,
            preview_id=stored["id"],
            plan_hash=stored["plan_hash"],
            incident_id=incident_id,
        )
        said = str(self._context.display.render(Kind.REASON, check_reason(reason)))
        if (refusal := refuse_stored(stored, actor)) is not None:
            raise refusal
        try:
            await self._authorized(operation, Action.EXECUTE_REPAIR)
        except NotFoundError as error:
            raise PreviewDriftedError(stored["id"], [str(error)]) from error
        operation.tell(reason=said)

    async def _execute(self, operation: Operation, stored: Row, actor: Actor) -> RepairDone:
        context, incident, about = self._context, stored["incident_fingerprint"], operation.entry
        async with operation.transaction() as session:
            plan = await carry_out(session, context.settings, stored, about.target, actor, about.reason or "")
            if incident is not None and context.incidents is not None:
                await context.incidents.recompute(session, incident)
            operation.tell(**told(plan, incident))
            audit_id = await operation.record(session)
        return RepairDone(
            preview_id=stored["id"], audit_id=audit_id, target=str(about.target), total_changes=plan.total,
            effect=plan.effect,
        )  # fmt: skip
