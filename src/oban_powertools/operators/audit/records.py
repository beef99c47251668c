"""The records of the audit: what is written, what is read, and what a verification finds. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ...states import WorkflowId
from ...wire import AsDict
from ..authorization import Action, Actor, ActorType, Surface, Target


class Outcome(StrEnum):
    """The outcome of an attempt."""

    EXECUTED = "executed"
    REFUSED = "refused"
    DRIFTED = "drifted"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record to write. Payloads may be passed as they are: only their hash and shape are stored."""

    actor: Actor | None
    """Who acted; None when none was given, which is refused."""

    action: Action | None
    """What was asked for; None when there is no such act."""

    target: Target
    """Its target."""

    outcome: Outcome
    """Its outcome."""

    reason: str | None = None
    """Why they did it."""

    before: Any = None
    """The state before, JSON-safe."""

    after: Any = None
    """The state after, JSON-safe."""

    surface: Surface = Surface.API
    """Through which door."""

    plan_hash: str | None = None
    """Of the plan that was previewed."""

    preview_id: int | None = None
    """The preview that was executed."""

    incident_id: int | None = None
    """The incident it was done for."""

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further facts: a refusal's code and sentence, counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord(AsDict):
    """One record as it was written."""

    id: int
    """Rises with time, with gaps."""

    at: datetime
    """When, by the database's clock."""

    actor_id: str
    """Who acted; empty when none was given, which was refused."""

    actor_type: ActorType
    """What kind of actor; ``system`` is Powertools itself."""

    actor_label: str | None
    """Their name."""

    action: str
    """What was asked for: an ``Action``, or what Powertools did by itself."""

    target_type: str
    """Its target."""

    target_id: str
    """Which one: as ``Target.id``."""

    workflow_id: WorkflowId | None
    """The workflow of its target, if known; None for an automatic act of Powertools."""

    step: str | None
    """The step of that workflow."""

    reason: str | None
    """Why they did it."""

    outcome: Outcome
    """Its outcome."""

    before: Any
    """The state before; payloads only as hash and shape. None where nothing changed."""

    after: Any
    """The state after, likewise."""

    plan_hash: str | None
    """Of the plan that was previewed."""

    preview_id: int | None
    """The preview that was executed."""

    incident_id: int | None
    """The incident it was done for."""

    surface: Surface
    """Through which door."""

    request_id: str | None
    """The host's own name of the request."""

    details: dict[str, Any]
    """Further facts, such as ``code`` and ``message`` of a refusal."""

    seal_id: int | None
    """The seal that contains it; None for about a second after it was written."""

    row_hash: str | None
    """SHA-256 of the row in hex; None for a row that was smuggled in."""


class FindingKind(StrEnum):
    """What is wrong with the audit."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    CHAIN_BROKEN = "chain_broken"
    HEAD_UNKNOWN = "head_unknown"
    UNGUARDED = "unguarded"
    UNRECORDED = "unrecorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFinding(AsDict):
    """One thing that is wrong with the audit."""

    kind: FindingKind
    """What kind of thing."""

    message: str
    """One sentence."""

    audit_id: int | None = None
    """The record; None where it is unknown which."""

    seal_id: int | None = None
    """The seal; None for a row alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(AsDict):
    """What a verification of the whole audit found."""

    rows: int
    """Rows that were compared with their hashes."""

    seals: int
    """Seals that were compared with their rows and with one another."""

    unsealed: int
    """Rows that were too new to be sealed."""

    head: str
    """The newest seal and its hash, ``12:ab34...``: note it elsewhere, and give it to a later verification."""

    findings: tuple[AuditFinding, ...]
    """The first 100, rows by id first, then seals; empty when all is well."""

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings
