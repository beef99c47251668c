"""What code that waits, or that runs in a worker, may meet."""

from collections.abc import Sequence
from datetime import timedelta

from .base import PowertoolsError


class WaitTimeoutError(PowertoolsError, TimeoutError):
    """The workflow had not ended within the time the caller was willing to wait."""

    code = "wait_timeout"

    def __init__(self, workflow_id: int, waited_for: timedelta) -> None:
        super().__init__(workflow_id, waited_for)
        self.workflow_id = workflow_id
        self.waited_for = waited_for

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id} has not ended after {self.waited_for}: "
            f"powertools workflow explain {self.workflow_id} says why"
        )


class PowertoolsClosedError(PowertoolsError):
    """Powertools was left while somebody waited for a workflow; the workflow itself goes on."""

    code = "powertools_closed"

    def __str__(self) -> str:
        return "Powertools was left, so nobody here waits any longer: wait within `async with powertools`"


class ReservedMetaError(PowertoolsError):
    """A job's meta was to hold keys by which Powertools knows what the job runs for."""

    code = "reserved_meta"

    def __init__(self, worker: str, keys: Sequence[str]) -> None:
        super().__init__(worker, keys)
        self.worker = worker
        self.keys = tuple(keys)

    def __str__(self) -> str:
        return (
            f"the meta of a job of {self.worker} was to hold {', '.join(self.keys)}, by which Powertools knows what a "
            "job runs for: use other keys, and leave these out where a step's meta is copied to another job"
        )


class AnotherLoopError(PowertoolsError, RuntimeError):
    """A call came from another event loop, or thread, than the one that entered Powertools."""

    code = "another_loop"

    def __str__(self) -> str:
        return (
            "this Powertools was entered in another event loop: call it from there "
            "(asyncio.run_coroutine_threadsafe from another thread), or enter one of its own here"
        )


class NotInStepError(PowertoolsError):
    """Asked for the current step outside a step's worker."""

    code = "not_in_step"

    def __str__(self) -> str:
        return "no workflow step runs here: current_step() works only inside a worker that runs a step's job"
