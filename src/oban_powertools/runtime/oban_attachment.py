"""One Oban instance that Powertools serves: its collaborators, its executors, and what they have in hand.

What Oban calls is in ``oban_hooks``. The rule that must never break: whatever another thread reads here, the
heartbeats', it reads without waiting for the event loop.
"""
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from oban import Job, Oban
from oban._backoff import jittery_clamped
from oban._executor import AckAction
from oban._producer import Producer
from oban._query import Query
from psycopg_pool import AsyncConnectionPool

from ..config import Settings, import_name_of
from ..database import Connection, Queries, Session
from ..database.pools import taken
from ..operators.authorization import distinct
from ..privacy.logs import find_logger
from ..workflows.job_identity import is_step
from .acknowledging import Acknowledger
from .executors import LONGEST_NAME
from .function_processes import FunctionProcesses
from .heartbeats import LocalExecutor
from .oban_acks import AckStore
from .oban_attempts import AttemptHost, attempts_of, is_torn_down
from .rescue import Hand
from .stacks import Tasks
from .threads import Threads

logger: Final = find_logger(__name__)

_KNOWN_WITHIN: Final = 2.0
"""Seconds for which a producer's first fetch waits for its first heartbeat."""

_DEAF_FOR: Final = 3.0
"""Seconds after a lost connection during which Oban's notifier may not be listening yet."""

_DEAF_LOOKS: Final = 15
"""Fetches of every queue within that time."""


@dataclass(frozen=True, slots=True)
class Drained:
    """A job that runs without a producer, in a test."""

    job: Job
    """The job."""

    blocks: bool
    """Whether its worker is a plain function."""


