"""What the synchronous calls of one process run on: a pool, the asynchronous calls driven on it, and one loop.

Each is opened by the first call that needs it. The rule that must never break: a child made by ``fork`` opens its own,
and leaves those of its parent alone.
"""

import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from ..calls import Calls, open_calls
from ..config import Names, Settings
from ..database import Connection, Queries, Session
from ..driving import drive
from ..errors import PowertoolsClosedError
from ..operators.authorization import Authorize, Guard
from ..operators.services import Services
from ..privacy.display import DisplayPolicy
from ..schema import verify
from ..upkeep.settings import adopt
from .background import Background, OnLoop
from .connections import SyncOptions, SyncSource, blocking_pool, connecting, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What ``open_sync_calls`` was given."""

    source: SyncSource
    authorize: Authorize | None
    display: DisplayPolicy | None
    names: Names
    settings: Settings


type OnHost = Callable[[Queries], AbstractAsyncContextManager[Session]]
"""Gives a session on a connection of the host's."""


async def listen_nowhere() -> Connection:
    """For calls that are driven: only those on a loop listen."""
    raise AssertionError("only the calls on a loop listen")


class Runs:
    """Opens what a call needs, once, and closes it all.

    Args:
        on_host: A session on the host's connection of the thread that calls, instead of a pool of our own.
    """

    def __init__(self, wanted: Wanted, on_host: OnHost | None = None) -> None:
        self._wanted = wanted
        self._on_host = on_host
        self._queries = Queries(wanted.names)
        self._closed = False
        self.forget()
        _ALL.add(self)

    def forget(self) -> None:
        """Leave what was opened to the parent process, which uses it."""
        self._lock = threading.RLock()
        self._pool: ConnectionPool[Any] | None = None
        self._calls: Calls | None = None
        self._background: OnLoop | None = None

    def find_calls(self) -> Calls:
        """The asynchronous calls, to be driven without a loop.

        Raises:
            PowertoolsClosedError: They were closed.
            SchemaError: The schema is missing, behind, or newer than this release.
        """
        with self._opening():
            if self._calls is None:
                pool = blocking_pool(self._find_options(), self._wanted.settings.pool_size)
                try:
                    drive(self._check(pool))
                except BaseException:
                    pool.close()
                    raise
                if self._on_host is not None:
                    pool.close()
                self._pool, self._calls = pool, self._make_calls(pool)
            return self._calls

    def _find_options(self) -> SyncOptions:
        options = options_of(self._wanted.source)
        return lambda: options

    def find_background(self) -> OnLoop:
        """The loop for what needs one.

        Raises:
            PowertoolsClosedError: They were closed.
        """
        with self._opening():
            if self._background is None:
                self._background = Background(self._open_calls)
            return self._background

    def close(self) -> None:
        """Close the connections, and end the loop; again is harmless."""
        with self._lock:
            self._closed = True
            pool, background = self._pool, self._background
            self.forget()
        if background is not None:
            background.close()
        if pool is not None:
            pool.close()

    def _opening(self) -> threading.RLock:
        if self._closed:
            raise PowertoolsClosedError
        return self._lock

    async def _check(self, pool: ConnectionPool[Any]) -> None:
        async with connecting(pool, self._queries) as session:
            await verify(session.conn, self._wanted.names)
            await adopt(session, self._wanted.settings)

    def _make_calls(self, pool: ConnectionPool[Any]) -> Calls:
        wanted, on_host = self._wanted, self._on_host

        def connect() -> AbstractAsyncContextManager[Session]:
            return connecting(pool, self._queries) if on_host is None else on_host(self._queries)

        services = Services(
            connect=connect,
            connect_listener=listen_nowhere,
            queries=self._queries,
            settings=wanted.settings,
            guard=Guard(wanted.authorize),
            display=wanted.display or DisplayPolicy(),
        )
        return Calls(services)

    @asynccontextmanager
    async def _open_calls(self) -> AsyncGenerator[Calls]:
        wanted = self._wanted
        # Never opened: it says how to connect.
        source = AsyncConnectionPool(make_conninfo("", **options_of(wanted.source)), open=False)
        async with open_calls(
            source,
            authorize=wanted.authorize,
            display=wanted.display,
            schema=wanted.names.schema,
            prefix=wanted.names.prefix,
            settings=wanted.settings,
        ) as calls:
            yield calls


_ALL: Final[weakref.WeakSet[Runs]] = weakref.WeakSet()


def _forget_all() -> None:
    for runs in list(_ALL):
        runs.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
