"""A worker process: runs until its input ends, or until it is killed.

python -m tests.crash.node '{"dsn": ..., "turbo": true, "queues": {"default": 10}, "oban": {}}'
"""

import asyncio
import json
import logging
import sys
import time
from datetime import datetime, timedelta
from typing import Any

from oban_powertools import Powertools
from oban_powertools.config import Settings


def set_clock(off: timedelta) -> None:
    """Have every module of Oban's and ours read a clock that is wrong."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + off

    real = time.time
    time.time = lambda: real() + off.total_seconds()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("oban", "oban_powertools") and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Clock


async def main(spec: dict[str, Any]) -> None:
    settings = Settings(
        sweep_every=timedelta(seconds=spec["sweep_every"]),
        executor_gone_after=timedelta(seconds=spec["gone_after"]),
        executor_late_after=timedelta(seconds=spec["late_after"]),
    )
    if spec["clock_off_by"]:
        set_clock(timedelta(seconds=spec["clock_off_by"]))
    async with Powertools.open(
        spec["dsn"], queues=spec["queues"], turbo=spec["turbo"], settings=settings, leadership=False, **spec["oban"]
    ):
        print("ready", flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    asyncio.run(main(json.loads(sys.argv[1])))
