"""Who may do what: actors, actions, targets, and the host's policy, which every door asks in one place.

The rule that must never break: what no policy allowed is refused (security/S1).
"""

from ...acts import Act, Action, Severity, TargetType
from .actors import HOST, Actor, ActorLike, ActorType, as_actor, distinct, find_actor
from .guard import Authorize, Guard, SecondPerson
from .policies import AllowAll, permissions_policy
from .surfaces import Surface, as_surface
from .targets import Target

__all__ = [
    "HOST",
    "Act",
    "Action",
    "Actor",
    "ActorLike",
    "ActorType",
    "AllowAll",
    "Authorize",
    "Guard",
    "SecondPerson",
    "Severity",
    "Surface",
    "Target",
    "TargetType",
    "as_actor",
    "as_surface",
    "distinct",
    "find_actor",
    "permissions_policy",
]
