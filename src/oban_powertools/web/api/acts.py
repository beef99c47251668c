"""What can be done, and who asks: the registry of acts, and the actor as the console knows them."""

from dataclasses import dataclass
from typing import Any, Final

from ...acts import Action, Severity, TargetType
from ...operators.authorization import ActorType
from ...wire import AsDict
from .endpoint import Call, Endpoint, Shape, page


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRow(AsDict):
    """One thing that an operator can do."""

    name: str
    """Its name, through whichever door it comes and wherever it is recorded."""

    does: str
    """What it does in a sentence; empty of acts that nobody chooses from a list."""

    targets: tuple[TargetType, ...]
    """The types of target that it accepts."""

    permission: str
    """The permission that `permissions_policy` requires."""

    severity: Severity
    """How much harm a mistake does."""

    needs_reason: bool
    """Whether it requires a reason."""

    previewed: bool
    """Whether it is a repair: previewed, then executed exactly so."""

    in_bulk: bool
    """Whether a bulk repair may do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Me(AsDict):
    """Who asks, as the audit would record it."""

    id: str
    """Tells this actor from all others."""

    type: ActorType
    """What kind of actor it is."""

    label: str | None
    """What people read: a name."""

    request_id: str | None
    """The id of this request."""


async def list_acts(_: Call) -> Any:
    """Everything that an operator can do."""
    rows = (
        ActRow(
            name=act.value,
            does=act.row.does,
            targets=act.row.targets,
            permission=act.row.permission,
            severity=act.row.severity,
            needs_reason=act.row.needs_reason,
            previewed=act.row.previewed,
            in_bulk=act.row.in_bulk,
        )
        for act in Action
    )
    return page(list(rows), None)


async def get_me(call: Call) -> Me:
    """Who asks, as the audit would record it."""
    actor = call.actor
    return Me(id=actor.id, type=actor.type, label=actor.label, request_id=actor.request_id)


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/acts",
        handler=list_acts,
        tag="Acts",
        answer=Shape(about="All of them.", kind=ActRow, paged=True),
    ),
    Endpoint(
        method="GET",
        path="/me",
        handler=get_me,
        tag="Acts",
        answer=Shape(about="The actor.", kind=Me),
    ),
)
