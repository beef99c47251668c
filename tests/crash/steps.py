"""The steps of the crash tests: one worker that does what its args say and writes the ledger."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from oban import Cancel, Job, Snooze

from tests.support import ledger


class Step:
    """Returns 1 + the sum of its inputs, so that a lost, doubled or stale result shows.

    Args of the job: ``inputs`` (numbers, null counts 0), ``outcome`` (ok, retry, snooze, cancel, discard,
    busy: blocks the event loop for 3 s, kill: ends the process), ``gate``
    (the first attempt waits for this one in the middle, the second for the next).
    """

    async def process(self, job: Job) -> Any:
        ledger.write("start")
        if gate := job.args.get("gate"):
            await ledger.pass_gate(gate + job.attempt - 1)
        ledger.write("end")
        match job.args.get("outcome", "ok"):
            case "retry" if job.attempt == 1:
                raise RuntimeError("once")
            case "snooze" if "snoozed" not in job.meta:
                return Snooze(0)
            case "busy":
                until = time.monotonic() + 3
                while time.monotonic() < until:
                    pass
                return "busy"
            case "kill":
                os._exit(137)
            case "cancel":
                return Cancel("on purpose")
            case "discard":
                raise RuntimeError("on purpose")
            case _:
                return 1 + sum(value or 0 for value in job.args.get("inputs", []))

    def backoff(self, job: Job) -> int:
        return 0


class PlainStep:
    """Returns 1, from a thread: ``process`` is a plain function. ``gate`` as that of ``Step``."""

    def process(self, job: Job) -> int:
        ledger.write("start")
        asyncio.run(ledger.pass_gate(job.args["gate"] + job.attempt - 1))
        ledger.write("end")
        return 1

    def backoff(self, job: Job) -> int:
        return 0


class Finished:
    """The worker of a job that tells the end of a workflow."""

    async def process(self, job: Job) -> None:
        pass


def step(outcome: str = "ok", *, inputs: Sequence[Any] = (), gate: int | None = None, queue: str = "default") -> Job:
    """A job for a workflow's step; one that is to be discarded has one attempt."""
    args: dict[str, Any] = {"outcome": outcome}
    if inputs:
        args["inputs"] = list(inputs)
    if gate:
        args["gate"] = gate
    return Job("tests.crash.steps.Step", args=args, queue=queue, max_attempts=1 if outcome == "discard" else 20)


def finished(*, queue: str = "default") -> Job:
    """A job for a workflow's ``on_finished``."""
    return Job("tests.crash.steps.Finished", queue=queue)
