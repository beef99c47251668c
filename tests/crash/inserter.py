"""A process that inserts a workflow under each of these idempotency keys and tells whether it was new.

Several are inserted in slices, and each is as large as one.
"""

import asyncio
import sys

from oban_powertools import Powertools, Workflow
from tests.crash.steps import step


def once(key: str, steps: int) -> Workflow:
    workflow = Workflow("once", idempotency_key=key)
    before = workflow.add("s0", step())
    for place in range(1, steps):
        before = workflow.add(f"s{place}", step(inputs=[before.result]))
    return workflow


async def main(dsn: str, *keys: str) -> None:
    workflows = [once(key, 2 if len(keys) == 1 else 1000) for key in keys]
    async with Powertools.open(dsn) as powertools:
        handles = await powertools.workflows.insert_many(workflows, atomic=len(keys) == 1)
    print(*[handle.inserted for handle in handles])  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
