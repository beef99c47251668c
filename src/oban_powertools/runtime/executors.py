"""Executors as rows: refreshed by heartbeats, and read with their health.

Not for sending heartbeats by itself (``heartbeats``). The rule that must never break: only the database's clock
counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote, unquote

from ..arguments import LONGEST, as_count, as_list, as_span, as_word, is_storable, refuse, unless_none
from ..config import Settings
from ..database import Session
from ..operators.services import Facade
from ..states import ExecutorState, ExecutorStatus
from ..wire import AsDict
from .processes import Process

LONGEST_NAME: Final = 500
"""Characters of an executor's names: an index entry holds 2,704 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorHealth(AsDict):
    """One executor: one start of one producer in one process."""

    executor_id: str
    """Such as ``app:oban:default:node-a:`` and its producer."""

    node: str
    """Its node, as in ``attempted_by`` of jobs."""

    producer_scope: str
    """Its queue, for a producer of Oban's."""

    status: ExecutorStatus
    """The operator's word."""

    state: ExecutorState
    """Its health, by the database's clock."""

    process_alive: bool
    """Whether its process sends heartbeats."""

    loop_responsive: bool
    """Whether its event loop answers."""

    executing: int
    """Jobs it has in hand."""

    started_at: datetime
    """Its first heartbeat."""

    beat_at: datetime
    """Its last heartbeat."""

    loop_beat_at: datetime
    """The last answer of its event loop, as a heartbeat reported it."""

    aside: int
    """Outcomes that it holds because the database does not take them now, as its last heartbeat reported it."""

    aside_since: datetime | None
    """Since when it holds the oldest of them."""

    stopped_at: datetime | None
    """When it was stopped in good order."""

    replaced: bool
    """Whether it is missing and concerns nobody any more: nothing in hand, and another serves its queue since.

    No incident is about it either (``detect_executors``)."""

    @property
    def cursor(self) -> str:
        """Its place in the list: ``after`` takes it for the page behind it, also when it is gone by then."""
        return str(
            ExecutorPlace(
                self.replaced or self.stopped_at is not None, self.producer_scope, self.node, self.executor_id
            )
        )


