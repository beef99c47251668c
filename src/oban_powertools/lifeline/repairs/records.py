"""The records that the calls for repairs return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ...operators.authorization import Action, Severity
from ...wire import AsDict
from .plan import Change, Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPreview(AsDict):
    """A preview: what a repair would do."""

    id: int
    """Of the stored preview; not its token."""

    preview_token: str | None
    """Executes it, once, for the same actor. None when the preview is read again for anybody else."""

    status: str
    """``ready``, ``consumed``, ``drifted`` or ``expired``."""

    action: Action
    """Which repair."""

    target_type: str
    """What it is about."""

    target_id: str
    """Which one."""

    arguments: Mapping[str, Any]
    """``hold_for`` in seconds of a hold, ``to`` of a redirected signal; never a payload."""

    actor_id: str
    """The actor who previewed it."""

    severity: Severity
    """How much harm a mistake does."""

    incident_fingerprint: str | None
    """The incident that it is for."""

    changes: Sequence[Change]
    """Rows before and after, by kind and id: at most 1,000. Payloads are hashes; secrets are hidden."""

    total_changes: int
    """How many rows in all."""

    effect: Effect
    """Its effect on the graph."""

    warnings: Sequence[str]
    """Warnings before it is executed."""

    legal: Sequence[str]
    """Repairs of the same target that are legal now."""

    illegal: Mapping[str, str]
    """Repairs of the same target that are not -> why."""

    plan_hash: str
    """SHA-256 of the whole plan, in hex."""

    created_at: datetime
    """When it was previewed first."""

    expires_at: datetime
    """Until when its token is valid; database clock."""

    ended_at: datetime | None
    """When it was executed, or refused as drifted or expired; None where nobody tried."""

    is_new: bool = False
    """Whether this call stored it; False for the ready one of the same plan, and when it is read again."""


class PreviewStatus(StrEnum):
    """What has become of a preview."""

    READY = "ready"
    """Its token can be used."""

    CONSUMED = "consumed"
    """It was executed."""

    DRIFTED = "drifted"
    """Its execution was refused, because it would have done something else."""

    EXPIRED = "expired"
    """Nobody executed it in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPreview(AsDict):
    """A preview in a list."""

    id: int
    """Of the stored preview; not its token."""

    status: PreviewStatus
    """What has become of it."""

    action: Action
    """Which repair."""

    target_type: str
    """What it is about."""

    target_id: str
    """Which one."""

    actor_id: str
    """The actor who previewed it."""

    severity: Severity
    """How much harm a mistake does."""

    incident_fingerprint: str | None
    """The incident that it is for."""

    total_changes: int
    """How many rows it changes or makes."""

    warnings: Sequence[str]
    """Warnings before it is executed."""

    has_changed: bool | None
    """Whether one of its first 100 rows is not as it was any more; None when it is over."""

    awaits_approval: bool
    """Whether it can be executed only after a second person has approved it, which nobody has."""

    approved_by: str | None
    """The actor who approved it as the second person."""

    plan_hash: str
    """SHA-256 of the whole plan, in hex."""

    created_at: datetime
    """When it was previewed first."""

    expires_at: datetime
    """Until when its token is valid; database clock."""

    ended_at: datetime | None
    """When it was executed, or refused as drifted or expired; None where nobody tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedRow(AsDict):
    """A row of a preview that has changed since."""

    source: str
    """As of a ``Change``."""

    id: str
    """Likewise."""

    gone: bool
    """Whether it does not exist any more."""

    fields: Mapping[str, tuple[Any, Any]]
    """Column -> its values when it was previewed, and now; empty when it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewCheck(AsDict):
    """Whether the rows of a preview are still as it shows them."""

    preview_id: int
    """The preview."""

    status: str
    """As of a ``RepairPreview``."""

    rows: int
    """How many rows were compared: those that it shows, without new ones."""

    moved: Sequence[MovedRow]
    """Those that have changed, in its order. Empty is no promise that it can be executed: that also looks at rows that
    it did not show."""

    checked_at: datetime
    """When they were compared; database clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairDone(AsDict):
    """What an execution has done."""

    preview_id: int
    """The preview that was executed."""

    audit_id: int
    """Its record in the audit."""

    target: str
    """What was repaired."""

    total_changes: int
    """Rows that were changed or made."""

    effect: Effect
    """Its effect on the graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPreview(AsDict):
    """A manifest: the targets of a bulk repair."""

    id: int
    """Of the stored manifest; not its token."""

    preview_token: str
    """Executes it, for the same actor."""

    action: Action
    """Which repair."""

    total: int
    """How many targets."""

    target_ids: Sequence[str]
    """All of them, in the order in which they will be repaired, including those that do not exist."""

    manifest_hash: str
    """SHA-256 of the manifest with the state of each target, in hex."""

    incident_fingerprint: str | None
    """The incident that it is for."""

    warnings: Sequence[str]
    """What to know before it is executed."""

    expires_at: datetime
    """Until when it may begin; database clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem(AsDict):
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
class Bulk(AsDict):
    """The progress of a bulk repair."""

    id: int
    """Its id."""

    status: str
    """``ready``, ``running``, ``done`` or ``expired``."""

    action: Action
    """Which repair."""

    actor_id: str
    """The actor who previewed it."""

    preview_token: str | None
    """Executes it, or lets it continue; only for the actor who previewed it."""

    incident_fingerprint: str | None
    """The incident that it is for."""

    filter: Mapping[str, Any]
    """What its targets had to match."""

    arguments: Mapping[str, Any]
    """``hold_for`` in seconds, of a hold."""

    reason: str | None
    """Why; None before it began."""

    total: int
    """How many targets."""

    outcomes: Mapping[str, int]
    """Outcome -> how many targets."""

    items: Sequence[BulkItem]
    """In the order of the manifest."""

    repairable: Sequence[str]
    """Targets that it has left when it was done, and that the same repair fits as they are now."""

    unlisted: int
    """Targets that match the filter now and are not in the manifest: they are not touched. Counted up to 1,000."""

    expires_at: datetime
    """Until when it may begin; database clock."""

    started_at: datetime | None
    """When it began."""

    ended_at: datetime | None
    """When it ended."""
