"""A process that executes one preview several times at once, when a gate opens, and prints what came of each.

python -m tests.crash.repairer DSN TOKEN TIMES GATE
"""

import asyncio
import json
import sys

from psycopg import AsyncConnection

from oban_powertools import Powertools
from oban_powertools.config import Settings
from oban_powertools.errors import PowertoolsError
from tests.support.by_hand import everybody_may
from tests.support.repairing import OPERATOR, REASON


async def main(dsn: str, token: str, times: int, gate: int) -> None:
    settings = Settings(pool_size=times)

    async def execute() -> str:
        try:
            await powertools.lifeline.execute_repair(OPERATOR, token, REASON)
        except PowertoolsError as error:
            return error.code
        return "done"

    async with (
        Powertools.open(dsn, authorize=everybody_may, settings=settings) as powertools,
        await AsyncConnection.connect(dsn, autocommit=True) as conn,
    ):
        await conn.execute("SELECT pg_advisory_xact_lock_shared(%s)", (gate,))
        print(json.dumps(await asyncio.gather(*(execute() for _ in range(times)))))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
