"""Who acts: an id with a type and a label, as the audit keeps it.

The rule that must never break: an actor without an id changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from ..errors import UnattributedActorError

LONGEST: Final = 200
"""Characters of an id, label or request id that are kept."""


class ActorType(StrEnum):
    """What kind of actor it is."""

    USER = "user"
    SERVICE = "service"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts. Made from what the caller gave: a name, a mapping with an ``id``, or an ``Actor``."""

    id: str
    """Tells this actor from all others; never empty."""

    type: ActorType = ActorType.USER
    """``user``, ``service``, ``agent``; ``system`` is Powertools itself."""

    label: str | None = None
    """What people read: a name."""

    request_id: str | None = None
    """The request through which they act, for finding it in the host's own logs."""

    claims: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)
    """The mapping as it was given, with ``permissions`` or whatever else the host's policy reads; never stored."""


type ActorLike = str | Mapping[str, Any] | Actor
"""How callers name an actor: ``"ops-1"``, or ``{"id": "ops-1", "label": ..., "type": ..., "permissions": [...]}``."""


def find_actor(given: ActorLike | None) -> Actor | None:
    """The actor; None when nobody is named.

    Raises:
        ValueError: The type is none of ``ActorType``, or ``system``, which no caller may be.
    """
    match given:
        case Actor():
            actor = given
        case str():
            actor = Actor(id=_kept(given) or "")
        case Mapping():
            actor = Actor(
                id=_kept(given.get("id")) or "",
                type=ActorType(given.get("type") or ActorType.USER),
                label=_kept(given.get("label")),
                request_id=_kept(given.get("request_id")),
                claims=given,
            )
        case _:
            return None
    if actor.type is ActorType.SYSTEM:
        message = "an actor of type 'system' is Powertools itself: use user, service or agent"
        raise ValueError(message)
    return actor if actor.id.strip() else None


def as_actor(given: ActorLike | None) -> Actor:
    """The actor.

    Raises:
        UnattributedActorError: Nobody is named.
        ValueError: As ``find_actor``.
    """
    actor = find_actor(given)
    if actor is None:
        raise UnattributedActorError
    return actor


def _kept(given: object) -> str | None:
    text = given.strip().replace("\0", "")[:LONGEST] if isinstance(given, str) else ""
    return text or None
