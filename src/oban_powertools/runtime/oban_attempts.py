"""Run one attempt of a job between Oban and a worker: however the worker ends, the attempt has an outcome.

``acks`` stores the outcome. The rules that must never break: an attempt that began comes to an ack, unless the process
itself is being stopped (attempts/B1); no worker ends another job or a process (attempts/B2); an attempt that ran no
code of the worker does not count (attempts/B3). Whether a failed attempt is tried again and when stays Oban's rule and
the worker's; ours only is what becomes of an attempt for which these fail.

With ``oban_hooks``, ``oban_acks`` and ``database.oban`` the only file that imports Oban's internals, which
tests/runtime/test_oban_contract.py names.
"""
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportUnknownMemberType=false

import asyncio
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, cast

from oban import Cancel, Job, Oban
from oban._backoff import jittery_clamped
from oban._executor import AckAction, Executor
from oban._producer import LocalDispatcher, Producer
from oban.worker import JobTimeoutError, WorkerResolutionError, resolve_worker

from ..errors import UnstorableValueError
from ..privacy.logs import find_logger
from ..workflows.failures import describe_failure, kept_error
from .acks import MAX_SECONDS, find_faults, is_span
from .function_processes import FunctionProcesses, ProcessCall
from .plain_functions import find_plain_function
from .raised import as_exception, last_line, raised_by_a_signal, traceback_of
from .rescue import Attempt
from .threads import RUNS_ON, FunctionCall, Threads

logger: Final = find_logger(__name__)

NOT_RUN_META: Final = "not_run"
"""Key of a job's meta: the attempts in which no code of its worker ran."""

_INTERRUPTED: Final = "it seemed to hang, was asked to stop, and was cancelled at what it awaited"

_FIRST_WAIT: Final = 2.0
_LONGEST_WAIT: Final = 300.0
_KEPT_REASONS: Final = 3
"""So many of the last errors are searched for the same reason why no code ran, so that it is not written again and
again."""

_IDENTITY_OF: Final = attrgetter(
    "id", "attempted_at", "scheduled_at", "attempt", "max_attempts", "queue", "worker", "errors"
)
"""The fields of a job that are saved from changes by its worker: they decide whose outcome this is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptHost:
    """What the attempts of one Oban instance are run with."""

    hangs: Callable[[int | None], bool]
    """Whether the job with this id seems to hang."""

    threads: Threads
    """Where plain functions run."""

    processes: FunctionProcesses
    """Where those of some queues run instead."""

    in_process: Callable[[str], bool]
    """Whether those of a queue do."""

    keep_late: Callable[[AckAction], None]
    """Keeps what a function came to after its attempt had ended."""


def guard(*producers: Producer, host: AttemptHost) -> None:
    """Guard the attempts of these producers, unless somebody else's dispatcher runs them."""
    for producer in producers:
        if type(producer._dispatcher) is LocalDispatcher:
            producer._dispatcher = GuardedDispatcher(host)


def unguard(*producers: Producer) -> None:
    """Leave attempts that begin from now on to Oban."""
    for producer in producers:
        if type(producer._dispatcher) is GuardedDispatcher:
            producer._dispatcher = LocalDispatcher()


class GuardedDispatcher(LocalDispatcher):
    """Runs the jobs of a producer as Oban does, with an executor that lets no exception escape."""

    def __init__(self, host: AttemptHost) -> None:
        self._host = host

    def cancel(self, producer: Producer, job: Job) -> None:
        """Ask an attempt to stop. The task of one that seems to hang is cancelled too, once, at what it awaits."""
        super().cancel(producer, job)
        running: tuple[Job, asyncio.Task[None]] | None = cast("Any", producer._running_jobs).get(job.id)
        if running is not None and running[0] is job and running[1].cancelling() == 0 and self._host.hangs(job.id):
            running[1].cancel()

    def dispatch(self, producer: Producer, job: Job) -> asyncio.Task[None]:
        """Start an attempt."""
        return asyncio.create_task(_attempt(producer, job, self._host))


async def _attempt(producer: Producer, job: Job, host: AttemptHost) -> None:
    # As Producer._execute.
    job._cancellation = asyncio.Event()
    executor = await GuardedExecutor(job, lambda: _stops(producer), host).execute()
    producer._pending_acks.append(executor.action)


def is_torn_down(producer: Producer) -> bool:
    """Whether its event loop is ending: then all tasks are cancelled, also its own, which a stop never does."""
    return producer._loop_task is not None and producer._loop_task.cancelling() > 0


