"""Workers of the workflows that are under way in the dump: their names are stored in it, so they stay here."""

from typing import Any

from oban.decorators import worker

MENDED: set[str] = set()
"""What the world has mended, by the names that FailUntilMended asks for."""


class Echo:
    """Returns its argument."""

    async def process(self, job: Any) -> Any:
        return job.args["x"]


class FailUntilMended:
    """Fails until somebody has mended what it needs."""

    async def process(self, job: Any) -> Any:
        if job.args["needs"] not in MENDED:
            raise RuntimeError(f"{job.args['needs']} is broken")
        return "mended"


@worker(queue="later")
class Item:
    """Returns its item, twice."""

    async def process(self, job: Any) -> Any:
        return job.args["item"] * 2
