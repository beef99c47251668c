"""Ask the host's policy whether an actor may do something; the only place that does.

The rule that must never break: only ``True`` allows. No policy, a policy that fails, and any other answer refuse.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from ...acts import Action
from ...errors import NotAuthorizedError
from ...privacy.logs import find_logger
from .actors import Actor
from .targets import Target

logger: Final = find_logger(__name__)

type Authorize = Callable[[Actor, Action, Target], bool | Awaitable[bool]]
"""The host's decision, sync or async; a ``PermissionError`` refuses with its text as the reason."""

_MISSING = (
    "no authorize was given, so nothing may be changed by anybody; pass Powertools(oban, authorize=...): a function "
    "(actor, action, target) -> bool of your own, or permissions_policy()"
)


class Guard:
    """Asks the host's policy.

    Args:
        authorize: None refuses everything.
    """

    def __init__(self, authorize: Authorize | None) -> None:
        self._authorize = authorize

    async def check(self, actor: Actor, target: Target, *actions: Action) -> None:
        """Refuse unless each of these actions is allowed.

        Needs no lock and no transaction: the host may take its time. Executing a repair checks ``EXECUTE_REPAIR`` and
        the repair's own action; a preview, which changes nothing, only ``PREVIEW_REPAIR``.

        Raises:
            NotAuthorizedError: The host refuses it, or has no policy.
        """
        for action in actions:
            refusal = _MISSING if self._authorize is None else await _ask(self._authorize, actor, action, target)
            if refusal is not None:
                raise NotAuthorizedError(actor.id, action, str(target), refusal)


async def _ask(authorize: Authorize, actor: Actor, action: Action, target: Target) -> str | None:
    try:
        answer = authorize(actor, action, target)
        allowed = await answer if inspect.isawaitable(answer) else answer
    except NotAuthorizedError as error:
        return error.why
    except PermissionError as error:
        return str(error) or "authorize refused"
    except Exception as error:
        logger.exception("authorize failed for %s on %s", action, target.type)
        return f"authorize failed with {type(error).__name__}"
    return None if allowed is True else "authorize did not allow it"