class Attachment:
    """One Oban instance that the hooks serve."""

    def __init__(self, oban: Oban, queries: Queries, *, turbo: bool, settings: Settings) -> None:
        self.oban = oban
        self.query: Query = oban._query
        self.queries = queries
        self.turbo = turbo
        self.payload_limit: int = settings.payload_limit
        self.owner: object = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.sync_calls: object = None
        self.drained: Drained | None = None
        self.lock: threading.Lock = threading.Lock()
        self.when_detached: list[Callable[[], None]] = []
        self.own_pool: AsyncConnectionPool[Any] | None = None
        self.guests: AsyncConnectionPool[Any] | None = None
        store = AckStore(self.query, self.connect, turbo=turbo)
        self.acknowledge: Acknowledger = Acknowledger(store.store, store.keep_late, jittery_clamped, stops=self._stops)
        self.threads: Threads = Threads(
            lambda: settings.function_threads or 2 * self._jobs_at_once(), settings.around_functions
        )
        around = [name for each in settings.around_functions if (name := import_name_of(each))]
        self.processes: FunctionProcesses = FunctionProcesses(around, settings.payload_limit)
        self.when_detached.append(self.processes.end)
        self.host: AttemptHost = AttemptHost(
            hangs=self.hangs,
            threads=self.threads,
            processes=self.processes,
            in_process=settings.runs_in_process,
            keep_late=self._keep_late,
        )
        self.rescue: Callable[[], Awaitable[int]] | None = None
        self.sees_fetches = False
        self._fetching: set[str] = set()
        self._started: dict[str, Producer] = {}
        self._known: set[str] = set()
        self._forgotten: set[str] = set()
        self._hung: frozenset[int] = frozenset()
        self._keeping: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Session]:
        """A session on our own pool while it is open, else on a connection of Oban's, which commits at exit."""
        async with taken(self._open(self.own_pool)) as conn:
            yield Session(conn, self.queries)

    @asynccontextmanager
    async def connect_guest(self) -> AsyncGenerator[Connection]:
        """As ``connect``, for callers that hold it while we need another: a pool must not wait for itself."""
        async with taken(self._open(self.guests)) as conn:
            yield conn

    def _open(self, pool: AsyncConnectionPool[Any] | None) -> AsyncConnectionPool[Any]:
        return pool if pool and not pool.closed else self.query._pool

    def running_step_jobs(self) -> dict[int, Job]:
        """The steps' jobs that execute in this process: id -> job."""
        jobs: dict[int, Job] = {}
        for producer in self.oban._producers.values():
            running = cast("dict[int, tuple[Job, object]]", producer._running_jobs)
            jobs |= {job_id: job for job_id, (job, _) in running.items() if is_step(job)}
        return jobs

    def runs(self, job: Job) -> bool:
        """Whether this instance executes this very job now."""
        if self.drained is not None and self.drained.job is job:
            return True
        return any(producer._running_jobs.get(job.id, (None,))[0] is job for producer in self.oban._producers.values())

    def _jobs_at_once(self) -> int:
        return sum(producer._limit for producer in self.oban._producers.values())

    def _keep_late(self, ack: AckAction) -> None:
        # Referred to by the event loop as long as it runs only if we do.
        self._keeping.add(task := asyncio.create_task(self.acknowledge.keep_late([ack])))
        task.add_done_callback(self._keeping.discard)

    def _stops(self) -> bool:
        return any(producer._stopping.is_set() for producer in self.oban._producers.values())

    def executors(self) -> list[LocalExecutor]:
        """Every producer that was started here and is not forgotten, stopped or not; from any thread."""
        for producer in list(self.oban._producers.values()):
            if producer._loop_task is not None and producer._uuid not in self._forgotten:
                self._started[producer._uuid] = producer
        return [self._executor(producer) for producer in list(self._started.values())]

    def _executor(self, producer: Producer) -> LocalExecutor:
        name = "app" if self.oban._name == "Oban" else self.oban._name
        aside, aside_age = self.acknowledge.count_aside(producer._uuid)
        return LocalExecutor(
            executor_id=distinct(f"{name}:oban:{producer._queue}:{producer._node}:{producer._uuid}", LONGEST_NAME),
            node=producer._node,
            producer=producer._uuid,
            queue=producer._queue,
            aside=aside,
            aside_age=aside_age,
            known=producer._uuid in self._known,
            asked_to_stop=producer._stopping.is_set() and not is_torn_down(producer),
            stopped=self._has_stopped(producer),
        )

    def _has_stopped(self, producer: Producer) -> bool:
        # stop() holds the lock until it ends; a job that ignored its cancel, or runs in a thread, runs on.
        ended = producer._stopping.is_set() and not producer._init_lock.locked() and not producer._running_jobs
        return ended and not self.threads.has_orphans(producer._queue)

    def tasks(self) -> dict[str, Tasks]:
        """The tasks of the jobs that run here, by the ids of the executors; from any thread."""
        tasks: dict[str, Tasks] = {}
        for producer in list(self._started.values()):
            running = cast("dict[int, tuple[Job, asyncio.Task[None]]]", producer._running_jobs.copy())
            tasks[self._executor(producer).executor_id] = {job_id: task for job_id, (_, task) in running.items()}
        return tasks

    def thread_of(self, job_id: int) -> int | None:
        """The thread in which a job's plain function runs; from any thread."""
        return self.threads.thread_of(job_id)

    def know(self, executors: Sequence[LocalExecutor]) -> None:
        """The database knows these: from now on their end is noticed."""
        self._known |= {executor.producer for executor in executors}

    async def until_known(self, producer: Producer) -> None:
        """Wait, 2 s at most, until the database knows a producer that wants to fetch.

        Otherwise a job that ends its process at once would have no known executor: rescued late, its crash not counted.
        """
        give_up_at = time.monotonic() + _KNOWN_WITHIN
        while producer._uuid not in self._known:
            if time.monotonic() > give_up_at:
                logger.warning("queue %s fetches before any heartbeat: is Powertools entered?", producer._queue)
                self._known.add(producer._uuid)
            await asyncio.sleep(0.01)

    def forget(self, executors: Sequence[LocalExecutor]) -> None:
        """Leave these out of the executors from now on: a producer that has stopped never starts again."""
        for executor in executors:
            self._forgotten.add(executor.producer)
            self._started.pop(executor.producer, None)

    def hands(self) -> dict[str, Hand]:
        """What the producers have in hand, by their uuid."""
        return {
            p._uuid: Hand(
                queue=p._queue,
                fetching=not self.sees_fetches or p._uuid in self._fetching,
                attempts=frozenset(attempts_of(p)) | self.acknowledge.attempts_aside(),
            )
            for p in self.oban._producers.values()
        }

    @contextmanager
    def fetching(self, producer: Producer) -> Generator[None]:
        """Mark that jobs may be on their way to this producer."""
        self._fetching.add(producer._uuid)
        try:
            yield
        finally:
            self._fetching.discard(producer._uuid)

    def ask_to_stop(self, job: Job) -> None:
        """Make ``job.cancelled()`` return True from now on; what else that does is the dispatcher's business."""
        for producer in self.oban._producers.values():
            if producer._running_jobs.get(job.id, (None,))[0] is job:
                producer._dispatcher.cancel(producer, job)

    def know_hung(self, ids: Collection[int]) -> None:
        """These jobs seem to hang, wherever they run; from any thread."""
        self._hung = frozenset(ids)

    def hangs(self, job_id: int | None) -> bool:
        """Whether a job seems to hang."""
        return job_id in self._hung

    def look_again(self) -> None:
        """Make every queue of the instance acknowledge and fetch now, and again while Oban's notifier may be deaf."""
        loop = asyncio.get_running_loop()
        for turn in range(_DEAF_LOOKS):
            loop.call_later(turn * _DEAF_FOR / _DEAF_LOOKS, self._wake_producers)

    def _wake_producers(self) -> None:
        for producer in self.oban._producers.values():
            producer.notify()

    def wake_producers_later(self) -> None:
        """Make every queue of the instance acknowledge and fetch again in a second."""
        asyncio.get_running_loop().call_later(1.0, self._wake_producers)
