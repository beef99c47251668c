"""What ``insert`` returns: a stored workflow to wait for."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

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

    id: WorkflowId
    """Its id."""

    name: str
    """Its label."""

    inserted: bool
    """False when its idempotency key named a workflow that existed already."""

    waiters: Waits = field(repr=False)
    """Waits for it."""

    async def wait(self, timeout: timedelta | None = None) -> WorkflowRecord:
        """As ``Workflows.wait``."""
        return await self.waiters.wait(self.id, timeout=timeout)
