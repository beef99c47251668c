"""The step that every benchmark runs: it does nothing, so that the engine's own cost is what is measured."""

import asyncio
from collections.abc import Callable
from typing import Any

from oban import Job
from oban.decorators import worker


class Counter:
    """How often this process ran a step."""

    def __init__(self) -> None:
        self.value = 0

    def no_op(self, i: int) -> dict[str, Any]:
        """Count, and return a tiny result."""
        self.value += 1
        return {"ok": True, "i": i}


COUNTER = Counter()


class Body:
    """What a step does; ``bench.peers`` brings its own, which counts across processes."""

    run: Callable[[int], dict[str, Any]] = COUNTER.no_op


@worker(queue="default", max_attempts=3)
class NoOp:
    """Returns a small dict."""

    async def process(self, job: Job) -> dict[str, Any]:
        return Body.run(job.args["i"])


@worker(queue="default", max_attempts=3)
class Wait:
    """Runs until its process ends."""

    async def process(self, job: Job) -> None:  # noqa: ARG002 - what Oban calls
        await asyncio.Event().wait()
