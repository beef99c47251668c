"""Workers that handle secrets as users do: in args, results, errors and local variables."""

from typing import Any

from oban import Cancel, Job


class Keep:
    """Completes with what it is told to return."""

    async def process(self, job: Job) -> Any:
        return job.args["returns"]


class Break:
    """Fails with what it is told to say, and something in a local variable."""

    async def process(self, job: Job) -> None:
        held = "velvet" + "local"
        raise RuntimeError(job.args["says"] if held else held)


class GiveUp:
    """Cancels itself with what it is told to say."""

    async def process(self, job: Job) -> Cancel:
        return Cancel(job.args["says"])
