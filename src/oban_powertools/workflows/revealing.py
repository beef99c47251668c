"""Reveal a value of a workflow or of one of its steps; ``operators.revealing`` asks, records and refuses."""

from typing import Any

from ..arguments import as_text, as_workflow_id, unless_none
from ..database import Session
from ..database.json_border import storable_text
from ..errors import StepNotFoundError
from ..operators.authorization import ActorLike, Target
from ..operators.revealing import Revealable, Revealed, Revealer, find_in_workflow
from ..operators.services import Facade, Services
from .reads import get_workflow, page_steps


class WorkflowReveals(Facade):
    """The call that reveals."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._revealer = Revealer(services)

    async def reveal(
        self,
        workflow_id: int | str,
        step: str | None = None,
        *,
        what: Revealable | str,
        actor: ActorLike,
        reason: str,
        source: str = "api",
    ) -> Revealed:
        """One value as it is stored, with what the display policy hides of it; the audit keeps who saw it.

        Args:
            step: None for the workflow's own.
            what: ``context`` of a workflow; ``args``, ``result`` or ``error`` of a step.

        Raises:
            WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
            NotAuthorizedError: The host or its display policy does not allow it, or the actor is an agent.
            UnattributedActorError, ReasonRequiredError: No actor; no reason.
        """
        key = as_workflow_id(workflow_id)
        given = unless_none(as_text, "step", step)
        name = None if given is None else storable_text(given)

        async def read(session: Session, chosen: Revealable) -> Any:
            if name is None:
                return (await get_workflow(session, key)).context
            every = {"states": None, "words": None, "after": None}
            found = await page_steps(session, key, step=name, **every, failed_first=False, limit=1, payloads=True)
            if not found.steps:
                raise StepNotFoundError(key, name)
            return getattr(found.steps[0], chosen)

        target = Target.of_workflow(key, name)
        return await self._revealer.reveal(
            target, what, find_in_workflow, read, actor=actor, reason=reason, source=source
        )
