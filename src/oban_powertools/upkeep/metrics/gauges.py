"""The gauges that can be read from the database now, and the queries that read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...database import Session
from ...incident_classes import IncidentClass
from ...states import ExecutorState
from ...wire import AsDict

_MOST: Final = 50_000
"""Rows that one count looks at; above it the number stays there."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that goes up and down."""

    meaning: str
    """What it counts, with its unit."""

    label: str | None = None
    """What its values are told apart by."""

    words: tuple[str, ...] = ()
    """Every value of the label; all of them are always read."""


@dataclass(frozen=True, slots=True)
class Reading(AsDict):
    """One value of a gauge."""

    name: str
    """A key of ``GAUGES``."""

    value: float
    """In the unit of the name."""

    word: str | None = None
    """The value of the gauge's label."""


_STEP_STATES: Final = ("pending", "available", "scheduled", "executing", "retryable", "suspended", "awaiting_signal")
_WORKFLOW_STATES: Final = ("running", "cancel_requested")
_EXECUTOR_STATES: Final = tuple(ExecutorState)
_INCIDENT_CLASSES: Final = tuple(IncidentClass)

GAUGES: Final[Mapping[str, Gauge]] = {
    "open_steps": Gauge("Steps without an outcome, at most 50,000 in a state", "state", _STEP_STATES),
    "oldest_waiting_step_seconds": Gauge("Seconds since the oldest available step could have started"),
    "open_workflows": Gauge("Workflows that have not ended, at most 50,000", "state", _WORKFLOW_STATES),
    "event_head": Gauge("Cursor of the newest event"),
    "event_lag_seconds": Gauge("Age in seconds of the oldest events that have no place in the log yet"),
    "open_settle_faults": Gauge("Jobs that could not be settled and wait for the sweep, at most 50,000"),
    "executors": Gauge("Executors", "health", _EXECUTOR_STATES),
    "outcomes_aside": Gauge("Outcomes that the database does not take now and executors hold"),
    "oldest_outcome_aside_seconds": Gauge("Seconds since the oldest of them was set aside"),
    "open_incidents": Gauge("Incidents that are not resolved", "class", _INCIDENT_CLASSES),
}
"""Name -> what it is."""


async def read_steps(session: Session) -> list[Reading]:
    """``open_steps`` and ``oldest_waiting_step_seconds``."""
    rows = await session.all("backlog", {"most": _MOST})
    oldest = max((row["oldest_seconds"] or 0.0 for row in rows), default=0.0)
    return [
        *(Reading("open_steps", int(row["steps"]), row["state"]) for row in rows),
        Reading("oldest_waiting_step_seconds", max(0.0, oldest)),
    ]


async def read_open_workflows(session: Session) -> list[Reading]:
    """``open_workflows``."""
    rows = await session.all("open_workflows", {"most": _MOST})
    counts = {row["state"]: row["workflows"] for row in rows}
    return [Reading("open_workflows", counts.get(state, 0), state) for state in _WORKFLOW_STATES]


async def read_events(session: Session) -> list[Reading]:
    """``event_head`` and ``event_lag_seconds``."""
    row = await session.one("event_log_state")
    assert row is not None
    return [Reading("event_head", row["head"]), Reading("event_lag_seconds", max(0.0, row["lag_seconds"]))]


async def read_faults(session: Session) -> list[Reading]:
    """``open_settle_faults``."""
    row = await session.one("open_settle_faults", {"most": _MOST})
    assert row is not None
    return [Reading("open_settle_faults", row["faults"])]


async def read_executors(session: Session) -> list[Reading]:
    """``executors``, ``outcomes_aside`` and ``oldest_outcome_aside_seconds``."""
    rows = await session.all("count_executors")
    counts = {row["state"]: row["executors"] for row in rows}
    aside = await session.one("count_outcomes_aside")
    assert aside is not None
    return [
        *(Reading("executors", counts.get(state, 0), state) for state in _EXECUTOR_STATES),
        Reading("outcomes_aside", aside["aside"]),
        Reading("oldest_outcome_aside_seconds", max(0.0, aside["oldest_seconds"])),
    ]


async def read_incidents(session: Session) -> list[Reading]:
    """``open_incidents``."""
    return [Reading("open_incidents", row["incidents"], row["class"]) for row in await session.all("count_incidents")]
