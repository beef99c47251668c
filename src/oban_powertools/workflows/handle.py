"""What ``insert`` returns: a stored workflow to wait for."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Protocol, overload

from ..annotations import read_result
from ..arguments import as_key, as_span, unless_none
from ..states import WorkflowId
from .records import WorkflowRecord
from .references import StepHandle, codec_of


class Waits(Protocol):
    """What a handle needs to wait for its workflow."""

    async def wait(self, workflow_id: WorkflowId, *, timeout: timedelta | None = None) -> WorkflowRecord:
        """As ``Workflows.wait``."""
        ...

    async def result(self, workflow_id: WorkflowId, step: str, *, timeout: timedelta | None = None) -> Any:
        """The JSON of a step's result, once it has one."""
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

    @overload
    async def result[Result](self, step: StepHandle[Result], timeout: timedelta | float | None = None) -> Result: ...
    @overload
    async def result(self, step: str, timeout: timedelta | float | None = None) -> Any: ...
    async def result(self, step: StepHandle[Any] | str, timeout: timedelta | float | None = None) -> Any:
        """Wait until a step has completed, whatever the others do, and read its result.

        Args:
            step: As ``add`` returned it, for the type that its worker returns; by its name for plain JSON.
            timeout: As in ``wait``.

        Raises:
            StepNotCompletedError: It ended without completing.
            UnfitValueError: The stored result does not fit the annotation of the worker.
            WaitTimeoutError: It had not ended in time.
            StepNotFoundError: There is no such step.
        """
        within = unless_none(as_span, "timeout", timeout)
        return as_returned(step, await self.waiters.result(self.id, step_name(step), timeout=within))


def step_name(step: StepHandle[Any] | str) -> str:
    """The name of a step, by its handle or itself."""
    return step.name if isinstance(step, StepHandle) else as_key("step", step)


def as_returned(step: StepHandle[Any] | str, result: Any) -> Any:
    """The JSON of a step's result as the value that its worker returned.

    Raises:
        UnfitValueError: It does not fit the annotation of the worker.
    """
    return read_result(codec_of(step), result, f"step {step.name!r}") if isinstance(step, StepHandle) else result
