"""Bulk repairs: a manifest of targets that was previewed, repaired one by one.

Each item is a transaction of its own, with its outcome in it: so a crash loses nothing, and nothing is done twice. The
rule that must never break: only what stands in the manifest is touched.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from ...acts import IN_BULK
from ...database import Session, json_border
from ...errors import (
    BulkCountError,
    BulkFilterError,
    BulkTooLargeError,
    CommandRefusedError,
    NotFoundError,
    PowertoolsError,
    PreviewConsumedError,
    PreviewExpiredError,
    PreviewNotFoundError,
    PreviewOfAnotherActorError,
    UnsupportedActionError,
)
from ...operators.audit import Entry, Operation
from ...operators.authorization import Action, Actor, ActorLike, Target, TargetType
from ...privacy.display import Kind
from .actions import Applier, Repair, check_arguments
from .context import Context, whole
from .execute import check_reason, find_locked
from .filters import FILTERS, filter_args, read_filter
from .preview import READY_FOR, token_hash
from .targets import Row, as_repair, find

MOST: Final = 1000
"""Targets of one bulk repair."""

CONFIRMED_ABOVE: Final = 100
"""Targets from which their number has to be said again."""

_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPreview:
    """What a bulk repair would be about."""

    id: int
    """Of the stored manifest; not its token."""

    preview_token: str
    """Executes it; shown this once."""

    action: Action
    """Which repair."""

    total: int
    """How many targets."""

    target_ids: Sequence[str]
    """All of them, in the order in which they will be repaired; those that do not exist too."""

    manifest_hash: str
    """SHA-256 of the manifest with the state of each target, in hex."""

    expires_at: datetime
    """Until when it may begin; database clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """One target of a bulk repair."""

    target_id: str
    """Which one."""

    outcome: str
    """``pending``, ``done``, ``refused``, ``drifted`` or ``failed``."""

    detail: str | None
    """Why it was not done."""

    ended_at: datetime | None
    """When it got its outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """A bulk repair as it is."""

    id: int
    """Its id."""

    status: str
    """``ready``, ``running``, ``done`` or ``expired``."""

    action: Action
    """Which repair."""

    actor_id: str
    """Whose it is."""

    reason: str | None
    """Why; None before it began."""

    total: int
    """How many targets."""

    outcomes: Mapping[str, int]
    """Outcome -> how many targets."""

    items: Sequence[BulkItem]
    """In the order of the manifest."""

    unlisted: int
    """Targets that match the filter now and are not in the manifest: they are not touched. Counted up to 1,000."""


class Bulks:
    """Preview and execute bulk repairs."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._applier = Applier(context.settings)

    async def preview(
        self, actor: ActorLike, action: str, filter: Mapping[str, Any], *, hold_for: timedelta | None = None,  # noqa: A002
        source: str = "api",
    ) -> BulkPreview:  # fmt: skip
        """As ``Lifeline.preview_bulk``."""
        target = Target(type=TargetType.BULK, id=str(action)[:100].strip() or "no action")
        async with self._context.operations.begin(actor, Action.PREVIEW_BULK, target, source=source) as operation:
            if action not in IN_BULK:
                raise UnsupportedActionError(action, IN_BULK)
            repair, _ = Action(action), operation.actor
            operation.tell(target=replace(target, repair=repair))
            arguments = check_arguments(repair, None, hold_for)
            kept = read_filter(repair, filter)
            return await self._preview(await operation.authorize(), repair, kept, arguments)

    async def _preview(
        self, actor: Actor, action: Action, kept: Mapping[str, Any], arguments: dict[str, Any]
    ) -> BulkPreview:
        async with self._context.connect() as session, session.transaction():
            rows = await self._matching(session, action, kept)
            if len(rows) > MOST:
                raise BulkTooLargeError(MOST)
            if not rows:
                raise BulkFilterError("matches nothing", "one target at least")
            manifest = [[row["target_id"], row["state_hash"]] for row in rows]
            token = secrets.token_hex(32)
            stored: dict[str, Any] = {
                "actor_id": actor.id, "action": action, "filter": json_border.dumps(kept),
                "arguments": json_border.dumps(arguments), "token_hash": token_hash(token), "ready_for": READY_FOR,
                "manifest_hash": hashlib.sha256(orjson.dumps([action, arguments, manifest])).hexdigest(),
                "target_ids": [row["target_id"] for row in rows], "state_hashes": [row["state_hash"] for row in rows],
            }  # fmt: skip
            row = await session.one("store_bulk", stored)
        assert row is not None
        return BulkPreview(
            id=row["id"], preview_token=token, action=action, total=len(rows), target_ids=stored["target_ids"],
            manifest_hash=stored["manifest_hash"], expires_at=row["expires_at"],
        )  # fmt: skip

    async def _matching(self, session: Session, action: Action, kept: Mapping[str, Any]) -> Sequence[Row]:
        query, _ = FILTERS[action.row.targets[0]]
        args = {**filter_args(action, kept), "page": MOST + 1}
        return await session.all(query, args)

    async def execute(
        self,
        actor: ActorLike,
        preview_token: str,
        reason: str,
        *,
        confirm_total: int | None = None,
        source: str = "api",
    ) -> Bulk:
        """As ``Lifeline.execute_bulk``."""
        context, unknown = self._context, Target(type=TargetType.BULK, id="an unknown bulk")
        async with context.operations.begin(
            actor, Action.EXECUTE_BULK, unknown, reason=reason, source=source
        ) as operation:
            who = operation.actor
            async with context.connect() as session:
                bulk = await self._find(session, token=preview_token)
            operation.tell(target=replace(unknown, id=str(bulk["id"]), repair=Action(bulk["action"])))
            said = str(context.display.render(Kind.REASON, check_reason(reason)))
            _refuse(bulk, who, confirm_total)
            await operation.authorize()
            operation.tell(reason=said)
            about = operation.entry
            await self._start(operation, bulk)
        await self._run(bulk, about)
        return await self.status(bulk["id"])

    async def status(self, bulk_id: int) -> Bulk:
        """As ``Lifeline.bulk_status``."""
        async with self._context.connect() as session:
            bulk = await self._find(session, bulk_id=bulk_id)
            items = await session.all("bulk_items", {"id": bulk_id, "pending": False, "page": MOST})
            matching = await self._matching(session, Action(bulk["action"]), bulk["filter"])
        listed = {item["target_id"] for item in items}
        return Bulk(
            id=bulk["id"], status=bulk["status"], action=Action(bulk["action"]), actor_id=bulk["actor_id"],
            reason=bulk["reason"], total=bulk["total"], outcomes=bulk["outcomes"],
            items=[BulkItem(**{key: item[key] for key in BulkItem.__slots__}) for item in items],
            unlisted=sum(row["target_id"] not in listed for row in matching),
        )  # fmt: skip

    async def _find(self, session: Session, *, token: str | None = None, bulk_id: int | None = None) -> Row:
        args = {"token_hash": None if token is None else token_hash(token), "id": bulk_id}
        row = await session.one("find_bulk", args)
        if row is None:
            raise PreviewNotFoundError
        return row

    async def _start(self, operation: Operation, bulk: Row) -> None:
        actor = operation.actor
        args = {"id": bulk["id"], "actor_id": actor.id, "reason": operation.entry.reason}
        async with self._context.connect() as session, session.transaction():
            if await session.one("start_bulk", args) is None:
                # It goes on where it stopped, and was recorded when it began.
                _refuse(await self._find(session, bulk_id=bulk["id"]), actor, bulk["total"])
                return
            told = {"repair": bulk["action"], "total": bulk["total"], "filter": bulk["filter"]}
            operation.tell(plan_hash=bulk["manifest_hash"], details=told)
            await operation.record(session)

    async def _run(self, bulk: Row, about: Entry) -> None:
        while True:
            args = {"id": bulk["id"], "pending": True, "page": _AT_ONCE}
            async with self._context.connect() as session:
                items = await session.all("bulk_items", args)
            if not items:
                break
            for item in items:
                await self._item(bulk, item, about)
        async with self._context.connect() as session:
            await session.run("end_bulk", {"id": bulk["id"]})

    async def _item(self, bulk: Row, item: Row, about: Entry) -> None:
        context, action = self._context, Action(bulk["action"])
        target = Target(type=action.row.targets[0], id=item["target_id"])
        operation = Operation(context.operations, replace(about, action=action, target=target))

        async def note(session: Session, error: Exception) -> None:
            outcome = "drifted" if isinstance(error, _ItemDriftedError) else "refused"
            code = error.code if isinstance(error, PowertoolsError) else type(error).__name__
            ended = {"id": bulk["id"], "place": item["place"], "outcome": outcome, "detail": f"{code}: {error}"}
            if await session.one("end_bulk_item", ended) is not None:
                await operation.note(session, error)

        with suppress(CommandRefusedError, NotFoundError):
            async with context.operations.noting(note, lambda: action, failures=False):
                _, target = as_repair(action, target.type, target.id)
                operation.tell(target=target)
                async with context.connect() as session:
                    operation.tell(target=(await find(session, target)).target)
                await operation.authorize(Action.EXECUTE_REPAIR)
                await whole(lambda: self._repair(operation, bulk, item))

    async def _repair(self, operation: Operation, bulk: Row, item: Row) -> None:
        about = operation.entry
        args = {"id": bulk["id"], "place": item["place"], "outcome": "done", "detail": None}
        async with self._context.connect() as session, session.transaction():
            # First: whoever else is at the same item waits here, and finds it done.
            if await session.one("end_bulk_item", args) is None:
                return
            found = await find_locked(session, about.target)
            rows = await self._matching(session, operation.action, {"ids": [item["target_id"]]})
            if rows[0]["state_hash"] != item["state_hash"]:
                raise _ItemDriftedError
            actor_id, reason = operation.actor.id, about.reason or ""
            repair = Repair(action=operation.action, arguments=bulk["arguments"], actor_id=actor_id, reason=reason)
            await self._applier.apply(session, repair, found)
            operation.tell(details={"bulk": bulk["id"]})
            await operation.record(session)


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
