"""The actor: an id with a type and a label, as the audit stores it.

The rules that must never break: an actor without an id changes nothing; no actor passes for another.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from ...arguments import as_word
from ...database.json_border import storable_text
from ...errors import ReservedActorError, UnattributedActorError

LONGEST: Final = 200
"""Stored characters of each text of an actor; a longer one ends in a hash of the whole."""

RESERVED: Final = frozenset({"powertools", "system", "host"})
"""Ids under which Powertools and the host's own program are recorded."""

_DIGEST: Final = 12


class ActorType(StrEnum):
    """What kind of actor it is."""

    USER = "user"
    SERVICE = "service"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The actor: made from a name, a mapping with an ``id``, or an ``Actor``."""

    id: str
    """Tells this actor from all others; never empty."""

    type: ActorType = ActorType.USER
    """``user``, ``service``, ``agent``; ``system`` is Powertools itself."""

    label: str | None = None
    """What people read: a name."""

    request_id: str | None = None
    """The id of the request, for finding it in the host's own logs."""

    on_behalf_of: str | None = None
    """The person for whom an agent or a service acts; kept in the details of its records."""

    claims: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)
    """The mapping that the caller passed, with ``permissions`` or whatever else the host's policy reads; never
    stored."""


HOST: Final = Actor(id="host", type=ActorType.SERVICE)
"""The host's own program, which reports what happened instead of asking for a change: only calls of ours name it."""

type ActorLike = str | Mapping[str, Any] | Actor
"""How callers name an actor: ``"ops-1"``, or ``{"id": "ops-1", "label": ..., "type": ..., "permissions": [...]}``."""


def find_actor(value: ActorLike | None) -> Actor | None:
    """The actor; None when none is given.

    Raises:
        InvalidArgumentError: The type is none of ``ActorType``.
        ReservedActorError: They name themselves as Powertools or the host's own program, which no caller may.
    """
    if value is HOST:
        return HOST
    match value:
        case Actor():
            actor = replace(
                value,
                id=_clean_text(value.id) or "",
                label=_clean_text(value.label),
                request_id=_clean_text(value.request_id),
                on_behalf_of=_clean_text(value.on_behalf_of),
            )
        case str():
            actor = Actor(id=_clean_text(value) or "")
        case Mapping():
            actor = Actor(
                id=_clean_text(value.get("id")) or "",
                type=as_word("the actor's type", value.get("type", ActorType.USER), ActorType),
                label=_clean_text(value.get("label")),
                request_id=_clean_text(value.get("request_id")),
                on_behalf_of=_clean_text(value.get("on_behalf_of")),
                claims=value,
            )
        case _:
            return None
    if actor.type is ActorType.SYSTEM or _is_reserved(actor.id):
        raise ReservedActorError(actor.id, actor.type)
    return actor if actor.id else None


def as_actor(value: ActorLike | None) -> Actor:
    """The actor.

    Raises:
        UnattributedActorError: No actor is given.
        InvalidArgumentError, ReservedActorError: As ``find_actor``.
    """
    actor = find_actor(value)
    if actor is None:
        raise UnattributedActorError
    return actor


def distinct(text: str, longest: int) -> str:
    """The text in its stored form, at most this long; two texts that differ stay different, also when both are cut.

    >>> distinct("ada", 20), distinct("a" * 30, 20) == distinct("a" * 31, 20), len(distinct("a" * 30, 20))
    ('ada', False, 20)
    """
    text = storable_text(text)
    if len(text) <= longest:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
    return f"{text[: longest - _DIGEST - 1]}~{digest}"


def _clean_text(value: object) -> str | None:
    text = value.strip() if isinstance(value, str) else ""
    return distinct(text, LONGEST) or None


def _is_reserved(actor_id: str) -> bool:
    # In any spelling: people read the audit, and full-width letters look the same.
    return unicodedata.normalize("NFKC", actor_id).strip().casefold() in RESERVED
