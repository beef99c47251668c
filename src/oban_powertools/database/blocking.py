"""A synchronous connection with the interface of an asynchronous one, whose awaits return at once.

The same server connection, so the caller's transaction stays the caller's. Not for closing it: whoever made it does.
"""

import threading
from typing import Any

from psycopg import AsyncConnection
from psycopg import Connection as SyncConnection


class BlockingConnection(AsyncConnection[Any]):
    """What ``drive`` runs our calls on.

    Args:
        conn: Open; it blocks the thread that calls.
        prepares: Whether statements may be prepared. Not on a caller's connection: both would give one name to two.
    """

    def __init__(self, conn: SyncConnection[Any], *, prepares: bool) -> None:
        handlers = conn.pgconn.notice_handler, conn.pgconn.notify_handler
        super().__init__(conn.pgconn)
        # The notices and notifications are still for those who asked for them.
        conn.pgconn.notice_handler, conn.pgconn.notify_handler = handlers
        self._waiting = conn
        self._autocommit = conn.autocommit
        self.lock: Any = _Lock(conn.lock)
        if not prepares:
            self.prepare_threshold = None

    async def wait(self, *args: Any, **options: Any) -> Any:
        """As psycopg's, in the thread that calls."""
        return self._waiting.wait(*args, **options)

    def __del__(self, *_: Any) -> None:
        """Nothing: the connection below may live on."""


class _Lock:
    """The lock of the connection below, for ``async with``: another thread that uses it waits."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
