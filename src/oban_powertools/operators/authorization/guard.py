"""Ask the host's policy whether an actor may do something; the only place that does.

The rule that must never break: only ``True`` allows. No policy, a policy that fails, and any other answer refuse.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from ...acts import Action
from ...errors import ApprovalMissingError, NotAuthorizedError
from ...privacy.logs import find_logger
from .actors import Actor
from .targets import Target

logger: Final = find_logger(__name__)

type Authorize = Callable[[Actor, Action, Target], bool | Awaitable[bool]]
"""The host's decision, sync or async; a ``PermissionError`` refuses with its text as the reason."""


class SecondPerson:
    """A policy that wants a second person for some repairs: somebody else reads the preview and approves it.

        authorize = SecondPerson(authorize, when=lambda actor, action, target: action.row.severity == "severe")

    What needs one is refused as a direct call and in a bulk repair, too.

    Args:
        authorize: Decides who may do what, the approving as well (``Action.REPAIR_APPROVE``).
        when: Whether an act by an actor on a target needs a second person. Only ``False`` says that it does not.
    """

    def __init__(self, authorize: Authorize, *, when: Authorize) -> None:
        self.authorize = authorize
        self.when = when

    def __call__(self, actor: Actor, action: Action, target: Target) -> bool | Awaitable[bool]:
        """What the policy says."""
        return self.authorize(actor, action, target)


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

    @property
    def wants_second_person(self) -> bool:
        """Whether the policy wants a second person for some repairs."""
        return isinstance(self._authorize, SecondPerson)

    async def check(self, actor: Actor, target: Target, *actions: Action, approved: bool = False) -> None:
        """Refuse unless each of these actions is allowed.

        Needs no lock and no transaction: the host may take its time. Executing a repair checks ``EXECUTE_REPAIR`` and
        the repair's own action; a preview, which changes nothing, only ``PREVIEW_REPAIR``.

        Args:
            approved: Whether a second person has approved it.

        Raises:
            NotAuthorizedError: The host refuses it, or has no policy.
            ApprovalMissingError: It allows it with a second person only.
        """
        for action in actions:
            refusal = _MISSING if self._authorize is None else await _ask(self._authorize, actor, action, target)
            if refusal is not None:
                raise NotAuthorizedError(actor.id, action, str(target), refusal)
            if not approved and action.row.previewed and await self._wants_two(actor, action, target):
                why = "a second person has to approve its preview"
                raise ApprovalMissingError(actor.id, action, str(target), why)

    async def _wants_two(self, actor: Actor, action: Action, target: Target) -> bool:
        if not isinstance(self._authorize, SecondPerson):
            return False
        try:
            answer = self._authorize.when(actor, action, target)
            return (await answer if inspect.isawaitable(answer) else answer) is not False
        except Exception:
            logger.exception("whether %s on %s needs a second person cannot be told: it does", action, target.type)
            return True


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
