"""Ready-made policies for ``Powertools(oban, authorize=...)``."""

from collections.abc import Callable
from typing import Final

from ...acts import Action
from ...privacy.logs import find_logger
from .actors import Actor
from .targets import Target

logger: Final = find_logger(__name__)


def permissions_policy() -> Callable[[Actor, Action, Target], bool]:
    """Allow the actions that the actor's own ``permissions`` name.

    Pass the actor as a mapping: ``{"id": "ops-1", "permissions": ["preview_repair", "execute_repair"]}``. Build it from
    your session on the server: a user who can write it can grant themselves anything. The permission of each action is
    in docs/reference/authorization.md.
    """
    return _permitted


def _permitted(actor: Actor, action: Action, _: Target) -> bool:
    permissions = actor.claims.get("permissions")
    return isinstance(permissions, list | tuple | set | frozenset) and action.row.permission in permissions


class AllowAll:
    """Allow everybody everything, and log a warning. For trying things out, never for production."""

    def __init__(self) -> None:
        logger.warning("AllowAll: every actor may change everything; pass an authorize of your own in production")

    def __call__(self, *_: object) -> bool:
        """Yes."""
        return True
