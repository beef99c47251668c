"""Reveal one value that the display policy hides, to an operator who may see it and says why.

The rules that must never break: the record of a reveal is committed before its value is returned, and holds nothing of
the value, not even its hash, from which a short secret can be guessed. What the policies do not allow is not shown.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ..acts import Action, TargetType
from ..arguments import as_word, refuse
from ..database import Session
from ..errors import NotAuthorizedError
from ..privacy import apply_display
from ..wire import AsDict
from .audit import Operation, Operations, check_attributed
from .authorization import ActorLike, ActorType, Target
from .authorization.targets import with_facts
from .services import Services


class Revealable(StrEnum):
    """A value that can be revealed."""

    ARGS = "args"
    META = "meta"
    RESULT = "result"
    CONTEXT = "context"
    ERROR = "error"


VALUES_OF: Final[dict[TargetType, tuple[Revealable, ...]]] = {
    TargetType.JOB: (Revealable.ARGS, Revealable.META, Revealable.ERROR),
    TargetType.STEP: (Revealable.ARGS, Revealable.RESULT, Revealable.ERROR),
    TargetType.WORKFLOW: (Revealable.CONTEXT,),
}
"""Type of target -> its values that can be revealed."""

_NEVER_TO_AGENTS: Final = "a value is revealed to people and programs, never to an agent"
_NEVER: Final = "the display policy does not let it be revealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revealed(AsDict):
    """One value as it is stored."""

    target: str
    """Whose: ``job 812``, ``step 41/bill``, ``workflow 41``."""

    what: Revealable
    """Which of its values."""

    value: Any
    """The value; None where there is none."""

    audit_id: int
    """The record of this reveal."""


class Revealer:
    """Reveals values."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._operations = Operations(services)

    async def reveal(
        self,
        target: Target,
        what: Revealable | str,
        find_target: Callable[[Session, Target], Awaitable[Target]],
        read: Callable[[Session, Revealable], Awaitable[Any]],
        *,
        actor: ActorLike,
        reason: str,
        source: str,
    ) -> Revealed:
        """Authorize it, read the value, record that, and return the value.

        Args:
            target: A job, a step or a workflow.
            find_target: Returns the target with its facts for the host's policy; as it is where it does not exist.
            read: Reads the value; raises NotFoundError where its owner does not exist.
        """
        chosen = as_word("what", what, Revealable)
        known = VALUES_OF[target.type]
        if chosen not in known:
            raise refuse("what", chosen.value, f"one of a {target.type}: {', '.join(known)}")
        details = {"what": chosen.value}
        async with self._operations.begin(
            actor, Action.REVEAL_VALUE, target, reason=reason, source=source, details=details
        ) as operation:
            await self._authorize(operation, find_target)
            async with operation.transaction() as session:
                value = await read(session, chosen)
                if value is not None and not self._services.display.allows_reveal(apply_display.FIELDS[chosen], value):
                    raise _refusal(operation, _NEVER)
        return Revealed(target=str(target), what=chosen, value=value, audit_id=operation.record_id)

    async def _authorize(
        self, operation: Operation, find_target: Callable[[Session, Target], Awaitable[Target]]
    ) -> None:
        actor = check_attributed(operation.entry.actor, operation.entry.reason, operation.action)
        if actor.type is ActorType.AGENT:
            raise _refusal(operation, _NEVER_TO_AGENTS)
        async with self._services.connect() as session:
            operation.update(target=await find_target(session, operation.entry.target))
        # Outside of any transaction of ours: the host may take its time.
        await operation.authorize()


async def find_in_workflow(session: Session, target: Target) -> Target:
    """A workflow or a step with its facts; as it is where it does not exist."""
    row = await session.one("command_target", {"workflow_id": target.workflow_id, "step": target.step})
    return target if row is None else with_facts(target, row)


def _refusal(operation: Operation, why: str) -> NotAuthorizedError:
    return NotAuthorizedError(operation.actor.id, operation.action, str(operation.entry.target), why)
