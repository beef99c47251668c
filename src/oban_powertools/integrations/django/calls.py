"""The calls on Django's own connections: ``powertools``, opened by the first call that needs them.

What a call reads and writes is in the transaction of the thread that calls: inside ``transaction.atomic()`` it is part
of it. Waiting, subscriptions, webhooks and metrics run beside it, on a loop and connections of their own.
"""

import atexit
import threading
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from typing import Any, Final

import psycopg
from django.core.signals import setting_changed
from django.db.backends.base.base import BaseDatabaseWrapper
from oban import Job

from ...database import Queries, Session
from ...database.queries import begin_callers
from ...driving import drive
from ...runtime.bulk_insert import insert_in_bulk
from ...sync import SyncCalls
from ...sync.connections import callers_connection
from ...sync.runs import Runs, Wanted
from .configuration import SETTING, configuration, djangos_connection, find_dsn


class DjangoCalls(SyncCalls):
    """The synchronous calls on Django's connection of the thread that calls.

    Made by this module as ``powertools``. A call made in an ``async`` view is refused by Django
    (``SynchronousOnlyOperation``): ``await sync_to_async(powertools.workflows.insert)(workflow)``.
    """

    def __init__(self) -> None:
        super().__init__(_Latest())

    def close(self) -> None:
        """End the loop and close its connections; the next call opens them again."""
        self._runs.close()


class _Latest:
    """The runs for what the settings say: a test has another database than the process that started it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._settings: dict[str, Any] | None = None
        self._runs: Runs | None = None

    def find_calls(self) -> Any:
        """The calls to be driven."""
        return self._find().find_calls()

    def find_background(self) -> Any:
        """The loop for what needs one."""
        return self._find().find_background()

    def close(self) -> None:
        """Close what was opened; it is opened again when it is needed."""
        with self._lock:
            runs, self._runs = self._runs, None
        if runs is not None:
            runs.close()

    def _find(self) -> Runs:
        settings = djangos_connection().settings_dict
        with self._lock:
            if self._runs is None or settings != self._settings:
                self.close()
                self._settings, self._runs = deepcopy(settings), Runs(_wanted(), on_session)
            return self._runs


def _wanted() -> Wanted:
    said = configuration()
    return Wanted(
        source=find_dsn(), authorize=said.authorize, display=said.display, names=said.names, settings=said.settings
    )


powertools: Final = DjangoCalls()
"""The calls of this process."""

atexit.register(powertools.close)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in (SETTING, "DATABASES"):
        configuration.cache_clear()
        powertools.close()


setting_changed.connect(_forget, dispatch_uid="powertools")


def enqueue(*jobs: Job) -> list[Job]:
    """Insert plain jobs on Django's connection: inside ``transaction.atomic()`` they are part of it.

        enqueue(send_receipt.new(order_id=order.pk))

    Returns:
        The same jobs, with what the database gave them: ids, instants, states.
    """
    if not jobs:
        return []
    return drive(_insert(jobs))


async def _insert(jobs: Sequence[Job]) -> list[Job]:
    async with on_session(Queries(configuration().names)) as session:
        return await insert_in_bulk(session, jobs)


@asynccontextmanager
async def on_session(queries: Queries) -> AsyncGenerator[Session]:
    """A session on Django's connection of this thread, in its transaction where it has one."""
    connection = djangos_connection()
    with connection.cursor():  # connects where that is due, and replaces a connection that does not answer
        connection.validate_no_broken_transaction()
    conn = callers_connection(connection)
    await begin_callers(conn)
    with _noticing(connection):
        yield Session(conn, queries)


@contextmanager
def _noticing(connection: BaseDatabaseWrapper) -> Generator[None]:
    """Let Django look at the end of the request whether the connection still works."""
    try:
        yield
    except psycopg.OperationalError:
        connection.errors_occurred = True
        raise
