"""Read the audit: in pages, newest first; or all of it, oldest first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from ...acts import Action, TargetType
from ...arguments import as_instant, as_key, as_word, refuse, unless_none
from ...database import Session
from ...spelling import one_of
from ..authorization import ActorType, Surface
from .records import AuditRecord, Outcome

_WORDS: Final[Mapping[str, type[StrEnum]]] = {
    "target_type": TargetType,
    "outcome": Outcome,
    "actor_type": ActorType,
    "surface": Surface,
}
AUDITED_ACTS: Final = (
    *Action,
    "hold_expire",
    "job_meta_restore",
    "job_quarantine",
    "wait_expire",
    "webhook_disable",
    "workflow_expire",
)
"""The acts of operators, and what Powertools does by itself and no operator can (``record_system_v1``)."""

_PAGE: Final = 1000
"""Records read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records to read; None does not restrict.

    Raises:
        InvalidArgumentError: What is given says nothing, or is no such thing.
    """

    actor: str | None = None
    """Only of this actor's id."""

    action: str | None = None
    """Only of this action: an ``Action``, or what Powertools does by itself, such as ``hold_expire``."""

    target_type: str | None = None
    """Only about this type of target."""

    target_id: str | None = None
    """Only about this target; with ``target_type`` it is found by index."""

    outcome: str | None = None
    """Only with this outcome."""

    actor_type: str | None = None
    """Only of actors of this type."""

    surface: str | None = None
    """Only through this door."""

    since: datetime | None = None
    """Only from this instant on; aware."""

    until: datetime | None = None
    """Only before this instant; aware."""

    def __post_init__(self) -> None:
        for name in ("actor", "action", "target_type", "target_id"):
            unless_none(as_key, name, getattr(self, name))
        for name in ("since", "until"):
            unless_none(as_instant, name, getattr(self, name))
        for name, words in _WORDS.items():
            if getattr(self, name) is not None:
                as_word(name, getattr(self, name), words)
        if self.action is not None and self.action not in AUDITED_ACTS:
            raise refuse("action", self.action, one_of(self.action, AUDITED_ACTS))


async def list_records(session: Session, chosen: AuditFilter, *, before: int | None, limit: int) -> list[AuditRecord]:
    """One page, newest first."""
    async with session.bounded():
        return await session.records(AuditRecord, "list_audit", {**asdict(chosen), "before": before, "page": limit})


async def find_record(session: Session, record_id: int) -> AuditRecord | None:
    """One record; None when it does not exist."""
    return await session.record(AuditRecord, "get_audit", {"id": record_id})


async def newest_id(session: Session) -> int:
    """The id of the newest record; 0 without any."""
    newest = await session.one("audit_newest")
    return newest["id"] if newest else 0


async def next_records(session: Session, chosen: AuditFilter, *, after: int, upto: int) -> Sequence[AuditRecord]:
    """The next page behind an id, oldest first; empty at the end."""
    args = {**asdict(chosen), "after": after, "upto": upto, "page": _PAGE}
    return await session.records(AuditRecord, "export_audit", args)
