"""Handle incidents as an operator: acknowledge, assign, note, mute. Never resolve: only evidence does (incidents/N2).

The rule that must never break: the host allows it first, and the change, its timeline entry and its audit record are
one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ...database import Session, json_border
from ...errors import IncidentResolvedError
from ...operators.audit import Operation, Operations
from ...operators.authorization import Action, ActorLike, Target, TargetType
from ...operators.services import Services
from ...privacy.display import Kind
from ...states import IncidentState
from ...wire import rfc3339
from .reading import get_row, read
from .records import Incident

_OF_AN_OPEN_ONE: Final = (Action.INCIDENT_ACKNOWLEDGE, Action.INCIDENT_MUTE)
"""Acts that a resolved incident refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """A request to handle an incident."""

    action: Action
    """An act whose target is an incident."""

    which: int | str
    """Id or fingerprint."""

    actor: ActorLike
    """Who asks."""

    source: str = "api"
    """Through which door."""

    reason: str | None = None
    """Why."""

    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The details for the timeline, JSON-safe."""

    assignee: str | None = None
    """Of an assignment: the new assignee; None removes the assignee."""

    muted_until: datetime | None = None
    """The end of its muting; None changes nothing."""


class Handler:
    """Handles incidents for operators."""

    def __init__(self, services: Services) -> None:
        self._connect = services.connect
        self._display = services.display
        self._operations = Operations(services)

    async def handle(self, request: Handled) -> Incident:
        """Handle an incident.

        Raises:
            IncidentNotFoundError: There is none.
            IncidentResolvedError: It is over: there is nothing to do about it.
            UnattributedActorError, NotAuthorizedError, ReasonRequiredError: It was refused, and that is recorded.

        Locks: the incident.
        """
        async with self._connect() as session:
            row = await get_row(session, request.which)
        async with self._operations.begin(
            request.actor, request.action, _target(row), reason=request.reason, source=request.source
        ) as operation:
            operation.update(incident_id=row["id"])
            await operation.authorize()
            async with operation.transaction() as session:
                return await self._carry_out(session, operation, request)

    async def _carry_out(self, session: Session, operation: Operation, request: Handled) -> Incident:
        incident_id = operation.entry.incident_id
        before = await session.one("lock_incident", {"id": incident_id})
        assert before is not None
        if before["state"] == IncidentState.RESOLVED and request.action in _OF_AN_OPEN_ONE:
            raise IncidentResolvedError(before["fingerprint"])
        fields = json_border.storable({**request.detail, "reason": request.reason})
        detail = self._display.render(Kind.REASON, fields)
        args = {
            "id": incident_id,
            "kind": request.action.row.timeline,
            "actor": operation.actor.id,
            "detail": json_border.dumps({key: value for key, value in detail.items() if value is not None}),
            "acknowledge": request.action is Action.INCIDENT_ACKNOWLEDGE,
            "assign": request.action is Action.INCIDENT_ASSIGN,
            "assignee": None if request.assignee is None else json_border.storable_text(request.assignee),
            "muted_until": request.muted_until,
        }
        after = await session.one("handle_incident", args)
        assert after is not None
        operation.update(before=_state(before), after=_state(after), details=dict(request.detail))
        return read(after, self._display)


def _target(row: Mapping[str, Any]) -> Target:
    evidence = row["evidence"]
    return Target(
        type=TargetType.INCIDENT, id=row["fingerprint"], queue=evidence.get("queue"), worker=evidence.get("worker")
    )


def _state(row: Mapping[str, Any]) -> dict[str, Any]:
    until = row["muted_until"]
    return {
        "state": row["state"],
        "acknowledged_by": row["acknowledged_by"],
        "assignee": row["assignee"],
        "muted_until": rfc3339(until) if until else None,
    }
