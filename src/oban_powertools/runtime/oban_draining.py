"""Run jobs in this process, one after another, without producers: for tests.

Oban's own stage, fetch and executor, and whatever holds the slot of its acks, so that a job runs as in production. With
``oban_hooks``, ``oban_acks`` and ``database.oban`` it imports Oban's internals, which
tests/runtime/test_oban_contract.py names.
"""
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

import oban.testing
from oban import Job, Oban
from oban._executor import AckAction, _current_job
from oban.oban import _instances

from ..workflows.job_identity import remember_identities
from .oban_attachment import Attachment, Drained
from .oban_attempts import NOT_RUN_META, GuardedExecutor
from .plain_functions import find_plain_function

_NODE: Final = "testing"
_BATCH: Final = 20
"""Jobs of one queue that are fetched and acknowledged together."""

type FindWorker = Callable[[Job, Callable[[], type]], type]
"""Which class runs a job; called with the job and what finds its own worker."""


class _DrainedExecutor(GuardedExecutor):
    def __init__(self, job: Job, find_worker: FindWorker, attachment: Attachment) -> None:
        super().__init__(job, lambda: False)
        self._choose = find_worker
        self._attachment = attachment

    async def _perform(self, worker: Any) -> Any:
        self._attachment.drained = Drained(self.job, blocks=find_plain_function(worker, self.job) is not None)
        self._attachment.loop = asyncio.get_running_loop()
        try:
            return await super()._perform(worker)
        finally:
            self._attachment.drained = None

    def _find_worker(self) -> type:
        worker = self._choose(self.job, super()._find_worker)
        # Also where its own could not be found and another one takes its place.
        self._ran = True
        return worker


async def fetch(oban: Oban, queues: Sequence[str], *, stage: bool) -> list[Job]:
    """Take some jobs of these queues.

    Args:
        stage: First make available what is due in them.
    """
    query = oban._query
    if stage:
        await query.stage_jobs(limit=1000, queues=list(queues))
    jobs: list[Job] = []
    for queue in queues:
        jobs += await query.fetch_jobs(demand=_BATCH, queue=queue, node=_NODE, uuid=_NODE)
    remember_identities(jobs)
    return jobs


async def attempt(job: Job, find_worker: FindWorker, attachment: Attachment) -> AckAction:
    """Run one attempt of a fetched job; returns its outcome, which is not stored yet.

    Args:
        attachment: Of the Powertools that the worker gets as that of its process.
    """
    job._cancellation = asyncio.Event()
    # A worker's own enqueue inserts, whatever mode the test is in: the job is then run like any other.
    with oban.testing.mode("manual"):
        executor = await _DrainedExecutor(job, find_worker, attachment).execute()
    assert executor.action is not None
    return executor.action


def find_not_run(outcomes: Sequence[AckAction]) -> AckAction | None:
    """An attempt in which no code of its worker ran, because it could not be imported."""
    metas: list[tuple[AckAction, Any]] = [(outcome, cast("Any", outcome).meta or ()) for outcome in outcomes]
    return next((outcome for outcome, meta in metas if NOT_RUN_META in meta), None)


async def acknowledge(oban: Oban, outcomes: Sequence[AckAction]) -> None:
    """Store the outcomes of attempts, in one batch."""
    if outcomes:
        await oban._query.ack_jobs(list(outcomes))


async def rescue_all(oban: Oban) -> int:
    """Make every executing job available again; returns how many there were."""
    return await oban._query.rescue_jobs(0)


@contextmanager
def running(job: Job, *, cancelled: bool = False) -> Generator[None]:
    """Make a job that is in no database the current one of this task or thread."""
    job._cancellation = asyncio.Event()
    if cancelled:
        job._cancellation.set()
    token = _current_job.set(job)
    try:
        yield
    finally:
        _current_job.reset(token)


def find_default() -> Oban | None:
    """The instance that ``enqueue`` uses when none is named."""
    return _instances.get("Oban")


def set_default(instance: Oban | None) -> None:
    """Give ``enqueue`` back the instance that ``find_default`` found."""
    if instance is None:
        _instances.pop("Oban", None)
    else:
        _instances["Oban"] = instance
