"""Send the heartbeats of this process's executors, from a thread with a connection of its own.

So neither a blocked event loop nor a busy pool looks like a dead process. The thread also notices when a process of
the same host has ended, so that its successor need not wait. The rules that must never break: an executor is reported
as stopped only when nothing of it can run any more; and the thread never keeps a process from ending.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from ..config import Settings, shared_json
from ..database import Queries
from ..database.pools import blocking_connection, lives, may_change, resolve
from ..every import Every
from ..privacy.display import DisplayPolicy
from ..privacy.logs import find_logger
from .executors import Beat, beat_args
from .processes import find_ended, this_process
from .stacks import Stacks, Tasks

logger: Final = find_logger(__name__)

BEATS: Final = 5
"""Heartbeats within the time after which an executor is gone; half of that time may pass without one (executors/R2)."""

_LOOK_EVERY: Final = 0.25
"""Seconds between two checks for executors that started or stopped, and for the end of the process."""

_LOOK_AROUND_EVERY: Final = timedelta(seconds=1)
"""Between two checks whether other processes of this host have ended: a few system calls for each."""

_LOOK_EVERY_AT_END: Final = 0.02
"""The same, while the process waits for the last of them."""

_CONNECT_EVERY: Final = 0.2
"""Seconds between two tries to connect while the database is away, at most; jittered."""

_ANSWER_WITHIN: Final = 1.0
"""Seconds within which the host's functions must return how to connect."""

_RANDOM: Final = random.SystemRandom()