def dead_queues(oban: Oban) -> list[str]:
    """The queues of an instance whose producers have ended although nobody stopped them."""
    producers = oban._producers.values()
    return [p._queue for p in producers if p._loop_task and p._loop_task.done() and not p._stopping.is_set()]


def _stops(producer: Producer) -> bool:
    return producer._stopping.is_set() or is_torn_down(producer)


class GuardedExecutor(Executor):
    """An attempt that has an outcome however it ends.

    Args:
        stops: Whether the producer is being stopped: a cancelled attempt is then left to be rescued, as with Oban.
        host: None runs plain functions on the event loop, as Oban does.
    """

    def __init__(self, job: Job, stops: Callable[[], bool], host: AttemptHost | None = None) -> None:
        super().__init__(job, safe=True)
        self._stops = stops
        self._host = host
        self._call: FunctionCall | ProcessCall | None = None
        self._task: asyncio.Task[Any] | None = None
        self._identity = _IDENTITY_OF(job)
        # Any JSON can stand in the column.
        self._meta: Any = dict(job.meta) if isinstance(cast("object", job.meta), dict) else job.meta
        self._ran = True
        self._remark: str | None = None

    def _report_started(self) -> None:
        self._unharmed(super()._report_started)

    async def _process(self) -> None:
        self._task = asyncio.current_task()
        try:
            self.worker: Any = self._find_worker()()
            self.result = await self._perform(self.worker)
        except BaseException as error:  # noqa: BLE001 - attempts/B1
            self._raise_if_stopped(error)
            if isinstance(error, asyncio.CancelledError) and self._was_cancelled():
                after = self._call and self._call.aftermath
                self.result = Cancel(f"{_INTERRUPTED}; {after}" if after else _INTERRUPTED)
            else:
                self._fail(error)

    async def _perform(self, worker: Any) -> Any:
        if self._host is None or (function := find_plain_function(worker, self.job)) is None:
            return await super()._perform(worker)
        call = self._call = await self._admit(self._host, function)
        try:
            return await super()._perform(call)
        except JobTimeoutError as error:
            if call.aftermath:
                raise JobTimeoutError(f"{error}; {call.aftermath}") from error.__cause__
            raise
        finally:
            if call.leave(self._come_late):
                logger.warning("the attempt of job %s (%s) is over, and %s", self.job.id, call.worker, RUNS_ON)

    async def _admit(self, host: AttemptHost, function: Callable[[], Any]) -> FunctionCall | ProcessCall:
        if host.in_process(self.job.queue):
            return await host.processes.admit(self.job, self.job._cancellation)
        return await host.threads.admit(self.job, function)

    def _come_late(self, call: FunctionCall) -> None:
        """What the function came to after its attempt had ended is refused, and kept as that of a rescued one is."""
        if call.is_orphan or call.error is not None or self._host is None:
            how = "returned; its job runs again" if call.error is None else f"raised {last_line(call.error)}"
            logger.warning("the function that job %s left in a thread has %s", call.job_id, how)
            return
        try:
            self._restore_job()
            self.result, self._traceback = call.value, None
            super()._record_stopped()
            self._host.keep_late(self.action)
        except BaseException:
            logger.exception("what the function of job %s returned too late cannot be kept", call.job_id)

    def _was_cancelled(self) -> bool:
        """Whether it was asked to stop, and cancelled because it did not look."""
        return self.job.cancelled() and self._task is not None and self._task.cancelling() > 0

    def _find_worker(self) -> type:
        try:
            return resolve_worker(self.job.worker)
        except BaseException as error:
            self._raise_if_stopped(error)
            self._ran = False
            if isinstance(error, WorkerResolutionError):
                raise
            reason = last_line(error)
            raise WorkerResolutionError(
                f"Importing the module of worker '{self.job.worker}' raised {reason}"
            ) from error

    def _timeout(self) -> float | None:
        seconds: Any = super()._timeout()
        # A NaN would confuse every timer of the event loop.
        if seconds is None or (_is_number(seconds) and not math.isnan(seconds)):
            return seconds
        raise ValueError(f"timeout() returned {seconds!r}; expected a number of seconds or None")

    def _record_stopped(self) -> None:
        self._restore_job()
        try:
            if self._ran:
                super()._record_stopped()
                self._check_outcome()
            else:
                self.action = self._postponed()
        except BaseException as error:  # noqa: BLE001 - attempts/B1
            self._raise_if_stopped(error)
            self._fail(error)
            self.action = self._failed()
        if self._remark is not None and self.action.error is not None:
            # In front, because the last lines of an error say what it is.
            error = {**self.action.error, "error": f"{self._remark}\n{self.action.error['error']}"}
            self.action: AckAction = replace(self.action, error=error)

    def _check_outcome(self) -> None:
        if faults := find_faults(self.action):
            raise UnstorableValueError(f"the outcome {self.action.state}", faults)

    def _restore_job(self) -> None:
        job = self.job
        (
            job.id,
            job.attempted_at,
            job.scheduled_at,
            job.attempt,
            job.max_attempts,
            job.queue,
            job.worker,
            job.errors,
        ) = self._identity
        job.meta = self._meta

    def _fail(self, error: BaseException) -> None:
        self.result = as_exception(error)
        written = self._call.traceback if self._came_from_a_function(error) and self._call else None
        self._traceback = written or traceback_of(error)

    def _failed(self) -> AckAction:
        job = self.job
        error = self._format_error(cast("Exception", self.result))
        if job.attempt >= job.max_attempts:
            return AckAction(job=job, state="discarded", error=error)
        return AckAction(job=job, state="retryable", error=error, schedule_in=self._retry_backoff())

    def _postponed(self) -> AckAction:
        """Take the attempt back, as a snooze does; the next pause is a quarter longer, from 2 s to 5 min."""
        meta: Any = self._meta if isinstance(self._meta, dict) else {}
        before: Any = meta.get(NOT_RUN_META)
        tries = min(before, 1000) + 1 if type(before) is int and before > 0 else 1
        error = self._format_error(cast("Exception", self.result))
        reasons: list[Any] = self.job.errors[-_KEPT_REASONS:]
        is_known = error["error"] in [_text_of(entry) for entry in reasons]
        return AckAction(
            job=self.job,
            state="retryable",
            attempt_change=-1,
            error=None if is_known else error,
            meta={NOT_RUN_META: tries},
            schedule_in=round(min(_FIRST_WAIT * 1.25 ** min(tries - 1, 50), _LONGEST_WAIT)),
        )

    def _report_stopped(self) -> None:
        self._unharmed(super()._report_stopped)

    def _retry_backoff(self) -> int:
        try:
            seconds: Any = super()._retry_backoff()
            if is_span(seconds):
                return round(seconds)
            fault = f"returned {seconds!r}, expected a number of seconds up to {MAX_SECONDS}"
        except BaseException as error:  # noqa: BLE001 - attempts/B1
            self._raise_if_stopped(error)
            fault = f"raised {last_line(error)}"
        self._remark = f"The worker's backoff() {fault}; Oban's own holds."
        return jittery_clamped(self.job.attempt, self.job.max_attempts)

    def _format_error(self, error: Exception | str) -> dict[str, Any]:
        if isinstance(error, Exception) and not issubclass(type(self.result), Exception):
            # Telemetry would report what was returned, not why it cannot be stored.
            self.result: Any = error
        formatted: dict[str, Any] = super()._format_error(error)
        return kept_error(formatted, describe_failure(error))

    def _unharmed(self, report: Callable[[], None]) -> None:
        """No telemetry handler ends an attempt; Oban stops only its Exceptions."""
        try:
            report()
        except BaseException as error:
            self._raise_if_stopped(error)
            logger.exception("telemetry of job %s failed", self.job.id)

    def _raise_if_stopped(self, error: BaseException) -> None:
        """Re-raise an exception that comes from the end of the process, not from the worker."""
        match error:
            case asyncio.CancelledError():
                stopped = self._stops() and self._task is not None and self._task.cancelling() > 0
            case GeneratorExit():
                stopped = not self._runs()
            case Exception():
                stopped = False
            case _:
                stopped = raised_by_a_signal(error)
        if stopped and not self._came_from_a_function(error):
            if self._call is not None:
                self._call.is_orphan = True
            raise error

    def _came_from_a_function(self, error: BaseException) -> bool:
        return self._call is not None and error is self._call.error

    def _runs(self) -> bool:
        # A coroutine that is closed gets a GeneratorExit, outside of its task.
        try:
            return asyncio.current_task() is self._task
        except RuntimeError:
            return False


def _text_of(error: Any) -> object:
    return cast("dict[str, object]", error).get("error") if isinstance(error, dict) else None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def attempts_of(producer: Producer) -> Iterator[Attempt]:
    """The attempts that a producer runs, or has run and not acknowledged yet."""
    running = [job for job, _ in producer._running_jobs.values()]
    for job in [*running, *(ack.job for ack in producer._pending_acks)]:
        if job.id is not None and job.attempted_at is not None:
            yield job.id, job.attempted_at
