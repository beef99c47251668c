"""Django's user as an actor, and the permissions that Django keeps for acts.

A permission of an act, such as ``execute_repair``, is the permission ``powertools.execute_repair`` in Django. The rule
that must never break: an act is allowed only to whom ``user.has_perm`` says so.
"""

from typing import Any, Final, Protocol

from django.core.exceptions import PermissionDenied

from ...acts import Action
from ...operators.authorization import Actor

APP: Final = "powertools"
"""The label of the app, before the dot of its permissions."""

VIEW: Final = "view_console"
"""The permission to look at the console."""

PERMISSIONS: Final = tuple(dict.fromkeys(action.row.permission for action in Action))
"""The permissions of all acts."""

NAMED: Final = (
    (VIEW, "Can look at the console and at Powertools in the admin"),
    *((name, f"Can {name.replace('_', ' ')} in Powertools") for name in PERMISSIONS),
)
"""Each permission, and what Django's admin calls it."""


class DjangoUser(Protocol):
    """What is asked of a user: Django's own, or a project's."""

    @property
    def is_authenticated(self) -> Any:
        """Whether it is somebody known."""
        ...

    def get_username(self) -> str:
        """The name that tells this user from others."""
        ...

    def has_perm(self, perm: str, /) -> bool:
        """Whether the user has a permission."""
        ...


def actor_for(user: DjangoUser) -> Actor:
    """The actor of a user, with the permissions of acts that the user has.

        powertools.workflows.cancel(workflow_id, actor=actor_for(request.user), reason=reason, source="web")

    The id is the username and the label the full name. Asks the database for the permissions, so in an ``async`` view
    call it through ``sync_to_async``.

    Raises:
        PermissionDenied: The user is anonymous; Django answers with 403.
    """
    if not user.is_authenticated:
        raise PermissionDenied("nobody is signed in")
    name = user.get_username()
    permissions = [permission for permission in PERMISSIONS if user.has_perm(f"{APP}.{permission}")]
    full_name = getattr(user, "get_full_name", str)()
    return Actor(id=name, label=full_name or None, claims={"permissions": permissions, "user": user})


def may_look(user: DjangoUser) -> bool:
    """Whether a user may look at the console."""
    return user.has_perm(f"{APP}.{VIEW}")
