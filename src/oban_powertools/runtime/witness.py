"""See which processes of this host have ended, for a process that sends no heartbeats: a command, a console, a script.

It writes nothing but that evidence, as the heartbeats' thread does (``executors_died_v1``): whoever reads, judges or
rescues finds it in the database, and nobody has to see it a second time. It decides nothing, and rescues nothing. The
rule that must never break: a look that fails changes no answer.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from ..database import Connect, Session
from ..every import Every
from ..privacy.logs import find_logger
from .processes import find_ended, this_process

logger: Final = find_logger(__name__)

_LOOK_EVERY: Final = timedelta(seconds=1)
"""Between two looks, as the heartbeats' thread: one short query, and a few system calls for each process."""


class Witness:
    """Looks around on this host, once a second at most; never again where the database does not take what it saw."""

    def __init__(self) -> None:
        self._here = this_process()
        self._due = Every(_LOOK_EVERY)

    def beside(self, connect: Connect) -> Connect:
        """The same sessions; before each is given, there is a look when one is due."""

        @asynccontextmanager
        async def connecting() -> AsyncGenerator[Session]:
            async with connect() as session:
                await self.look(session)
                yield session

        return connecting

    async def look(self, session: Session) -> None:
        """Store which executors of this host have no process any more.

        Args:
            session: Nothing is done inside a transaction: what was seen is true whatever becomes of that.

        Locks: the executors' rows, by id, skipping locked ones; only when a process has ended.
        """
        idle = session.conn.info.transaction_status is TransactionStatus.IDLE
        if self._here is None or not idle or not self._due.take():
            return
        try:
            rows = await session.all("neighbours", {"host": self._here.host})
            ended = find_ended((row["pid"], row["ticks"]) for row in rows)
            dead = [row["executor_id"] for row in rows if (row["pid"], row["ticks"]) in ended]
            if dead:
                args = {"ids": dead, "host": self._here.host, "seen_by": f"process {os.getpid()}, which reads"}
                await session.run("executors_died", args)
        except psycopg.Error as error:
            # A role that only reads, a server in recovery: heartbeats decide there, as between two hosts.
            logger.debug("what was seen of this host's processes could not be stored: %s", error)
            self._here = None
