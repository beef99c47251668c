"""Commands as evidence: who asked for what, and what came of it.

An accepted command is recorded in its own transaction; a refused one by the facade on another
connection, so that the record survives the rollback. The rule that must never break: no operator's
change without an actor and a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import json_border
from ..database import Connection, Queries
from ..errors import CommandRefusedError, NotFoundError, ReasonRequiredError, UnattributedActorError
from ..states import WorkflowId

type Actor = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that was asked of a workflow."""

    action: str
    """request_cancel, recover_retry, hold, release, complete_step ..."""

    workflow_id: WorkflowId
    """Which workflow."""

    actor: str
    """Who asked: an id; empty when nobody is named, which is refused."""

    source: str = "api"
    """Through which door: api, cli, web."""

    step: str | None = None
    """Which step; None for the workflow."""

    reason: str | None = None
    """Why; None where no reason is asked for."""

    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else was asked."""


def actor_id(actor: Actor | None) -> str:
    """The id of an actor given by name or as a mapping with an ``id``; empty when nobody is named."""
    found = actor.get("id") if isinstance(actor, Mapping) else actor
    return found.strip() if isinstance(found, str) else ""


def check_asked(command: Command) -> None:
    """Refuse what nobody asked for, or nobody gave a reason for.

    Raises:
        UnattributedActorError, ReasonRequiredError: As named.
    """
    if not command.actor:
        raise UnattributedActorError
    if command.reason == "":
        raise ReasonRequiredError


async def record(
    conn: Connection, queries: Queries, command: Command, refusal: CommandRefusedError | NotFoundError | None = None
) -> None:
    """Write a command down, in the caller's transaction.

    Args:
        refusal: Why it was refused; None when it was carried out.
    """
    legal: Sequence[str] = refusal.legal_next_steps if refusal else ()
    args = {
        "workflow_id": command.workflow_id,
        "step": command.step,
        "action": command.action,
        "actor": command.actor,
        "source": command.source,
        "reason": command.reason,
        "outcome": "rejected" if refusal else "accepted",
        "reason_code": refusal.code if refusal else None,
        "legal_next_steps": list(legal),
        "details": json_border.dumps({**command.details, **({"message": str(refusal)} if refusal else {})}),
    }
    await conn.execute(queries["record_command"], args)
