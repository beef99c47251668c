"""Preview a repair and execute what was previewed, side by side; ``reading`` reads previews again.

Both read the target, ask the host's policy, and call ``carry_out`` in a transaction of their own: a preview stores the
plan of what was rolled back, an execution keeps what that plan has promised and records it. The rules that must never
break: a refusal changes nothing and is recorded in the audit; token, change and audit record are one transaction
(invariant/I3, I4).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from ...arguments import as_id, as_text
from ...database import Row, Session, json_border
from ...database.contention import begin_again
from ...errors import CommandRefusedError, NotFoundError, OwnPreviewError, PreviewDriftedError, PreviewExpiredError
from ...operators.audit import AuditRecord, Operation, Operations
from ...operators.authorization import Action, ActorLike, Target, TargetType
from ...operators.services import Facade, Services
from ..incidents import Projector
from . import previews
from .drift import Promise
from .plan import Change, Plan
from .records import RepairDone, RepairPreview
from .rehearsal import carry_out
from .targets import Repair, as_repair, check_arguments, find

_MOST_AUDITED: Final = 100


class Repairs(Facade):
    """Preview and execute repairs."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._operations = Operations(services)
        self._projector = Projector(services.settings)

    async def preview_repair(
        self,
        actor: ActorLike,
        *,
        action: str,
        target_type: str,
        target_id: str | int,
        incident_fingerprint: str | None = None,
        payload: Any = None,
        hold_for: timedelta | float | None = None,
        to: str | None = None,
        source: str = "api",
    ) -> RepairPreview:
        """Preview a repair, by carrying it out and rolling it back; the token executes exactly that.

        Args:
            action: One of the repairs in docs/reference/repairs.md.
            target_id: A number; ``41/bill`` for a step; an executor's id.
            incident_fingerprint: The incident that it is for.
            payload: The result, of ``step_complete``.
            hold_for: How long, of ``step_hold`` and ``workflow_hold``, also as a number; whole seconds.
            to: The waiting step that takes it, of ``signal_redirect``: ``41/bill``.

        Returns:
            The preview; while one of the same plan and actor is unused and not expired, that one again.

        Raises:
            UnsupportedActionError, UnsupportedTargetError, TargetNotFoundError: There is no such repair or target.
            NotAuthorizedError, UnattributedActorError: Not allowed; no actor.
            CommandRefusedError: It does not fit the target as it is: ``IllegalRepairError``, ``HeartbeatLateError``,
                ``RepairRequiresMissingExecutorError``, ``IncidentMismatchError``, or what the command itself raises.
            UnstorableValueError: The payload is not JSON-safe or above the limit.

        Locks: the target's jobs, its family; for as long as the repair takes.
        """
        unknown = Target(type=TargetType.RECORDS, id=f"{target_type} {target_id}")
        incident_id = await self._find_incident_id(incident_fingerprint)
        async with self._operations.begin(
            actor, Action.PREVIEW_REPAIR, unknown, source=source, details={"repair": str(action)[:100]}
        ) as operation:
            repair, target = as_repair(action, target_type, str(target_id))
            operation.update(target=target, incident_id=incident_id)
            arguments = check_arguments(repair, payload, hold_for, to)
            json_border.check_payload("the payload", payload, self._settings.payload_limit)
            acting = operation.actor
            full_target = await self._authorize_repair(operation, target, arguments)
            return await self._preview(
                Repair(
                    target=full_target,
                    arguments=arguments,
                    actor_id=acting.id,
                    reason="a preview",
                    incident_fingerprint=incident_fingerprint,
                )
            )

    async def execute_repair(
        self, actor: ActorLike, preview_token: str, reason: str, *, source: str = "api"
    ) -> RepairDone:
        """Execute a preview once, in one transaction with its audit record; or refuse.

        Args:
            reason: At least 8 characters, for the readers of the audit.

        Raises:
            PreviewDriftedError: It would do something else by now; says what has changed.
            PreviewConsumedError, PreviewExpiredError, PreviewOfAnotherActorError, PreviewNotFoundError: As named.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError, ReasonTooShortError: As named.

        Locks: the preview, the target's jobs, its family.
        """
        unknown = Target(type=TargetType.RECORDS, id="an unknown preview")
        async with self._operations.begin(
            actor, Action.EXECUTE_REPAIR, unknown, reason=reason, source=source
        ) as operation:
            acting = operation.actor
            async with self._connect() as session:
                stored = await previews.find_stored(session, token=preview_token)
            try:
                await self._check_stored(operation, stored)
                repair = Repair(
                    target=operation.entry.target,
                    arguments=stored["arguments"],
                    actor_id=acting.id,
                    reason=operation.entry.reason or "",
                    incident_fingerprint=stored["incident_fingerprint"],
                )
                return await self._execute(operation, repair, stored)
            except (PreviewDriftedError, PreviewExpiredError) as error:
                status = "drifted" if isinstance(error, PreviewDriftedError) else "expired"
                async with self._connect() as session:
                    await session.run("end_preview", {"id": stored["id"], "status": status})
                error.refused = error.refused or await self._find_refusal(stored)
                raise

    async def approve_repair(
        self, actor: ActorLike, preview_id: int | str, reason: str, *, source: str = "api"
    ) -> AuditRecord:
        """Approve a preview as the second person, where the host's policy is ``SecondPerson``; changes nothing else.

        Returns:
            The record of the approval.

        Raises:
            OwnPreviewError: They previewed it themselves.
            PreviewConsumedError, PreviewExpiredError, PreviewDriftedError, PreviewNotFoundError: As named.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError, ReasonTooShortError: As named.
        """
        key, unknown = as_id("preview_id", preview_id), Target(type=TargetType.RECORDS, id="an unknown preview")
        async with self._operations.begin(
            actor, Action.REPAIR_APPROVE, unknown, reason=reason, source=source
        ) as operation:
            acting = operation.actor
            async with self._connect() as session:
                stored = await previews.find_stored(session, preview_id=key)
            repair, target = as_repair(stored["action"], stored["target_type"], stored["target_id"])
            operation.update(
                target=target,
                plan_hash=stored["plan_hash"],
                incident_id=await self._find_incident_id(stored["incident_fingerprint"]),
                # Only the record of an execution names its preview.
                details={"preview": str(key), "repair": repair},
            )
            if (refusal := previews.refuse_status(stored)) is not None:
                raise refusal
            if acting.id == stored["actor_id"]:
                raise OwnPreviewError(key)
            await self._authorize_repair(operation, target, stored["arguments"])
            async with operation.transaction():
                pass
            async with self._connect() as session:
                approval = await previews.find_approval(session, key)
        assert approval is not None, "it was recorded"
        return approval

    @begin_again
    async def _preview(self, repair: Repair) -> RepairPreview:
        async with self._connect() as session, session.transaction():
            warnings = await self._warn_of_incident(session, repair)
            located, plan = await carry_out(session, self._settings, repair)
            stored, token = await previews.insert_preview(session, repair, located, plan, warnings)
        return previews.build_preview(self._display, stored, token)

    @begin_again
    async def _execute(self, operation: Operation, repair: Repair, stored: Row) -> RepairDone:
        async with operation.transaction() as session:
            # The token first, so that another execution of it waits here and finds it used.
            row = await session.one("consume_preview", {"id": stored["id"], "actor_id": repair.actor_id})
            if row is None:
                raise await previews.find_refusal(session, stored, operation.actor)
            promise = Promise.of(stored, row["written"])
            _, plan = await carry_out(session, self._settings, repair, promise)
            operation.update(**_audited(plan))
            if repair.incident_fingerprint is not None:
                # The act stands in the timeline before what follows from it.
                await operation.record(session)
                await self._projector.recompute(session, repair.incident_fingerprint)
        return RepairDone(
            preview_id=stored["id"],
            audit_id=operation.record_id,
            target=str(repair.target),
            total_changes=plan.total,
            effect=plan.effect,
        )

    @begin_again
    async def _find_refusal(self, stored: Row) -> str | None:
        """Why a preview of the same would be refused now; None when it would be accepted, and change something."""
        action, target = as_repair(stored["action"], stored["target_type"], stored["target_id"])
        repair = Repair(
            target=replace(target, repair=action),
            arguments=stored["arguments"],
            actor_id=stored["actor_id"],
            reason="a look",
            incident_fingerprint=stored["incident_fingerprint"],
        )
        try:
            async with self._connect() as session, session.transaction():
                _, plan = await carry_out(session, self._settings, repair)
        except (CommandRefusedError, NotFoundError) as refusal:
            return str(refusal)
        return None if plan.total or repair.action.row.tells else "it would change nothing"

    async def _check_stored(self, operation: Operation, stored: Row) -> None:
        refusal = previews.refuse_stored(stored, operation.actor)
        # Before it can be refused: the record of a refusal names the workflow, too.
        action, target = as_repair(stored["action"], stored["target_type"], stored["target_id"])
        operation.update(
            action=action,
            target=target,
            preview_id=stored["id"],
            plan_hash=stored["plan_hash"],
            incident_id=await self._find_incident_id(stored["incident_fingerprint"]),
        )
        if refusal is not None:
            raise refusal
        try:
            approved = await self._is_approved(stored["id"])
            await self._authorize_repair(
                operation, target, stored["arguments"], Action.EXECUTE_REPAIR, approved=approved
            )
        except NotFoundError as error:
            raise PreviewDriftedError(stored["id"], [str(error)], str(error)) from error

    async def _authorize_repair(
        self,
        operation: Operation,
        target: Target,
        arguments: Mapping[str, Any],
        *also: Action,
        approved: bool = False,
    ) -> Target:
        # The host decides with all facts, and before the caller learns what exists.
        missing: NotFoundError | None = None
        async with self._connect() as session:
            try:
                target = (await find(session, target, arguments.get("to"))).target
            except NotFoundError as error:
                missing = error
        operation.update(target=target)
        await operation.authorize(*also, approved=approved)
        if missing is not None:
            raise missing
        return target

    async def _is_approved(self, preview_id: int) -> bool:
        async with self._connect() as session:
            return await previews.find_approval(session, preview_id) is not None

    async def _find_incident_id(self, fingerprint: str | None) -> int | None:
        if fingerprint is None:
            return None
        as_text("incident_fingerprint", fingerprint)
        async with self._connect() as session:
            return await self._projector.find_id(session, fingerprint)

    async def _warn_of_incident(self, session: Session, repair: Repair) -> list[str]:
        fingerprint = repair.incident_fingerprint
        warning = None if fingerprint is None else await self._projector.warn(session, fingerprint, repair.action)
        return [] if warning is None else [warning]


def _audited(plan: Plan) -> dict[str, Any]:
    """What the audit records of an execution: states, plan and details."""
    rows = plan.changes[:_MOST_AUDITED]
    arguments = {name: value for name, value in plan.subject["arguments"].items() if name != "payload"}
    details = {
        "changes": plan.total,
        "steps_released": plan.effect.steps_released,
        "jobs_created": plan.effect.jobs_created,
        "incident": plan.subject["incident"],
        "arguments": arguments,
    }
    return {
        "before": {f"{c.source} {c.id}": _changed(c, 0) for c in rows if c.before is not None},
        "after": {f"{c.source} {c.id}": _changed(c, 1) for c in rows},
        "plan_hash": plan.hash,
        "details": details,
    }


def _changed(change: Change, side: int) -> dict[str, Any]:
    return {name: values[side] for name, values in change.fields.items()}