_FAREWELL: Final = timedelta(seconds=2)
"""How long the end of a process may wait for its last message to reach the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalExecutor:
    """A producer of this process."""

    executor_id: str
    """Its id."""

    node: str
    """As jobs carry it."""

    producer: str
    """As jobs carry it."""

    queue: str
    """Its queue."""

    aside: int
    """Outcomes that it has set aside."""

    aside_age: float | None
    """Seconds since the oldest of them was set aside."""

    known: bool
    """Whether the database knows it."""

    asked_to_stop: bool
    """Whether it stops, or has stopped, on request."""

    stopped: bool
    """Whether nothing of it can run any more."""


class Producers(Protocol):
    """Knows the executors of this process."""

    def executors(self) -> Sequence[LocalExecutor]:
        """Those that have been started here and are not forgotten, stopped or not."""
        ...

    def tasks(self) -> Mapping[str, Tasks]:
        """What runs here, by the ids of the executors."""
        ...

    def thread_of(self, job_id: int) -> int | None:
        """The id of the thread in which a job's plain function runs; None where it runs in none."""
        ...

    def know(self, executors: Sequence[LocalExecutor]) -> None:
        """The database knows these."""
        ...

    def know_hung(self, ids: Collection[int]) -> None:
        """These jobs seem to hang, wherever they run."""
        ...

    def forget(self, executors: Sequence[LocalExecutor]) -> None:
        """The database knows that these have stopped."""
        ...

    def look_again(self) -> None:
        """Called in the event loop when the database is back: notifications were lost meanwhile."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Neighbour:
    executor_id: str
    pid: int
    ticks: int


class Heartbeats:
    """Sends heartbeats for every executor of this process until all of them have stopped.

    Args:
        producers: Knows the executors; asked from the thread.
        pool: Leads to the database; none of its connections is used.
        display: Decides what is stored of what hung tasks are doing; asked from the thread.
        on_death: Called in the event loop when a process of this host was seen to have ended.
    """

    def __init__(
        self,
        producers: Producers,
        pool: AsyncConnectionPool[Any],
        queries: Queries,
        settings: Settings,
        display: DisplayPolicy,
        on_death: Callable[[], None],
    ) -> None:
        self._producers = producers
        self._on_death = on_death
        self._here = this_process()
        self._neighbours: tuple[_Neighbour, ...] = ()
        self._look_around = Every(_LOOK_AROUND_EVERY)
        self._seen_by = ""
        self._pool = pool
        self._queries = queries
        self._settings = settings
        self._display = display
        self._started_with = shared_json(settings)
        self._gone_after = settings.executor_gone_after
        self._every = self._gone_after / BEATS
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="powertools-heartbeats")
        self._conn: psycopg.Connection[Any] | None = None
        self._failures = 0

    async def start(self) -> None:
        """Start; returns after the first heartbeat, or after a few seconds."""
        self._loop = asyncio.get_running_loop()
        self._stacks = Stacks(self._display, self._producers.thread_of)
        self._parameters = await resolve(self._pool)
        self._answered_at = time.monotonic()
        self._first = asyncio.Event()
        self._thread.start()
        try:
            await asyncio.wait_for(self._first.wait(), 5)
        except TimeoutError:
            logger.warning("no heartbeat has reached the database yet; it goes on being tried")

    def close(self) -> None:
        """End as soon as the last executor has stopped, which may be later."""
        self._closing.set()

    async def ended(self) -> None:
        """Wait until the database knows that every executor has stopped, if it can be reached."""
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 2 * _FAREWELL.total_seconds())

    # In the thread

    def _run(self) -> None:
        try:
            self._beat_on()
        finally:
            self._disconnect()

    def _beat_on(self) -> None:
        beat = Every(self._every)
        while True:
            stopped = [executor for executor in self._producers.executors() if executor.stopped]
            if stopped and self._try(self._say_stopped, stopped):
                self._producers.forget(stopped)
            if self._is_over():
                return self._end()
            if beat.is_due or self._has_new() or self._has_lost():
                beaten = self._try(self._beat)
                beat.rest(None if beaten else timedelta(seconds=_CONNECT_EVERY * _RANDOM.uniform(0.5, 1)))
            if not self._failures and (dead := self._find_dead()):
                # The database does not believe it while the session lives: it is reported again at the next check.
                self._try(self._say_dead, dead)
            if self._closing.is_set():
                time.sleep(_LOOK_EVERY_AT_END)
            else:
                look_every = _CONNECT_EVERY / 2 if self._failures else _LOOK_EVERY
                self._closing.wait(min(look_every, self._every.total_seconds()))

    def _is_over(self) -> bool:
        # Nothing can run any more where the event loop or the program itself has ended.
        process_ends = self._loop.is_closed() or not threading.main_thread().is_alive()
        return process_ends or (self._closing.is_set() and not self._producers.executors())

    def _has_new(self) -> bool:
        # While the database is away, all other executors are late as well.
        return not self._failures and any(not executor.known for executor in self._producers.executors())

    def _has_lost(self) -> bool:
        # A server that ends says so; it is noticed at the next look, not at the next beat.
        lost = self._conn is not None and not lives(self._conn)
        if lost:
            self._failures = max(1, self._failures)
            self._disconnect()
        return lost

    def _end(self) -> None:
        remaining = self._producers.executors()
        give_up_at = time.monotonic() + _FAREWELL.total_seconds()
        while remaining and not self._try(self._say_stopped, remaining) and time.monotonic() < give_up_at:
            time.sleep(0.1)

    def _try(self, say: Callable[..., None], *args: Any) -> bool:
        try:
            say(*args)
        except Exception as error:  # noqa: BLE001 - whatever it was, the next beat is tried on a new connection
            logger.log(
                logging.DEBUG if self._failures > 1 else logging.WARNING, "heartbeat failed, trying again: %s", error
            )
            self._failures += 1
            self._disconnect()
            return False
        if self._failures:
            self._call_in_loop(self._producers.look_again)
        self._failures = 0
        return True

    def _beat(self) -> None:
        running = [executor for executor in self._producers.executors() if not executor.stopped]
        if running:
            loop_age = time.monotonic() - self._answered_at
            beats = [
                Beat(
                    executor_id=executor.executor_id,
                    node=executor.node,
                    producer=executor.producer,
                    producer_scope=executor.queue,
                    gone_after=self._gone_after,
                    loop_age=loop_age,
                    aside=executor.aside,
                    aside_age=executor.aside_age,
                )
                for executor in running
            ]
            row = self._execute("beat", beat_args(beats, self._settings, self._here, self._started_with))
            self._remember(row, running[0].executor_id)
            self._producers.know(running)
            self._producers.know_hung(row["hung"])
            self._tell_stacks(row["hung"], blocked=loop_age > self._settings.executor_late_after.total_seconds())
        self._call_in_loop(self._answer)

    def _tell_stacks(self, hung: Collection[int], *, blocked: bool) -> None:
        if hung or blocked or self._stacks.tells_some:
            for executor_id, stacks in self._stacks.changes(self._producers.tasks(), hung, blocked=blocked):
                self._execute("keep_stacks", {"executor_id": executor_id, "stacks": stacks})

    def _say_stopped(self, executors: Sequence[LocalExecutor]) -> None:
        abrupt = [executor.executor_id for executor in executors if not executor.asked_to_stop]
        args = {"executor_ids": [executor.executor_id for executor in executors], "abrupt_ids": abrupt}
        self._execute("stop_executors", args)

    def _remember(self, row: dict[str, Any], seen_by: str) -> None:
        self._seen_by = seen_by
        self._look_around.hurry()
        columns = zip(row["ids"], row["pids"], row["starts"], strict=True)
        self._neighbours = tuple(_Neighbour(executor_id=i, pid=pid, ticks=ticks) for i, pid, ticks in columns)

    def _find_dead(self) -> list[_Neighbour]:
        if self._failures or not self._look_around.take():
            return []
        dead = find_ended((n.pid, n.ticks) for n in self._neighbours)
        return [n for n in self._neighbours if (n.pid, n.ticks) in dead]

    def _say_dead(self, dead: Sequence[_Neighbour]) -> None:
        assert self._here is not None
        args = {"ids": [n.executor_id for n in dead], "host": self._here.host, "seen_by": self._seen_by}
        died = self._execute("executors_died", args)["died"]
        if died == len(dead):
            self._neighbours = tuple(n for n in self._neighbours if n not in dead)
        if died:
            self._call_in_loop(self._on_death)

    def _execute(self, query: str, args: dict[str, Any]) -> dict[str, Any]:
        if self._conn is None:
            self._conn = self._connect()
        with self._conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(self._queries[query], args).fetchone() or {}

    def _connect(self) -> psycopg.Connection[Any]:
        seconds = self._gone_after.total_seconds() / 3
        # A connection that hangs is given up in time for another one to beat.
        return blocking_connection(self._ask_parameters(), hangs_for=seconds)

    def _ask_parameters(self) -> dict[str, Any]:
        """Call the host's functions in its event loop; while that is blocked, their last answer has to do."""
        if may_change(self._pool) and not self._loop.is_closed():
            future = asyncio.run_coroutine_threadsafe(resolve(self._pool), self._loop)
            try:
                self._parameters = future.result(_ANSWER_WITHIN)
            except TimeoutError:
                future.cancel()
        return self._parameters

    def _call_in_loop(self, callback: Callable[[], None]) -> None:
        # It may end at any moment, and its end is noticed elsewhere.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback)

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    # In the event loop

    def _answer(self) -> None:
        self._answered_at = time.monotonic()
        self._first.set()
