"""Execute a preview: exactly what it showed, once, or nothing.

Runs in the caller's transaction. The rule that must never break: the token, the change, and its
audit record are one transaction (invariant/I3, I4).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ...config import Settings
from ...database import Session, json_border
from ...errors import (
    CommandRefusedError,
    NotFoundError,
    PreviewConsumedError,
    PreviewDriftedError,
    PreviewExpiredError,
    PreviewOfAnotherActorError,
    ReasonRequiredError,
    ReasonTooShortError,
)
from ...operators.authorization import Actor, Target
from .actions import Applier, Repair
from .capture import Apply, Expected, perform, read_rows, rehearse
from .drift import find_drift, find_moved
from .plan import VERSION, Change, Effect, Plan, Written, existing, stored_changes
from .targets import Found, Row, find, lock, refuse_incident

SHORTEST_REASON: Final = 8
"""Characters, after trimming."""

_MOST_AUDITED: Final = 100
_MOST_TOLD: Final = 100


class TargetMovedError(Exception):
    """Between finding a target and locking it, something else came to belong to it: begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairDone:
    """What an execution did."""

    preview_id: int
    """The preview that was executed."""

    audit_id: int
    """Its record in the audit."""

    target: str
    """What was repaired."""

    total_changes: int
    """Rows that were changed or made."""

    effect: Effect
    """What came of it in the graph."""


def check_reason(reason: str | None) -> str:
    """The reason without blanks around it.

    Raises:
        ReasonRequiredError, ReasonTooShortError: It says nothing, or too little.
    """
    said = json_border.storable_text((reason or "").strip())
    if not said:
        raise ReasonRequiredError
    if len(said) < SHORTEST_REASON:
        raise ReasonTooShortError(len(said), SHORTEST_REASON)
    return said


def refuse_stored(row: Row, actor: Actor) -> CommandRefusedError | None:
    """Why a stored preview may not be executed by this actor."""
    if row["actor_id"] != actor.id:
        return PreviewOfAnotherActorError(row["id"])
    match row["status"]:
        case "ready":
            return None
        case "consumed":
            return PreviewConsumedError(row["id"])
        case "expired":
            return PreviewExpiredError(row["id"])
        case _:
            return PreviewDriftedError(row["id"], ["it was found to be no longer true before"])


def subject_of(target: Target, arguments: Mapping[str, Any], incident_fingerprint: str | None) -> dict[str, Any]:
    """What a plan is about."""
    return {
        "action": str(target.repair),
        "target": [str(target.type), target.id],
        "arguments": dict(arguments),
        "incident": incident_fingerprint,
    }


async def find_locked(session: Session, target: Target) -> Found:
    """The target, found and locked.

    Raises:
        TargetNotFoundError: It does not exist.
        TargetMovedError: Roll back and begin again.
    """
    first = await find(session, target)
    await lock(session, first)
    found = await find(session, target)
    if not found.is_as(first):
        raise TargetMovedError
    return found


async def carry_out(
    session: Session, settings: Settings, stored: Row, target: Target, actor: Actor, reason: str
) -> Plan:
    """Consume a preview and do what it showed.

    Raises:
        PreviewDriftedError: It would do something else now; says what.
        PreviewConsumedError, PreviewExpiredError, PreviewOfAnotherActorError: The token does not count.
        TargetMovedError: Roll back and begin again.

    Locks: the preview, the target's jobs by id, its families by id, then as settle.
    """
    if await session.one("consume_preview", {"id": stored["id"], "actor_id": actor.id}) is None:
        now = await session.one("find_preview", {"id": stored["id"], "token_hash": None})
        raise refuse_stored(now or stored, actor) or PreviewConsumedError(stored["id"])
    assert target.repair is not None
    repair = Repair(action=target.repair, arguments=stored["arguments"], actor_id=actor.id, reason=reason)
    applier = Applier(settings)
    try:
        found = await find_locked(session, target)
        if (refusal := refuse_incident(found, stored["incident_fingerprint"])) is not None:
            raise refusal
        subject = subject_of(target, stored["arguments"], stored["incident_fingerprint"])
        return await _do(session, stored, found, subject, lambda: applier.apply(session, repair, found))
    except PreviewDriftedError:
        raise
    except (CommandRefusedError, NotFoundError) as refusal:
        raise await _drift_of_refusal(session, stored, refusal) from refusal


async def _do(session: Session, stored: Row, found: Found, subject: Mapping[str, Any], apply: Apply) -> Plan:
    row = await session.one("preview_rows", {"id": stored["id"]})
    assert row is not None
    written: Written = row["written"]
    expected = Expected(plan_hash=stored["plan_hash"], rows=existing(written))
    done = await perform(session, found, subject, expected, apply)
    if done is None:
        now = await rehearse(session, found, subject, apply)
        _refuse_drift(stored, written, now)
        # The same plan after all: it also writes rows, as they are, that it did not write then.
        done = await perform(session, found, subject, replace(expected, rows=existing(now.written)), apply)
    if done is None:
        raise PreviewDriftedError(stored["id"], ["it does something else each time"])
    return done


def told(plan: Plan, incident: str | None) -> dict[str, Any]:
    """What the audit tells of an execution: states, plan and details."""
    rows = plan.changes[:_MOST_AUDITED]
    arguments = {name: value for name, value in plan.subject["arguments"].items() if name != "payload"}
    details = {
        "changes": plan.total, "steps_released": plan.effect.steps_released,
        "jobs_created": plan.effect.jobs_created, "incident": incident, "arguments": arguments,
    }  # fmt: skip
    return {
        "before": {f"{c.source} {c.id}": _changed(c, 0) for c in rows if c.before is not None},
        "after": {f"{c.source} {c.id}": _changed(c, 1) for c in rows},
        "plan_hash": plan.hash,
        "details": details,
    }


def _refuse_drift(stored: Row, written: Written, now: Plan) -> None:
    if now.hash == stored["plan_hash"]:
        return
    if stored["plan"]["version"] != VERSION:
        raise PreviewDriftedError(stored["id"], ["it was made by another release"])
    found = find_drift(stored_changes(stored["plan"]), written, now)
    more = [f"and {len(found) - _MOST_TOLD} differences more"] if len(found) > _MOST_TOLD else []
    raise PreviewDriftedError(stored["id"], [*found[:_MOST_TOLD], *more])


async def _drift_of_refusal(
    session: Session, stored: Row, refusal: CommandRefusedError | NotFoundError
) -> PreviewDriftedError:
    changes = stored_changes(stored["plan"])
    now = await read_rows(session, [(c.source, c.id) for c in changes if c.before is not None])
    rows = {key: json_border.loads(row) for key, row in now.items()}
    return PreviewDriftedError(stored["id"], [str(refusal), *find_moved(changes, rows)[:_MOST_TOLD]])


def _changed(change: Change, side: int) -> dict[str, Any]:
    return {name: values[side] for name, values in change.fields.items()}
