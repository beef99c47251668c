"""Find Oban's jobs, those of steps and plain ones, by Oban's own indexes.

Not for changing them (``lifeline``), and not for one job's whole story (``explain``). What the display policy hides of
a job is revealed here, as an audited act (``operators.revealing``). A search is bounded: what is rare
by its state or queue is found however old it is, anything else among the newest; the answer says how far it came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from ..acts import TargetType
from ..arguments import as_count, as_id, as_job_id, as_key, as_word, unless_none
from ..database import Session, json_border
from ..errors import JobNotFoundError
from ..operators.authorization import ActorLike, Target
from ..operators.revealing import Revealable, Revealed, Revealer, find_in_workflow
from ..operators.services import Facade, Services
from ..privacy.apply_display import apply_display
from ..states import JobId, JobState, OperatorStatus, WorkflowId
from ..wire import AsDict
from ..workflows.finding import instants_of

__all__ = ["JobDetail", "JobError", "JobPage", "JobRecord", "Jobs"]

MAX_PAGE: Final = 1000
"""Most jobs of a page."""

MOST_COUNTED: Final = 10_000
"""Where the count of a state stops."""

MOST_WORDED: Final = 5000
"""Jobs whose word is computed for one page, when only one word is wanted."""

_ENDED: Final = frozenset({JobState.COMPLETED, JobState.DISCARDED, JobState.CANCELLED})

WITHIN: Final = "5s"
"""How long the server may search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(AsDict):
    """One job as it is now, without its args."""

    id: JobId
    """Its id."""

    status: OperatorStatus | None
    """The operator's word of its step; Finished for a job of none that has ended, and None for one that has not."""

    state: JobState
    """Oban's state."""

    blocker: str | None
    """The code of what is in the way of its step, as in explanations."""

    queue: str
    """Where it runs."""

    worker: str
    """Oban's path of its worker class."""

    attempt: int
    """Attempts made so far."""

    max_attempts: int
    """Attempts allowed."""

    priority: int
    """0 is fetched first."""

    tags: tuple[str, ...]
    """As inserted."""

    workflow_id: WorkflowId | None
    """Its workflow; None for a plain job."""

    step: str | None
    """Its step; None for a plain job."""

    node: str | None
    """Where its last attempt ran, or runs."""

    error: str | None
    """Class and text of its last error, in one line."""

    inserted_at: datetime
    """When it was inserted."""

    scheduled_at: datetime
    """When it is, or was, due."""

    attempted_at: datetime | None
    """When its last attempt began."""

    finished_at: datetime | None
    """When it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError(AsDict):
    """One error of a job."""

    attempt: int | None
    """Which attempt; None where whoever wrote it does not say."""

    at: datetime | None
    """When; likewise."""

    summary: str
    """Its class and text in one line."""

    error: str
    """All of it, with its traceback, within 20,000 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail(JobRecord):
    """One job with what it was given and what it met."""

    args: Any
    """What its worker gets."""

    meta: Any
    """What its inserter and its tools noted."""

    errors: tuple[JobError, ...]
    """The newest first, at most 20."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage(AsDict):
    """A page of jobs."""

    jobs: tuple[JobRecord, ...]
    """The newest first."""

    searched: int | None
    """Only so many of the newest were searched, which did not fill the page; None when it is full, or the last."""

    next_before: JobId | None
    """Pass it as ``before`` for the next page, also to search on; None at the end."""


class Jobs(Facade):
    """Find jobs."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._revealer = Revealer(services)

    async def list(
        self,
        *,
        state: JobState | str | None = None,
        status: OperatorStatus | str | None = None,
        queue: str | None = None,
        worker: str | None = None,
        tag: str | None = None,
        error: str | None = None,
        inserted_from: datetime | None = None,
        inserted_to: datetime | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """Jobs that fit everything that is given, newest first; errors as the display policy shows them.

        A state or a queue of fewer than 10,000 jobs is searched whole. Anything else is searched 10,000 jobs at a time.

        Args:
            status: The operator's word; with one, 5,000 of the jobs that fit everything else are looked at a time. One
                of a job that has not ended is that of its step: plain ones have none.
            worker: Oban's path of its class.
            error: Words, or beginnings of words, of the last error: ``"timeout billing"``.
            inserted_from, inserted_to: From this instant on, before that one; aware.
            before: Only ids below this one: the ``next_before`` of the page before.
            limit: At most 1,000.

        Raises:
            InvalidArgumentError: A filter is not what it should be.
            QueryCanceled: psycopg's: the server searched for over 5 s.
        """
        texts = {"queue": queue, "worker": worker, "tag": tag, "error": error}
        filters: dict[str, Any] = {name: as_key(name, text) for name, text in texts.items() if text is not None}
        word = None if status is None else as_word("status", status, OperatorStatus)
        if state is not None or word is not None:
            wanted = [*JobState] if state is None else [as_word("state", state, JobState)]
            filters["states"] = [each.value for each in wanted if _may_be(each, word)]
        filters |= instants_of({"inserted_from": inserted_from, "inserted_to": inserted_to})
        older = None if before is None else JobId(as_id("before", before))
        page = min(as_count("limit", limit), MAX_PAGE)
        async with self._connect() as session, session.bounded(WITHIN):
            if word is None:
                found = await _find(session, filters, older, page)
            else:
                found = await _find_worded(session, filters, word, older, page)
        return apply_display(self._display, found)

    async def get(self, job_id: int | str) -> JobDetail:
        """One job with its args, meta and errors, as the display policy shows them.

        Raises:
            JobNotFoundError: It does not exist, or was pruned.
        """
        key = as_job_id(job_id)
        async with self._connect() as session:
            return apply_display(self._display, await _get(session, key))

    async def reveal(
        self, job_id: int | str, *, what: Revealable | str, actor: ActorLike, reason: str, source: str = "api"
    ) -> Revealed:
        """One value of a job as it is stored, with what the display policy hides of it; the audit keeps who saw it.

        Args:
            what: ``args``, ``meta`` or ``error``: the last one, within 20,000 characters.

        Raises:
            JobNotFoundError: It does not exist, or was pruned.
            NotAuthorizedError: The host or its display policy does not allow it, or the actor is an agent.
            UnattributedActorError, ReasonRequiredError: No actor; no reason.
        """
        key = as_job_id(job_id)

        async def read(session: Session, chosen: Revealable) -> Any:
            job = await _get(session, key)
            if chosen is Revealable.ERROR:
                return job.errors[0].error if job.errors else None
            return job.meta if chosen is Revealable.META else job.args

        target = Target(type=TargetType.JOB, id=str(key))
        return await self._revealer.reveal(target, what, _find_target, read, actor=actor, reason=reason, source=source)

    async def count(self, *, queue: str | None = None) -> Mapping[JobState, int]:
        """Jobs in each state, those that have none too; each count stops at 10,000.

        Args:
            queue: Only of this queue.
        """
        args = {"queue": unless_none(as_key, "queue", queue), "most": MOST_COUNTED}
        async with self._connect() as session, session.bounded(WITHIN):
            rows = await session.all("count_jobs", args)
        counts = {row["state"]: row["jobs"] for row in rows}
        return {state: counts.get(state.value, 0) for state in JobState}


async def _get(session: Session, job_id: JobId) -> JobDetail:
    job = await session.record(JobDetail, "get_job", {"id": job_id})
    if job is None:
        raise JobNotFoundError(job_id)
    return job


async def _find_target(session: Session, target: Target) -> Target:
    jobs = await session.records(JobRecord, "list_jobs", {"ids": [int(target.id)]})
    if not jobs:
        return target
    [job] = jobs
    of_step = replace(target, workflow_id=job.workflow_id, step=job.step)
    known = of_step if job.workflow_id is None else await find_in_workflow(session, of_step)
    return replace(known, queue=job.queue, worker=job.worker)


def _may_be(state: JobState, word: OperatorStatus | None) -> bool:
    """Whether a job in this state can have this word: as ``word_of`` and ``leaf_words`` in operator_words.sql."""
    match word:
        case None:
            return True
        case OperatorStatus.FINISHED:
            return state in _ENDED
        case OperatorStatus.RUNNING:
            return state is JobState.EXECUTING
        case OperatorStatus.RUNNABLE:
            return state is JobState.AVAILABLE
        case OperatorStatus.WAITING:
            return state not in _ENDED and state is not JobState.EXECUTING
        case OperatorStatus.BLOCKED | OperatorStatus.NEEDS_REVIEW:
            return state not in _ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a search came to."""

    ids: list[int]
    """The newest first."""

    searched: int | None
    """As in the page."""

    next_before: JobId | None
    """As in the page."""


async def _find_ids(session: Session, filters: Mapping[str, Any], before: JobId | None, page: int) -> _Found:
    found = await session.one("find_jobs", {"filters": json_border.dumps(filters), "before": before, "page": page + 1})
    assert found is not None
    ids: list[int] = found["ids"]
    more = ids[page - 1] if len(ids) > page else found["reached"]
    return _Found(
        ids=ids[:page],
        searched=found["searched"] if len(ids) <= page else None,
        next_before=None if more is None else JobId(more),
    )


async def _find(session: Session, filters: Mapping[str, Any], before: JobId | None, page: int) -> JobPage:
    found = await _find_ids(session, filters, before, page)
    return JobPage(jobs=await _read(session, found.ids), searched=found.searched, next_before=found.next_before)


async def _find_worded(
    session: Session, filters: Mapping[str, Any], word: OperatorStatus, before: JobId | None, page: int
) -> JobPage:
    """Those with this word, which no index has: it is computed of the jobs that fit everything else."""
    fitting, looked, place = list[int](), 0, before
    while len(fitting) <= page and looked < MOST_WORDED:
        part = await _find_ids(session, filters, place, MOST_WORDED)
        fitting += await _with_word(session, part.ids, word, page + 1 - len(fitting))
        looked, place = looked + (part.searched or len(part.ids)), part.next_before
        if place is None:
            break
    shown, full = fitting[:page], len(fitting) > page
    return JobPage(
        jobs=await _read(session, shown),
        searched=None if full or place is None else looked,
        next_before=JobId(shown[-1]) if full else place,
    )


async def _with_word(session: Session, ids: Sequence[int], word: OperatorStatus, wanted: int) -> list[int]:
    """The newest of these jobs that have this word, at least as many as are wanted where there are so many.

    In batches that grow: a word that is common is found in the first, one that is rare costs few statements.
    """
    fitting, begin, size = list[int](), 0, 4 * wanted
    while begin < len(ids) and len(fitting) < wanted:
        batch = {"ids": ids[begin : begin + size], "word": word.value}
        fitting += [row["id"] for row in await session.all("jobs_of_word", batch)]
        begin, size = begin + size, 4 * size
    return fitting


async def _read(session: Session, ids: Sequence[int]) -> tuple[JobRecord, ...]:
    return tuple(await session.records(JobRecord, "list_jobs", {"ids": ids})) if ids else ()
