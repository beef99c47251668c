"""A worker process: runs until its input ends, or until it is killed.

python -m tests.crash.node '{"dsn": ..., "turbo": true, "queues": {"default": 10}, "oban": {}}'
"""

import asyncio
import json
import logging
import sys
from datetime import timedelta
from typing import Any

from oban_powertools import Powertools
from oban_powertools.config import Settings


async def main(spec: dict[str, Any]) -> None:
    settings = Settings(sweep_every=timedelta(seconds=spec["sweep_every"]))
    async with Powertools.open(
        spec["dsn"], queues=spec["queues"], turbo=spec["turbo"], settings=settings, leadership=False, **spec["oban"]
    ):
        print("ready", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    asyncio.run(main(json.loads(sys.argv[1])))
