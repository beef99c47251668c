"""A worker's process with the release that is on the path: works on both queues until its input ends."""

import asyncio
import sys

from oban_powertools import Powertools


async def main(dsn: str) -> None:
    """Say where the code comes from once it works."""
    async with Powertools.open(dsn, queues={"default": 5, "later": 5}, leadership=False):
        sys.stdout.write(f"{sys.modules['oban_powertools'].__file__}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
