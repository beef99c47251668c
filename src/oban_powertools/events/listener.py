"""Listen for notifications on one connection, beside the pools.

A notification only means "look now": its payload is never read, so a forged one costs one look at the log. The
listener only saves waiting: everything works without it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import psycopg

from ..database import Connection, ConnectListener
from ..privacy.logs import find_logger

logger: Final = find_logger(__name__)

SPACING: Final = 0.01
"""Seconds between two looks, so that a flood of notifications costs no more than this."""

_FIRST_PAUSE: Final = 0.02
"""Seconds until a lost connection is made again; each failure in a row doubles it."""

_HELD_FOR: Final = 1.0
"""A connection that lived for so many seconds ends the row of failures."""

_PROOF_WITHIN: Final = 5.0
"""Seconds until a notification of our own must have arrived."""

_LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries to connect, at most."""

_UNPROVEN_PAUSE: Final = 60.0
"""Seconds until the next try where notifications do not arrive."""

_RANDOM: Final = random.SystemRandom()


class Listener:
    """Calls ``wake`` when a notification arrives.

    Args:
        connect: A connection of its own; it is closed here.
        listen: The LISTEN statement.
        notify: Sends a notification through the pool, to prove that they arrive.
        wake: Called at most every 10 ms.
    """

    def __init__(
        self,
        connect: ConnectListener,
        listen: bytes,
        notify: Callable[[], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._listen = listen
        self._notify = notify
        self._wake = wake
        self._told = False
        self.working: bool = False

    async def run(self) -> None:
        """Listen until cancelled; connect again when the connection is lost."""
        loop, pause, warned = asyncio.get_running_loop(), _FIRST_PAUSE, False
        while True:
            began_at = loop.time()
            try:
                pause = await self._listen_once()
            except Exception as error:  # noqa: BLE001 - the top of the loop
                if self.working or not warned:
                    logger.warning("not listening for events, polling meanwhile: %s", error)
                warned = True
                lasted = self.working and loop.time() - began_at > _HELD_FOR
                pause = _FIRST_PAUSE if lasted else min(_LONGEST_PAUSE, pause * 2)
            finally:
                self.working = False
                self._wake()  # no notification tells of what came meanwhile
            await asyncio.sleep(pause * _RANDOM.uniform(0.5, 1))

    async def _listen_once(self) -> float:
        async with await self._connect() as conn:
            await conn.execute(self._listen)
            await self._notify()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PROOF_WITHIN):
                    while not await _notified(conn):
                        pass
                    self.working = True
            while self.working:
                self._wake()
                await asyncio.sleep(SPACING)
                while not await _notified(conn):
                    pass
        if not self._told:
            self._told = True
            logger.warning(
                "notifications do not arrive (a pooler in transaction mode?), events are polled for; "
                "the setting listen_dsn names a direct way to the database, listen=False turns this off"
            )
        return _UNPROVEN_PAUSE


async def _notified(conn: Connection) -> bool:
    """Wait until the server has sent something; whether a notification was among it.

    Not psycopg's own ``notifies()``: it decodes the payload, and anybody can send any payload.
    """
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    socket = conn.fileno()
    loop.add_reader(socket, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(socket)
    conn.pgconn.consume_input()
    if conn.pgconn.status != psycopg.pq.ConnStatus.OK:
        raise psycopg.OperationalError("the connection is lost")
    notified = False
    while conn.pgconn.notifies() is not None:
        notified = True
    return notified
