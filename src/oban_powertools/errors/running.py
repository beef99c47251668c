"""Errors of code that waits, or that runs in a worker."""

from collections.abc import Sequence
from datetime import timedelta

from psycopg_pool import PoolClosed

from .base import PowertoolsError


class WaitTimeoutError(PowertoolsError, TimeoutError):
    """The workflow had not ended within the time the caller was willing to wait."""

    code = "wait_timeout"
    sentence = (
        "workflow {workflow_id} has not ended after {waited_for}: powertools workflow explain {workflow_id} says why"
    )

    workflow_id: int
    waited_for: timedelta


class StepNotCompletedError(PowertoolsError):
    """The result of a step was asked for, and its workflow has ended without one."""

    code = "step_not_completed"
    sentence = (
        "step {step!r} of workflow {workflow_id} is {state}, so it has no result: powertools workflow explain "
        "{workflow_id} {step!r} says why"
    )

    workflow_id: int
    step: str
    state: str


class PowertoolsClosedError(PowertoolsError, PoolClosed):
    """A call came after Powertools, or its calls, were left, or before they were entered; or this ended its waiting.

    What is stored goes on. It is psycopg's ``PoolClosed`` too, because that is what such a call used to raise.
    """

    code = "powertools_closed"
    sentence = (
        "this Powertools is closed, or not open yet, which ends all waiting here: make calls within `async with`, or "
        "between `start` and `close`"
    )


class ReservedMetaError(PowertoolsError):
    """A job's meta contains keys by which Powertools knows what the job runs for."""

    code = "reserved_meta"
    sentence = (
        "the meta of a job of {worker} contains {keys}, by which Powertools knows what a job runs for: use other "
        "keys, and leave these out where a step's meta is copied to another job"
    )

    worker: str
    keys: Sequence[str]


class AnotherLoopError(PowertoolsError, RuntimeError):
    """A call came from another event loop, or thread, than the one that entered Powertools."""

    code = "another_loop"
    sentence = (
        "this Powertools was entered in another event loop: call it from there (asyncio.run_coroutine_threadsafe from "
        "another thread), or enter one of its own here"
    )


class NotInStepError(PowertoolsError):
    """Asked for the current step outside a step's worker."""

    code = "not_in_step"
    sentence = "no workflow step runs here: current_step() works only inside a worker that runs a step's job"


class NotInWorkerError(PowertoolsError):
    """Asked for the calls of the process that runs a worker where they cannot be had."""

    code = "not_in_worker"
    sentence = "the calls of the process that runs a worker cannot be had here: {why}"

    why: str


class FunctionProcessEndedError(PowertoolsError):
    """The process in which a plain function ran has ended before the function did."""

    code = "function_process_ended"
    sentence = (
        "the process {pid} that ran {worker} {how}; no other attempt was in it. A SIGKILL that nobody sent is mostly "
        "the kernel's, out of memory; an exit code is that of an os._exit(), in the function or in what it calls"
    )

    worker: str
    pid: int
    how: str


class InlineModeError(PowertoolsError):
    """A workflow is inserted while Oban's testing mode is ``inline``, in which nothing would ever run it."""

    code = "inline_mode"
    sentence = (
        "workflow {workflow} is inserted while Oban's testing mode is inline: the database moves a workflow on, so no "
        "call can run it to its end; run it with the fixture workflow_runner (oban_powertools.testing), or insert it "
        "inside of `with oban.testing.mode('manual'):`"
    )

    workflow: str


class OpenedInWorkerError(PowertoolsError):
    """A worker opens another Powertools on the Oban instance of its own process."""

    code = "opened_in_worker"
    sentence = (
        "the worker {worker} opens another Powertools on an Oban named {instance}, which would take over every "
        "enqueue() of this process: call current_powertools(), in a plain function "
        "oban_powertools.sync.current_sync_calls(); or "
        "pass name= for an Oban of its own"
    )

    worker: str
    instance: str
