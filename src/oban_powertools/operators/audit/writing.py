"""Write audit records in the caller's transaction: every feature calls this one function.

The rule that must never break: no payload is written, and nothing that looks like a secret.
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from ...acts import UNKNOWN
from ...database import Session, json_border
from ...privacy.display import DisplayPolicy, Kind, fingerprint
from ..authorization import ActorType, distinct
from .records import Entry

_LONGEST_TARGET: Final = 500
"""Characters of a target's id that are kept."""

_PAYLOADS: Final = frozenset({"args", "result", "error", "errors", "payload", "meta", "context", "return"})
"""Keys, at any depth of a state, whose values are payloads of users."""


async def write_entries(session: Session, display: DisplayPolicy, entries: Sequence[Entry]) -> list[int]:
    """Write records down, in one statement.

    Returns:
        Their ids, in the order given.

    Raises:
        psycopg.Error: They could not be written, so what they record must not be done either.

    Locks: none that another session waits for.
    """
    # An attempt is recorded whatever characters its texts contain.
    rows = [json_border.storable(_row(entry, display)) for entry in entries]
    return [row["id"] for row in await session.all("record_audit", {"entries": json_border.dumps(rows)})]


def _row(entry: Entry, display: DisplayPolicy) -> dict[str, Any]:
    actor, target = entry.actor, entry.target
    return {
        "actor_id": actor.id if actor else "",
        "actor_type": actor.type if actor else ActorType.USER,
        "actor_label": actor.label if actor else None,
        "action": entry.action or UNKNOWN,
        "target_type": target.type,
        "target_id": distinct(target.id, _LONGEST_TARGET),
        "workflow_id": target.workflow_id,
        "step": target.step,
        "reason": _render(display, Kind.REASON, entry.reason),
        "outcome": entry.outcome,
        "before": kept_state(display, entry.before),
        "after": kept_state(display, entry.after),
        "plan_hash": entry.plan_hash,
        "preview_id": entry.preview_id,
        "incident_id": entry.incident_id,
        "surface": entry.surface,
        "request_id": actor.request_id if actor else None,
        "details": _render(display, Kind.DETAILS, _details(entry)),
    }


def _details(entry: Entry) -> dict[str, Any]:
    principal = entry.actor.on_behalf_of if entry.actor else None
    return {**entry.details, **({"on_behalf_of": principal} if principal else {})}


def kept_state(display: DisplayPolicy, state: Any) -> Any:
    """The state as stored: payloads at any depth as hash and shape, the rest as the display policy shows it."""
    return _with_fingerprints(_render(display, Kind.STATE, _without_payloads(state)), state)


def _without_payloads(state: Any) -> Any:
    match state:
        case dict():
            items = cast("dict[str, Any]", state).items()
            return {key: None if key in _PAYLOADS else _without_payloads(value) for key, value in items}
        case list():
            return [_without_payloads(item) for item in cast("list[Any]", state)]
        case _:
            return state


def _with_fingerprints(rendered: Any, state: Any) -> Any:
    match rendered, state:
        case dict(), dict():
            original = cast("dict[str, Any]", state)
            items = cast("dict[str, Any]", rendered).items()
            return {key: _keep_field(key, value, original.get(key)) for key, value in items}
        case list(), list():
            pairs = zip(cast("list[Any]", rendered), cast("list[Any]", state), strict=False)
            return [_with_fingerprints(value, original) for value, original in pairs]
        case _:
            return rendered


def _keep_field(key: str, rendered: Any, original: Any) -> Any:
    if key in _PAYLOADS:
        return None if original is None else fingerprint(original)
    return _with_fingerprints(rendered, original)


def _render(display: DisplayPolicy, kind: Kind, value: Any) -> Any:
    return None if value is None else display.render(kind, value)
