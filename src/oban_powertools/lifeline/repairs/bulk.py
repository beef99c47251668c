"""Bulk repairs: preview a manifest of targets, then repair them one by one.

Each item is a transaction that contains its outcome, so a crash loses nothing and repeats nothing. The rule that must
never break: only targets in the manifest are touched.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import orjson

from ...acts import IN_BULK
from ...arguments import as_id, as_text
from ...database import Row, Session, json_border, record
from ...database.contention import begin_again
from ...errors import (
    BulkCountError,
    BulkMatchesNothingError,
    BulkNotFoundError,
    BulkTooLargeError,
    CommandRefusedError,
    NotFoundError,
    PowertoolsError,
    PreviewConsumedError,
    PreviewExpiredError,
    PreviewOfAnotherActorError,
    UnsupportedActionError,
)
from ...operators.audit import Entry, Operation, Operations, check_reason
from ...operators.authorization import Action, Actor, ActorLike, Target, TargetType, as_actor
from ...operators.services import Facade, Services
from ...privacy.display import Kind
from ..incidents import Projector
from .actions import Applier
from .filters import FILTERS, filter_args, read_filter
from .judging import judge
from .previews import warn_of_many
from .records import Bulk, BulkItem, BulkPreview
from .targets import Repair, as_repair, check_arguments, find, find_locked
from .tokens import READY_FOR, Token

MOST: Final = 1000
"""Targets of one bulk repair."""

CONFIRMED_ABOVE: Final = 100
"""A bulk with more targets needs their number as a confirmation."""

_AT_ONCE: Final = 100


class Bulks(Facade):
    """Preview and execute bulk repairs."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._operations = Operations(services)
        self._projector = Projector(services.settings)

    async def preview_bulk(
        self,
        actor: ActorLike,
        action: str,
        filter: Mapping[str, Any],  # noqa: A002 - the word of the contract
        *,
        incident_fingerprint: str | None = None,
        hold_for: timedelta | float | None = None,
        source: str = "api",
    ) -> BulkPreview:
        """List the targets of a bulk repair: a manifest of at most 1,000, with a token.

        Args:
            filter: What to match, all of it: ``ids``, ``state``, ``queue``, ``worker`` and so on, by type of target.
            incident_fingerprint: The incident that it is for: its record and each target's name it.

        Raises:
            BulkFilterError, BulkTooLargeError: The filter is empty or unknown, or matches nothing or too much.
            UnsupportedActionError, UnsupportedTargetError: There is no such repair, or an id is none.
            NotAuthorizedError, UnattributedActorError: Not allowed; no actor.
        """
        target = Target(type=TargetType.BULK, id=str(action)[:100].strip() or "no action")
        async with self._operations.begin(actor, Action.PREVIEW_BULK, target, source=source) as operation:
            if action not in IN_BULK:
                raise UnsupportedActionError(action, IN_BULK)
            repair, _ = Action(action), operation.actor
            operation.update(target=replace(target, repair=repair))
            arguments = check_arguments(repair, hold_for=hold_for)
            conditions = read_filter(repair, filter)
            async with self._connect() as session:
                operation.update(incident_id=await self._find_bulk_incident(session, incident_fingerprint))
            acting = await operation.authorize()
            asked = _Asked(
                action=repair, conditions=conditions, arguments=arguments, incident_fingerprint=incident_fingerprint
            )
            async with self._connect() as session, session.transaction():
                rows = await _find_targets(session, asked)
                judged = await judge(session, repair, [row["target_id"] for row in rows], incident_fingerprint)
                warnings = [*warn_of_many(repair, judged), *await self._warn_of_bulk(session, asked)]
                return await _insert_manifest(session, acting, asked, rows, warnings)

    async def execute_bulk(
        self,
        actor: ActorLike,
        preview_token: str,
        reason: str,
        *,
        confirm_total: int | None = None,
        source: str = "api",
    ) -> Bulk:
        """Repair the targets of a manifest one by one; called again, it continues where it stopped.

        Args:
            confirm_total: How many targets there are; needed above 100.

        Raises:
            BulkCountError, PreviewConsumedError, PreviewExpiredError, PreviewOfAnotherActorError: As named.
            BulkNotFoundError, NotAuthorizedError, UnattributedActorError: As named.
            ReasonRequiredError, ReasonTooShortError: As named.
        """
        unknown = Target(type=TargetType.BULK, id="an unknown bulk")
        async with self._operations.begin(
            actor, Action.EXECUTE_BULK, unknown, reason=reason, source=source
        ) as operation:
            acting = operation.actor
            async with self._connect() as session:
                bulk = await _find_bulk(session, token=preview_token)
                incident_id = await self._find_bulk_incident(session, bulk["incident_fingerprint"])
            about_target = replace(unknown, id=str(bulk["id"]), repair=Action(bulk["action"]))
            operation.update(target=about_target, incident_id=incident_id)
            reason_text = str(self._display.render(Kind.REASON, check_reason(reason)))
            _refuse(bulk, acting, confirm_total)
            await operation.authorize()
            operation.update(reason=reason_text)
            about = operation.entry
            async with self._connect() as session, session.transaction():
                await _start(session, operation, bulk)
        await self._repair_items(bulk, about)
        return await self.bulk_status(bulk["id"])

    async def bulk_status(self, bulk_id: int | str, *, token_for: ActorLike | None = None) -> Bulk:
        """A bulk repair with the outcome of each target.

        Args:
            token_for: With the token, if this actor previewed it; when it is over, that is refused.

        Raises:
            BulkNotFoundError: There is none.
        """
        key, asking = as_id("bulk_id", bulk_id), None if token_for is None else as_actor(token_for)
        async with self._connect() as session:
            bulk = await _find_bulk(session, bulk_id=key)
            token = await _find_token(session, bulk, asking)
            items = await session.records(BulkItem, "bulk_items", {"id": key, "pending": False, "page": MOST})
            matching = await _find_matching(session, Action(bulk["action"]), bulk["filter"])
            repairable = await _find_repairable(session, bulk, items)
        listed = {item.target_id for item in items}
        unlisted = sum(row["target_id"] not in listed for row in matching)
        return record(Bulk, bulk, preview_token=token, items=items, unlisted=unlisted, repairable=repairable)

    async def _find_bulk_incident(self, session: Session, fingerprint: str | None) -> int | None:
        if fingerprint is None:
            return None
        return await self._projector.find_id(session, as_text("incident_fingerprint", fingerprint))

    async def _warn_of_bulk(self, session: Session, asked: "_Asked") -> list[str]:
        fingerprint = asked.incident_fingerprint
        warning = fingerprint and await self._projector.warn(session, fingerprint, asked.action)
        return [warning] if warning else []

    async def _repair_items(self, bulk: Row, about: Entry) -> None:
        while True:
            args = {"id": bulk["id"], "pending": True, "page": _AT_ONCE}
            async with self._connect() as session:
                items = await session.all("bulk_items", args)
            if not items:
                break
            for item in items:
                await self._begin_item(bulk, item, about)
        async with self._connect() as session, session.transaction():
            await session.run("end_bulk", {"id": bulk["id"]})
            if bulk["incident_fingerprint"] is not None:
                await self._projector.recompute(session, bulk["incident_fingerprint"])

    async def _begin_item(self, bulk: Row, item: Row, about: Entry) -> None:
        action = Action(bulk["action"])
        target = Target(type=action.row.targets[0], id=item["target_id"])
        operation = Operation(self._operations, replace(about, action=action, target=target))

        async def note(session: Session, error: Exception) -> None:
            outcome = "drifted" if isinstance(error, _ItemDriftedError) else "refused"
            code = error.code if isinstance(error, PowertoolsError) else type(error).__name__
            ended = {"id": bulk["id"], "place": item["place"], "outcome": outcome, "detail": f"{code}: {error}"}
            if await session.one("end_bulk_item", ended) is not None:
                await operation.note(session, error)

        with suppress(CommandRefusedError, NotFoundError):
            async with self._operations.recording_refusals(note, lambda: action, failures=False):
                _, target = as_repair(action, target.type, target.id)
                operation.update(target=target)
                async with self._connect() as session:
                    operation.update(target=(await find(session, target)).target)
                await operation.authorize(Action.EXECUTE_REPAIR)
                await self._repair_item(operation, bulk, item)

    @begin_again
    async def _repair_item(self, operation: Operation, bulk: Row, item: Row) -> None:
        about = operation.entry
        repair = Repair(
            target=about.target,
            arguments=bulk["arguments"],
            actor_id=operation.actor.id,
            reason=about.reason or "",
            incident_fingerprint=bulk["incident_fingerprint"],
        )
        args = {"id": bulk["id"], "place": item["place"], "outcome": "done", "detail": None}
        async with self._connect() as session, session.transaction():
            # First, so that another execution of the same item waits here and finds it done.
            if await session.one("end_bulk_item", args) is None:
                return
            located = await find_locked(session, repair)
            rows = await _find_matching(session, repair.action, {"ids": [item["target_id"]]})
            if rows[0]["state_hash"] != item["state_hash"]:
                raise _ItemDriftedError
            await Applier(self._settings).apply(session, repair, located)
            operation.update(details={"bulk": bulk["id"]})
            await operation.record(session)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a bulk repair is to do, checked."""

    action: Action
    """The repair."""

    conditions: Mapping[str, Any]
    """As ``read_filter`` returns them."""

    arguments: Mapping[str, Any]
    """As ``check_arguments`` returns them."""

    incident_fingerprint: str | None
    """The incident that it is for."""


async def _find_targets(session: Session, asked: _Asked) -> Sequence[Row]:
    rows = await _find_matching(session, asked.action, asked.conditions)
    if len(rows) > MOST:
        raise BulkTooLargeError(MOST)
    if not rows:
        raise BulkMatchesNothingError("matches nothing", "one target at least")
    return rows


async def _insert_manifest(
    session: Session, actor: Actor, asked: _Asked, rows: Sequence[Row], warnings: Sequence[str]
) -> BulkPreview:
    manifest = [[row["target_id"], row["state_hash"]] for row in rows]
    stored: dict[str, Any] = {
        "actor_id": actor.id,
        "action": asked.action,
        "filter": json_border.dumps(asked.conditions),
        "arguments": json_border.dumps(asked.arguments),
        "incident_fingerprint": asked.incident_fingerprint,
        "token_hash": Token.random().hash,
        "ready_for": READY_FOR,
        "manifest_hash": hashlib.sha256(orjson.dumps([asked.action, asked.arguments, manifest])).hexdigest(),
        "target_ids": [row["target_id"] for row in rows],
        "state_hashes": [row["state_hash"] for row in rows],
    }
    row = await session.one("store_bulk", stored)
    assert row is not None
    token = await _make_token(session, row["id"])
    await session.run("store_bulk_token", {"id": row["id"], "token_hash": token.hash})
    return record(BulkPreview, {**stored, **row}, preview_token=token.text, total=len(rows), warnings=warnings)


async def _find_repairable(session: Session, bulk: Row, items: Sequence[BulkItem]) -> list[str]:
    """The targets that it has left, and whose repair is legal now."""
    left = [item.target_id for item in items if item.outcome != "done"] if bulk["status"] == "done" else []
    judged = await judge(session, Action(bulk["action"]), left, bulk["incident_fingerprint"]) if left else []
    return [each.target_id for each in judged if each.refusal is None]


async def _start(session: Session, operation: Operation, bulk: Row) -> None:
    actor = operation.actor
    args = {"id": bulk["id"], "actor_id": actor.id, "reason": operation.entry.reason}
    if await session.one("start_bulk", args) is None:
        # It continues where it stopped, and was recorded when it began.
        _refuse(await _find_bulk(session, bulk_id=bulk["id"]), actor, bulk["total"])
        return
    details = {"repair": bulk["action"], "total": bulk["total"], "filter": bulk["filter"]}
    operation.update(plan_hash=bulk["manifest_hash"], details=details)
    await operation.record(session)


async def _find_bulk(session: Session, *, token: str | None = None, bulk_id: int | None = None) -> Row:
    args = {"token_hash": None if token is None else Token.of_caller(token).hash, "id": bulk_id}
    row = await session.one("find_bulk", args)
    if row is None:
        raise BulkNotFoundError(bulk_id)
    if row["action"] not in IN_BULK:
        # Another release made it, for an action that this one does not have.
        raise UnsupportedActionError(row["action"], IN_BULK)
    return row


async def _make_token(session: Session, bulk_id: int) -> Token:
    row = await session.one("repair_secret")
    assert row is not None
    return Token.of_bulk(row["secret"], bulk_id)


async def _find_token(session: Session, bulk: Row, asking: Actor | None) -> str | None:
    """The token for its actor; None of one that an earlier release made, which is shown once."""
    if asking is None or asking.id != bulk["actor_id"]:
        return None
    token = await _make_token(session, bulk["id"])
    return token.text if token.hash == bytes(bulk["token_hash"]) else None


async def _find_matching(session: Session, action: Action, conditions: Mapping[str, Any]) -> Sequence[Row]:
    query, _ = FILTERS[action.row.targets[0]]
    args = {**filter_args(action, conditions), "page": MOST + 1}
    return await session.all(query, args)


class _ItemDriftedError(CommandRefusedError):
    code = "preview_drifted"

    def __str__(self) -> str:
        return "its state has changed since the bulk was previewed"


def _refuse(bulk: Row, actor: Actor, confirm_total: int | None) -> None:
    if bulk["actor_id"] != actor.id:
        raise PreviewOfAnotherActorError(bulk["id"])
    if bulk["status"] == "done":
        raise PreviewConsumedError(bulk["id"])
    if bulk["status"] == "expired":
        raise PreviewExpiredError(bulk["id"])
    if confirm_total not in ((bulk["total"],) if bulk["total"] > CONFIRMED_ABOVE else (bulk["total"], None)):
        raise BulkCountError(confirm_total, bulk["total"])
