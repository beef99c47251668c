"""What ``insert`` returns: a stored workflow to wait for."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Protocol

from ..arguments import as_span, unless_none
from ..states import WorkflowId
from .records import WorkflowRecord


class Waits(Protocol):
    """What a handle needs to wait for its workflow."""

    async def wait(self, workflow_id: WorkflowId, *, timeout: timedelta | None = None) -> WorkflowRecord:
        """As ``Workflows.wait``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowHandle:
    """A stored workflow to wait for."""

    __in_json__: ClassVar[str] = "pass value.id"

    id: WorkflowId
    """Its id."""

    name: str
    """Its label."""

    inserted: bool
    """False when its idempotency key named a workflow that existed already."""

    waiters: Waits = field(repr=False)
    """Waits for it."""

    async def wait(self, timeout: timedelta | float | None = None) -> WorkflowRecord:
        """As ``Workflows.wait``."""
        return await self.waiters.wait(self.id, timeout=unless_none(as_span, "timeout", timeout))
