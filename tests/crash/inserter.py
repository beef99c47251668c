"""A process that inserts one workflow under an idempotency key and tells whether it was new."""

import asyncio
import sys

from oban_powertools import Powertools, Workflow
from tests.crash.steps import step


async def main(dsn: str, key: str) -> None:
    workflow = Workflow("once", idempotency_key=key)
    a = workflow.add("a", step())
    workflow.add("b", step(inputs=[a.result]))
    async with Powertools.open(dsn) as powertools:
        handle = await powertools.workflows.insert(workflow)
    print(handle.inserted)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
