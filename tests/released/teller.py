"""A process with the release that is on the path: looks for incidents, and dispatches and delivers webhooks."""

import asyncio
import sys
from datetime import timedelta

from oban_powertools import Powertools, Settings

OFTEN = timedelta(milliseconds=200)


async def main(dsn: str) -> None:
    """Say where the code comes from once it works; until its input ends."""
    settings = Settings(sweep_every=OFTEN, incidents_every=OFTEN)
    queues = {"powertools_webhooks": 5}
    async with Powertools.open(dsn, queues=queues, leadership=False, settings=settings):
        sys.stdout.write(f"{sys.modules['oban_powertools'].__file__}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
