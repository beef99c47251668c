"""Turbo: fill Oban's own extension points where they are free.

With ``oban_acks``, ``oban_attempts`` and ``database.oban`` the only file that imports Oban's internals. Correctness
needs no slot, except for results: stock Oban drops a worker's plain return value, so ``executor.wrap_result`` carries
it. The rules that must never break: a slot that somebody else has filled is left alone, and an Oban instance without
Powertools behaves as if this package were absent.

tests/runtime/test_oban_contract.py names everything used here and fails when any of it changes.
"""
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import psycopg
from oban import Job, Oban
from oban import telemetry as oban_telemetry
from oban._backoff import jittery_clamped
from oban._executor import AckAction
from oban._extensions import _extensions
from oban._lifeline import _rescue
from oban._producer import Producer, _get_jobs
from oban._query import Query, _ack_jobs, _insert_jobs
from psycopg_pool import AsyncConnectionPool

from .. import telemetry
from ..config import PAYLOAD_LIMIT, Settings
from ..database import Connection, Queries, Session, crash_points
from ..database.oban import find_connection
from ..database.pools import soon_again
from ..database.sqlstates import is_notify_queue_full
from ..operators.authorization import distinct
from ..privacy.logs import find_logger
from ..workflows.failures import remember_failure
from ..workflows.job_identity import check_plain_jobs, is_step, remember_identities
from .acknowledging import Acknowledger
from .bulk_insert import insert_in_bulk
from .executors import LONGEST_NAME
from .heartbeats import LocalExecutor
from .oban_acks import UNINSTALLED, AckStore
from .oban_attempts import AttemptHost, attempts_of, guard, is_torn_down, unguard
from .rescue import Hand
from .results import wrap_result
from .stacks import Tasks
from .threads import Threads

logger: Final = find_logger(__name__)

SLOTS: Final = (
    "executor.wrap_result",
    "query.ack_jobs",
    "query.insert_jobs",
    "producer.get_jobs",
    "lifeline.rescue",
)
"""The extension points used, by Oban's names."""

_KNOWN_WITHIN: Final = 2.0
"""Seconds for which a producer's first fetch waits for its first heartbeat."""

_DEAF_FOR: Final = 3.0
"""Seconds after a lost connection during which Oban's notifier may not be listening yet."""

_DEAF_LOOKS: Final = 15
"""Fetches of every queue within that time."""

_REGISTRY: Final = cast("dict[str, Callable[..., Any]]", _extensions)


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
        self.lock: threading.Lock = threading.Lock()
        self.when_detached: list[Callable[[], None]] = []
        self.own_pool: AsyncConnectionPool[Any] | None = None
        self.guests: AsyncConnectionPool[Any] | None = None
        store = AckStore(self.query, self.connect, turbo=turbo)
        self.acknowledge: Acknowledger = Acknowledger(store.store, store.keep_late, jittery_clamped, stops=self._stops)
        self.threads: Threads = Threads(
            lambda: settings.function_threads or 2 * self._jobs_at_once(), settings.around_functions
        )
        self.host: AttemptHost = AttemptHost(hangs=self.hangs, threads=self.threads, keep_late=self._keep_late)
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
        async with self._open(self.own_pool).connection() as conn:
            yield Session(conn, self.queries)

    @asynccontextmanager
    async def connect_guest(self) -> AsyncGenerator[Connection]:
        """As ``connect``, for callers that hold it while we need another: a pool must not wait for itself."""
        async with self._open(self.guests).connection() as conn:
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


