"""Queues as operators see them, and pausing, resuming and scaling them.

Not for running jobs: Oban's producers do what its own signals tell them, and remember it themselves. The rule that must
never break: the signal and its audit record are one transaction (invariant/I4).
"""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import orjson

from ..acts import Action, TargetType
from ..arguments import as_count, as_key, refuse, unless_none
from ..database import Session
from ..driving import pause
from ..errors import QueueNotFoundError
from ..operators.audit import Operations
from ..operators.authorization import ActorLike, Target
from ..operators.services import Facade, Services
from ..spelling import did_you_mean
from ..states import JobId, OperatorStatus, WorkflowId
from ..wire import AsDict

__all__ = ["Queue", "QueueHolder", "QueueProducer", "Queues"]

MOST_HOLDERS: Final = 100
"""Jobs in hand that are listed."""

_AGAIN_AFTER: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds after which a signal is sent again to who has not done as it says."""

_ANYWHERE: Final = "any node"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueProducer(AsDict):
    """One of Oban's producers, which takes a queue's jobs in one process."""

    node: str
    """Where it runs."""

    producer: str
    """Its id, as jobs carry it behind the node in ``attempted_by``."""

    paused: bool
    """Whether it takes no jobs."""

    places: int | None
    """Jobs that it may run at once; None when it does not say."""

    running: int
    """Jobs in its hands."""

    started_at: datetime
    """When it started."""

    refreshed_at: datetime
    """When Oban refreshed it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHolder(AsDict):
    """A job that holds a place."""

    job_id: JobId
    """The job."""

    worker: str
    """Oban's path of its worker class."""

    node: str | None
    """Where it runs."""

    workflow_id: WorkflowId | None
    """Its workflow; None for a plain job."""

    step: str | None
    """Its step; None for a plain job."""

    attempt: int
    """Which attempt."""

    since: datetime | None
    """When the attempt began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue(AsDict):
    """One queue as it is now."""

    name: str
    """Its name."""

    status: OperatorStatus
    """The operator's word: Blocked when it is paused everywhere, or no executor serves it and jobs wait or are
    marked executing."""

    available: int
    """Jobs that could run now; each count stops at 10,000."""

    scheduled: int
    """Jobs that are due later."""

    retryable: int
    """Jobs that are to be tried again."""

    executing: int
    """Jobs that are marked executing."""

    oldest_due_at: datetime | None
    """Since when the oldest of the available jobs could run; None without any."""

    executors: int
    """Executors that serve it."""

    paused: int
    """Those of them that take no jobs."""

    places: int | None
    """Jobs that the others may run at once; None when one of them does not say."""

    running: int
    """Jobs in the hands of these executors."""

    producers: tuple[QueueProducer, ...] = ()
    """Who serves it; only ``get`` fills it."""

    holders: tuple[QueueHolder, ...] = ()
    """Who holds the places, the longest first, at most 100; only ``get`` fills it."""


class Queues(Facade):
    """Look at queues, and pause, resume and scale them."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._operations = Operations(services)

    async def list(self) -> list[Queue]:
        """Every queue that an executor serves, or that has jobs which have not ended; by name."""
        async with self._connect() as session:
            return await _read(session, None)

    async def get(self, queue: str) -> Queue:
        """One queue, with who serves it and who holds its places.

        Raises:
            QueueNotFoundError: No executor serves it, and it has no job that has not ended.
        """
        name = as_key("queue", queue)
        async with self._connect() as session:
            [found] = await _read(session, [name])
            producers = await session.records(QueueProducer, "list_queue_producers", {"queue": name})
            args = {"queue": name, "page": MOST_HOLDERS}
            holders = await session.records(QueueHolder, "list_queue_holders", args)
        if not (found.available + found.scheduled + found.retryable + found.executing + found.executors):
            async with self._connect() as session:
                raise await _unknown_queue(session, name, _ANYWHERE)
        return replace(found, producers=tuple(producers), holders=tuple(holders))

    async def pause(
        self, queue: str, *, node: str | None = None, actor: ActorLike, reason: str, source: str = "api"
    ) -> int:
        """Tell the executors of a queue to take no more jobs; what runs goes on.

        Args:
            node: Only those of this node; None for all.

        Returns:
            How many executors serve it there. They are told until each has done it, for 1.5 s at most; ``get`` shows
            whether each has. One that starts later is not paused: Oban's producers remember it.

        Raises:
            QueueNotFoundError: No executor serves it there.
            NotAuthorizedError, UnattributedActorError, ReasonRequiredError: Not allowed; no actor; no reason.
        """
        return await self._tell(Action.QUEUE_PAUSE, "pause", queue, node, actor, reason, source)

    async def resume(
        self, queue: str, *, node: str | None = None, actor: ActorLike, reason: str, source: str = "api"
    ) -> int:
        """Tell them to take jobs again; as ``pause``."""
        return await self._tell(Action.QUEUE_RESUME, "resume", queue, node, actor, reason, source)

    async def scale(
        self, queue: str, limit: int, *, node: str | None = None, actor: ActorLike, reason: str, source: str = "api"
    ) -> int:
        """Tell each of them how many jobs it may run at once, until it is started anew; as ``pause``.

        Args:
            limit: At least 1.
        """
        places = as_count("limit", limit)
        return await self._tell(Action.QUEUE_SCALE, "scale", queue, node, actor, reason, source, limit=places)

    async def _tell(
        self,
        act: Action,
        signal: str,
        queue: str,
        node: str | None,
        actor: ActorLike,
        reason: str,
        source: str,
        **options: int,
    ) -> int:
        name, where = as_key("queue", queue), unless_none(as_key, "node", node)
        signals: list[str] = []
        if name == "*":
            raise refuse("queue", queue, "the name of one queue")
        target, details = Target(type=TargetType.QUEUE, id=name, queue=name), {"node": where, **options}
        async with self._operations.begin(
            actor, act, target, reason=reason, source=source, details=details
        ) as operation:
            await operation.authorize()
            async with operation.transaction() as session:
                rows = await session.all("list_queue_producers", {"queue": name})
                told = [row for row in rows if where in (None, row["node"])]
                if not told:
                    raise await _unknown_queue(session, name, where or _ANYWHERE)
                # As Oban's own _scope_signal: a producer compares its name and node with it.
                idents = {"any"} if where is None else {f"{row['name']}.{where}" for row in told}
                for ident in sorted(idents):
                    message = {"action": signal, "queue": name, "ident": ident, **options}
                    signals.append(orjson.dumps(message).decode())
                await _send(session, signals)
                was = {row["producer"]: {"paused": row["paused"], "limit": row["places"]} for row in told}
                operation.update(before={"executors": was}, after={"told": signal, **details})
        await self._repeat(
            name, {row["producer"] for row in told}, signals, lambda one: has_done(act, one, options.get("limit"))
        )
        return len(told)

    async def _repeat(
        self, queue: str, producers: Set[str], signals: Sequence[str], is_done: Callable[[QueueProducer], bool]
    ) -> None:
        """Send the signals again, for a while, until each of these producers has done as they say.

        A notification is lost where nobody listens: Oban's producer has its row up to 0.1 s before it listens, and its
        connection may be down for a moment. To repeat one is harmless: it says what is to be, not what is to change.
        """
        for seconds in _AGAIN_AFTER:
            await pause(seconds)
            async with self._connect() as session:
                each = await session.records(QueueProducer, "list_queue_producers", {"queue": queue})
                if all(is_done(one) for one in each if one.producer in producers):
                    return
                await _send(session, signals)


def has_done(act: Action, producer: QueueProducer, limit: int | None = None) -> bool:
    """Whether a producer has done what an act on its queue told it.

    Args:
        limit: That of ``queue_scale``.
    """
    return producer.places == limit if act is Action.QUEUE_SCALE else producer.paused == (act is Action.QUEUE_PAUSE)


async def _send(session: Session, signals: Sequence[str]) -> None:
    for signal in signals:
        await session.run("signal_queue", {"signal": signal})


async def _unknown_queue(session: Session, name: str, where: str) -> QueueNotFoundError:
    known = [queue.name for queue in await _read(session, None) if queue.name != name]
    return QueueNotFoundError(name, where, did_you_mean(name, known))


async def _read(session: Session, names: Sequence[str] | None) -> "list[Queue]":
    return await session.records(Queue, "list_queues", {"names": None if names is None else [*names]})
