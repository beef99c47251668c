"""Turbo: fill Oban's own extension points where they are free.

With ``oban_attachment``, ``oban_acks``, ``oban_attempts`` and ``database.oban`` the only file that imports Oban's
internals. Correctness needs no slot, except for results: stock Oban drops a worker's plain return value, so
``executor.wrap_result`` carries it. The rules that must never break: a slot that somebody else has filled is left
alone, and an Oban instance without Powertools behaves as if this package were absent.

tests/runtime/test_oban_contract.py names everything used here and fails when any of it changes.
"""
# pyright: reportPrivateUsage=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from collections.abc import Callable
from typing import Any, Final, cast

import psycopg
from oban import Job, Oban
from oban import telemetry as oban_telemetry
from oban._executor import AckAction
from oban._extensions import _extensions
from oban._lifeline import _rescue
from oban._producer import Producer, _get_jobs
from oban._query import Query, _ack_jobs, _insert_jobs

from .. import telemetry
from ..config import PAYLOAD_LIMIT, Settings
from ..database import Queries, Session, crash_points
from ..database.oban import find_connection
from ..database.pools import soon_again
from ..database.sqlstates import is_notify_queue_full
from ..privacy.logs import find_logger
from ..workflows.failures import remember_failure
from ..workflows.job_identity import check_plain_jobs, remember_identities
from .bulk_insert import insert_in_bulk
from .oban_acks import UNINSTALLED
from .oban_attachment import Attachment
from .oban_attempts import guard, unguard
from .results import wrap_result

logger: Final = find_logger(__name__)

SLOTS: Final = (
    "executor.wrap_result",
    "query.ack_jobs",
    "query.insert_jobs",
    "producer.get_jobs",
    "lifeline.rescue",
)
"""The extension points used, by Oban's names."""

_REGISTRY: Final = cast("dict[str, Callable[..., Any]]", _extensions)


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