class Hooks:
    """The functions in Oban's slots; each passes an instance it does not know to Oban's default."""

    def __init__(self) -> None:
        self._attachments: dict[int, Attachment] = {}

    def attach(self, attachment: Attachment) -> None:
        """Serve this instance from now on."""
        self._attachments[id(attachment.query)] = attachment

    def detach(self, attachment: Attachment) -> None:
        """Serve this instance no longer."""
        self._attachments.pop(id(attachment.query), None)

    def find(self, job: Job) -> Attachment | None:
        """The instance that executes this job; None when it is not served from here."""
        return next((attachment for attachment in self._attachments.values() if attachment.runs(job)), None)

    @property
    def _payload_limit(self) -> int:
        # Oban does not say for which instance a result is wrapped.
        limits = [attachment.payload_limit for attachment in self._attachments.values()]
        return max(limits, default=PAYLOAD_LIMIT)

    def wrap_result(self, job: Job, result: Any) -> Any:
        """Slot ``executor.wrap_result``."""
        wrapped = wrap_result(job, result, self._payload_limit)
        remember_failure(job, wrapped)
        return wrapped

    async def ack_jobs(self, query: Query, acks: list[AckAction]) -> list[int]:
        """Slot ``query.ack_jobs``: no outcome stops a queue."""
        attachment = self._attachments.get(id(query))
        if attachment is None:
            return await _ack_jobs(query, acks)
        crash_points.reached("before_ack")
        try:
            with telemetry.span(telemetry.Name.ACK, jobs=len(acks)) as measured:
                acked = await attachment.acknowledge(acks)
                measured["acknowledged"] = len(acked)
        except Exception:
            # Oban asks again only when something wakes the queue (oban/O13).
            attachment.wake_producers_later()
            raise
        crash_points.reached("after_ack")
        return acked

    async def get_jobs(self, producer: Producer) -> list[Job]:
        """Slot ``producer.get_jobs``: Oban's own fetch, marked as under way."""
        attachment = self._attachments.get(id(producer._query))
        if attachment is None:
            return await _get_jobs(producer)
        guard(producer, host=attachment.host)
        await attachment.until_known(producer)

        async def fetch() -> list[Job]:
            with attachment.fetching(producer):
                return await _get_jobs(producer)

        jobs = await soon_again(fetch, producer._stopping)
        remember_identities(jobs)
        return jobs

    async def rescue(self, query: Query, rescue_after: float) -> None:
        """Slot ``lifeline.rescue``: by evidence, not by age."""
        attachment = self._attachments.get(id(query))
        if attachment is None or attachment.rescue is None:
            return await _rescue(query, rescue_after)
        try:
            with oban_telemetry.span("oban.lifeline.rescue", {}) as context:
                context.add({"rescued_count": await attachment.rescue()})
        except UNINSTALLED as error:
            logger.warning("rescuing by age: %s", error)
            await _rescue(query, rescue_after)

    async def insert_jobs(self, query: Query, jobs: list[Job], conn: Any = None) -> list[Job]:
        """Slot ``query.insert_jobs``: one statement for any number of jobs; none may pass for a step's job."""
        attachment = self._attachments.get(id(query))
        if attachment is not None:
            check_plain_jobs(jobs)
        if attachment is None or not jobs:
            return await _insert_jobs(query, jobs, conn)
        if not attachment.turbo:
            try:
                return await _insert_jobs(query, jobs, conn)
            except psycopg.Error as error:
                if conn is not None or not is_notify_queue_full(error):
                    raise
                # Oban's own insert notifies; ours leaves that out.
                logger.warning("inserting %d jobs without a notification: %s", len(jobs), error)
        if conn is not None:
            callers = await find_connection(conn)
            if callers is None:
                return await _insert_jobs(query, jobs, conn)
            return await insert_in_bulk(Session(callers, attachment.queries), jobs)
        try:
            async with query.connection() as own:
                return await insert_in_bulk(Session(own, attachment.queries), jobs)
        except UNINSTALLED as error:
            logger.warning("inserting %d jobs one by one: %s", len(jobs), error)
            return await _insert_jobs(query, jobs)


def attach(oban: Oban, queries: Queries, *, turbo: bool, settings: Settings) -> Attachment:
    """Take the slots that are free and serve this Oban instance from them.

    A slot that somebody else has filled is logged and left; the trigger keeps everything right without it.
    """
    hooks = next(iter(_installed()), None) or Hooks()
    functions = (hooks.wrap_result, hooks.ack_jobs, hooks.insert_jobs, hooks.get_jobs, hooks.rescue)
    for slot, function in zip(SLOTS, functions, strict=True):
        holder = _REGISTRY.setdefault(slot, function)
        if getattr(holder, "__self__", None) is not hooks:
            logger.warning("Oban's extension %s is held by %r; going on without it", slot, holder)
    if oban._signal_token:
        logger.warning("this Oban runs already: results of steps that ran before Powertools(oban) was made are lost")
    attachment = Attachment(oban, queries, turbo=turbo, settings=settings)
    attachment.sees_fetches = _REGISTRY["producer.get_jobs"] == hooks.get_jobs
    guard(*oban._producers.values(), host=attachment.host)
    hooks.attach(attachment)
    return attachment


def detach(attachment: Attachment) -> None:
    """Give the instance back to Oban's defaults."""
    unguard(*attachment.oban._producers.values())
    attachment.acknowledge.stop()
    while attachment.when_detached:
        attachment.when_detached.pop()()
    for hooks in _installed():
        hooks.detach(attachment)


def find_attachment(job: Job) -> Attachment:
    """The instance that executes this job, for workers of our own.

    Raises:
        LookupError: No Powertools of this process does.
    """
    owner = next((attachment for hooks in _installed() if (attachment := hooks.find(job))), None)
    if owner is None:
        raise LookupError(f"{job.worker} needs a process with Powertools attached to its Oban, as powertools start is")
    return owner


def _installed() -> set[Hooks]:
    holders = (getattr(function, "__self__", None) for function in _REGISTRY.values())
    return {holder for holder in holders if isinstance(holder, Hooks)}