class ExecutorPlace(NamedTuple):
    """A place in the list of executors; its text is what callers pass on."""

    past: bool
    """Whether it was replaced or has stopped: these come last."""

    scope: str
    """Its queue."""

    node: str
    """Its node."""

    id: str
    """Its id."""

    def __str__(self) -> str:
        """As a path, which neither a shell nor an address needs quotes for."""
        names = (quote(name, safe=":") for name in (self.scope, self.node, self.id))
        return "/".join([str(int(self.past)), *names])

    @classmethod
    def read(cls, argument: str, value: object) -> "ExecutorPlace":
        """The place that a text says.

        Raises:
            InvalidArgumentError: It is none.
        """
        match value.split("/") if isinstance(value, str) else ():
            case ["0" | "1" as past, *quoted] if len(quoted) == 3:
                scope, node, executor_id = (unquote(name) for name in quoted)
                if all(map(is_storable, (scope, node, executor_id))):
                    return cls(past == "1", scope, node, executor_id)
            case _:
                pass
        raise refuse(argument, value, "the cursor of an executor of the page before")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorCounts(AsDict):
    """How many executors there are."""

    by_status: Mapping[ExecutorStatus, int]
    """The operator's word -> executors that have it, also of words that none has."""

    alive: int
    """Those whose process sends heartbeats: where there is none, nobody rescues jobs or finds incidents."""

    replaced: int
    """Of the missing ones, those that concern nobody any more, as ``ExecutorHealth.replaced`` has it."""

    missing_nodes: int
    """Nodes with a missing one."""

    nodes: int
    """Nodes with one that has not stopped."""

    newest_beat_at: datetime | None
    """The last heartbeat of those that have not stopped; None where there is none."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_status.values())

    @property
    def working(self) -> int:
        """Those that have not stopped."""
        return self.total - self.by_status[ExecutorStatus.STOPPED]


class Executors(Facade):
    """Read the health of executors, and refresh the host's own."""

    async def refresh_heartbeats(self, heartbeats: Iterable[Mapping[str, Any]]) -> int:
        """Send heartbeats of the host's own executors; Oban's producers send theirs by themselves.

        Args:
            heartbeats: Each ``{"executor_id": ..., "node": ..., "producer_scope": ...}``; perhaps ``"producer"``, what
                its jobs carry in ``attempted_by`` behind the node (default: what follows the last colon of the id), and
                ``"gone_after"``, a timedelta (default: ``executor_missing_after``) in which it sends at least five
                heartbeats: when none comes for so long, its jobs are rescued.

        Returns:
            Their number; either all of them are stored or none.

        Raises:
            InvalidArgumentError: One of them is no heartbeat, or an executor is there twice; none is stored.
        """
        beats = read_beats(as_list("heartbeats", heartbeats, "heartbeats"), self._settings)
        if not beats:
            return 0
        async with self._connect() as session:
            row = await session.one("beat", beat_args(beats, self._settings))
        return row["beats"] if row else 0

    async def list_executor_health(
        self,
        *,
        status: ExecutorStatus | str | None = None,
        worst_nodes: int | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[ExecutorHealth]:
        """Executors with their health, by the database's clock; changes nothing.

        Args:
            status: The operator's word; None for all.
            worst_nodes: Only those that have not stopped, of at most so many nodes: first nodes with one that is
                missing, then with one that is late, then by name.
            after: Where the page before ended: the ``cursor`` of its last one.
            limit: At most so many; None for all.

        Returns:
            Those that were replaced or have stopped last; then by scope, node and id.

        Raises:
            InvalidArgumentError: An argument is not what it should be.
        """
        word = unless_none(_as_status, "status", status)
        nodes, page = unless_none(as_count, "worst_nodes", worst_nodes), unless_none(as_count, "limit", limit)
        place = unless_none(ExecutorPlace.read, "after", after)
        async with self._connect() as session:
            return await list_health(session, status=word, worst_nodes=nodes, after=place, limit=page)

    async def count_executors(self) -> ExecutorCounts:
        """How many executors have which health, by the database's clock; changes nothing."""
        async with self._connect() as session:
            rows = await session.all("count_executors")
        counts = {row["status"]: row["executors"] for row in rows}
        beats = [row["newest_beat_at"] for row in rows if row["state"] != ExecutorState.STOPPED]
        return ExecutorCounts(
            by_status={status: counts.get(status.value, 0) for status in ExecutorStatus},
            alive=sum(row["alive"] for row in rows),
            replaced=sum(row["replaced"] for row in rows),
            missing_nodes=sum(row["nodes"] for row in rows if row["state"] == ExecutorState.MISSING),
            nodes=rows[0]["working_nodes"] if rows else 0,
            newest_beat_at=max(beats, default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One heartbeat."""

    executor_id: str
    """Its id."""

    node: str
    """``attempted_by[1]`` of its jobs."""

    producer: str
    """``attempted_by[2]`` of its jobs."""

    producer_scope: str
    """Its queue."""

    gone_after: timedelta
    """An executor without a heartbeat for so long is gone."""

    loop_age: float = 0.0
    """Seconds since its event loop answered."""

    aside: int = 0
    """Outcomes that it has set aside."""

    aside_age: float | None = None
    """Seconds since the oldest of them was set aside."""


def read_beats(heartbeats: Sequence[Mapping[str, Any]], settings: Settings) -> list[Beat]:
    """Check the host's own heartbeats.

    Raises:
        InvalidArgumentError: A key is missing, unknown or no text, or an executor is there twice; no heartbeat is kept.
    """
    beats = [_read_beat(heartbeat, settings) for heartbeat in heartbeats]
    if len({beat.executor_id for beat in beats}) < len(beats):
        raise refuse("heartbeats", [beat.executor_id for beat in beats], "one heartbeat of each executor")
    return beats


def _read_beat(value: object, settings: Settings) -> Beat:
    needed = {"executor_id", "node", "producer_scope"}
    heartbeat: Mapping[str, Any] = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}
    if not needed <= heartbeat.keys() <= needed | {"producer", "gone_after"}:
        raise refuse("a heartbeat", cast("object", value), f"the keys of a heartbeat: {', '.join(sorted(needed))}")
    gone_after = heartbeat.get("gone_after", settings.executor_missing_after)
    producer = heartbeat.get("producer", str(heartbeat["executor_id"]).rpartition(":")[2])
    return Beat(
        executor_id=_name("executor_id", heartbeat["executor_id"]),
        node=_name("node", heartbeat["node"]),
        producer=_name("producer", producer),
        producer_scope=_name("producer_scope", heartbeat["producer_scope"]),
        gone_after=as_span("gone_after", gone_after, least=timedelta(microseconds=1), most=LONGEST),
    )


def _name(argument: str, value: object) -> str:
    if type(value) is not str or not 0 < len(value) <= LONGEST_NAME or not is_storable(value):
        raise refuse(argument, value, f"text of 1 to {LONGEST_NAME} characters, without NUL")
    return value


def beat_args(
    beats: Sequence[Beat], settings: Settings, process: Process | None = None, started_with: str = "{}"
) -> dict[str, Any]:
    """The arguments of the query ``beat``; without a process, no other one can notice its end.

    Args:
        started_with: JSON of the shared settings that the process was started with.
    """
    return {
        "late_after": settings.executor_late_after,
        "missing_after": settings.executor_missing_after,
        "started_with": started_with,
        "executor_ids": [beat.executor_id for beat in beats],
        "nodes": [beat.node for beat in beats],
        "producers": [beat.producer for beat in beats],
        "scopes": [beat.producer_scope for beat in beats],
        "loop_ages": [beat.loop_age for beat in beats],
        "gone_afters": [beat.gone_after for beat in beats],
        "asides": [beat.aside for beat in beats],
        "aside_ages": [beat.aside_age for beat in beats],
        "host": process and process.host,
        "pid": process and process.pid,
        "ticks": process and process.ticks,
    }


async def list_health(
    session: Session,
    now: datetime | None = None,
    *,
    status: ExecutorStatus | None = None,
    worst_nodes: int | None = None,
    after: ExecutorPlace | None = None,
    limit: int | None = None,
) -> list[ExecutorHealth]:
    """Executors with their health at an instant.

    Args:
        now: None for the database's clock.
        status: Only with this word.
        worst_nodes: Only of so many nodes, as ``list_executor_health`` says.
        after: Only those behind this place.
        limit: At most so many.
    """
    place = after._asdict() if after else dict.fromkeys(ExecutorPlace._fields)
    args = {"now": now, "status": status and status.value, "worst_nodes": worst_nodes, "page": limit, **place}
    return await session.records(ExecutorHealth, "list_executor_health", args)


def _as_status(argument: str, value: object) -> ExecutorStatus:
    return as_word(argument, value, ExecutorStatus)
