"""A plan: the rows that a repair changes, before and after, in a form that is equal for equal repairs.

Pure. The rule that must never break: two runs of one repair on one state have the same hash, and any other difference
changes it (security/S4). Instants written by a repair become "now"; generated ids are named after their purpose.
"""

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ...database import Row
from ...states import Effects
from ...wire import AsDict

VERSION: Final = 2
"""The version of the plan's form; a preview of another form has drifted."""

NOW: Final = "now"
"""Stands for an instant that the repair writes."""

GIVEN: Final = "as given"
"""Stands for a text that comes with the execution."""

MOST_STORED: Final = 1000
"""Rows of a plan that a preview keeps and shows; the hash is of all."""

CLOCKS: Final = frozenset(
    {
        "adopted_at",
        "attempted_at",
        "cancel_requested_at",
        "cancelled_at",
        "completed_at",
        "consumed_at",
        "deadline_at",
        "discarded_at",
        "dismissed_at",
        "ended_at",
        "expired_at",
        "expires_at",
        "finished_at",
        "held_until",
        "released_at",
        "repaired_at",
        "scheduled_at",
        "started_at",
    }
)
"""Columns that hold an instant."""

_REFERENCES: Final = {
    "job_id": "job",
    "wait_id": "wait",
    "child_id": "workflow",
    "parent_id": "workflow",
    "workflow_id": "workflow",
}
_RUNS_ON: Final = frozenset({"job_id", "wait_id", "child_id"})
_BEGUN: Final = frozenset({"available", "executing", "awaiting_signal"})

type RowKey = tuple[str, str]
"""The kind of a row and its id."""

type Written = Mapping[str, Mapping[str, int | None]]
"""Kind -> id -> a checksum of the change, None where nothing changes: every row that a repair writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(AsDict):
    """One row that the repair changes or makes."""

    source: str
    """workflow, step, job, wait, signal, late_result or settle_fault."""

    id: str
    """Its id; for a new row its purpose, such as ``new job of step 41/3``. A step's is ``workflow/position``."""

    before: Mapping[str, Any] | None
    """The row as it is; None for a new one. Payloads are hashes."""

    after: Mapping[str, Any]
    """The row as it will be."""

    @property
    def is_new(self) -> bool:
        """Whether the repair inserts it."""
        return self.before is None

    @property
    def fields(self) -> Mapping[str, tuple[Any, Any]]:
        """Changed column -> its values before and after."""
        before = self.before or {}
        return {name: (before.get(name), value) for name, value in self.after.items() if before.get(name) != value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(AsDict):
    """The effect of a repair on the graph."""

    steps_released: int
    """Steps whose job, wait or workflow begins."""

    jobs_created: int
    """New jobs."""

    workflows_ended: tuple[int, ...]
    """Ids of workflows that end."""

    workflows_reopened: tuple[int, ...]
    """Ids of ended workflows that continue."""

    events: Mapping[str, int]
    """Kind of event -> how many will be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a repair does."""

    subject: Mapping[str, Any]
    """Action, target, arguments and incident."""

    changes: Sequence[Change]
    """By source and id: the first 1,000."""

    total: int
    """How many rows it changes or inserts."""

    hash: str
    """SHA-256 in hex over lines of JSON: the subject, then each change with its columns in the database's order."""

    written: Written
    """All rows that it writes."""

    effect: Effect
    """Its effect on the graph."""

    repeated: int
    """Steps that run again although an earlier run may have had effects."""


def make_plan(
    subject: Mapping[str, Any], before: Mapping[RowKey, str], after: Mapping[RowKey, str], events: Mapping[str, int]
) -> Plan:
    """Make the plan of a repair from the rows that it writes, as they were and as they became.

    For 100,000 rows it keeps only their texts in memory, and parses one row at a time.

    Args:
        before: JSON of the rows before the repair, without new ones.
        after: JSON of the same rows and of the new ones, after it.
        events: Kind of event -> how many it wrote.
    """
    about = orjson.dumps({"version": VERSION, **subject}, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    digest = hashlib.sha256(about)
    stored: list[Change] = []
    written: dict[str, dict[str, int | None]] = {}
    tally = _Tally()
    for source, name, was, will in _find_changes(before, after):
        checksum = None
        if was != will:
            # Columns have one order, the database's: sorting them would take as long as all the rest of the hash.
            line = orjson.dumps([source, name, was, will], option=orjson.OPT_APPEND_NEWLINE)
            digest.update(line)
            checksum = zlib.crc32(line)
            tally.add(source, name, was, will)
            if len(stored) < MOST_STORED:
                stored.append(Change(source=source, id=name, before=was, after=will))
        written.setdefault(source, {})[name] = checksum
    return Plan(
        subject=subject,
        changes=stored,
        total=tally.total,
        hash=digest.hexdigest(),
        written=written,
        effect=tally.effect(events),
        repeated=tally.repeated,
    )


@dataclass(slots=True, kw_only=True)
class _Tally:
    """Adds up the effect of changes, one after the other."""

    total: int = 0
    released: int = 0
    created: int = 0
    repeated: int = 0
    ended: list[int] = field(default_factory=list[int])
    reopened: list[int] = field(default_factory=list[int])

    def add(self, source: str, name: str, before: Row | None, after: Row) -> None:
        self.total += 1
        if source == "job":
            self.created += before is None
        elif source == "step":
            self.released += after["state"] in _BEGUN and (before is None or before["state"] not in _BEGUN)
            self.repeated += before is not None and _runs_again(before, after)
        elif source == "workflow" and before is not None:
            was, will = before["finished_at"] is not None, after["finished_at"] is not None
            (self.ended if will else self.reopened).extend([int(name)] if was != will else [])

    def effect(self, events: Mapping[str, int]) -> Effect:
        return Effect(
            steps_released=self.released,
            jobs_created=self.created,
            workflows_ended=tuple(self.ended),
            workflows_reopened=tuple(self.reopened),
            events=events,
        )


def _runs_again(before: Row, after: Row) -> bool:
    return after["effects"] == Effects.ASK and after["generation"] > before["generation"] and before["attempt"] > 0


def _find_changes(
    before: Mapping[RowKey, str], after: Mapping[RowKey, str]
) -> Iterator[tuple[str, str, Row | None, Row]]:
    # Kind, name, and the row before and after, by kind and name; an unchanged row is empty both times.
    names = _name_new(before, after)
    for source, name, key in sorted((key[0], names.get(key, key[1]), key) for key in after):
        was, will = before.get(key), after[key]
        if was == will:
            yield source, name, {}, {}
        else:
            old = None if was is None else orjson.loads(was)
            yield source, name, old, _normal(orjson.loads(will), old, names)


def _normal(row: Row, before: Row | None, names: Mapping[RowKey, str]) -> Row:
    was = before or {}
    return {
        name: value if value is None or value == was.get(name) else _normal_value(name, value, row, names)
        for name, value in row.items()
    }


def _normal_value(name: str, value: Any, row: Row, names: Mapping[RowKey, str]) -> Any:
    if name in CLOCKS:
        return NOW
    if name == "hold_reason":
        return GIVEN
    source = _REFERENCES.get(name)
    if source is None:
        return value
    # A step that ended as it was released keeps the number of a row that was never inserted: an empty map, a wait
    # without a key.
    unmade = f"new {source}, never made" if "pending" in row and name in _RUNS_ON else value
    return names.get((source, str(value)), unmade)


def _name_new(before: Mapping[RowKey, str], after: Mapping[RowKey, str]) -> Mapping[RowKey, str]:
    # Workflows first, outer ones before inner ones: ids rise with depth, and other rows are named after their workflow.
    new = sorted((key for key in after if key not in before), key=_by_depth)
    names: dict[RowKey, str] = {}
    uses: dict[str, int] = {}
    for key in new:
        name = _name(key, orjson.loads(after[key]), names)
        uses[name] = uses.get(name, 0) + 1
        names[key] = name if uses[name] == 1 else f"{name} ({uses[name]})"
    return names


def _by_depth(key: RowKey) -> tuple[bool, str, tuple[int, ...]]:
    return key[0] != "workflow", key[0], tuple(int(part) for part in key[1].split("/"))


def _name(key: RowKey, row: Row, names: Mapping[RowKey, str]) -> str:
    source, _ = key
    if source == "workflow":
        return f"new workflow of step {_workflow(row['parent_id'], names)}/{row['parent_position']}"
    if source == "settle_fault":
        return f"fault of job {key[1]}"
    if source in ("signal", "late_result"):
        return key[1]
    workflow = _workflow(row["workflow_id"], names)
    if source == "step":
        return f"{workflow}/{row['position']}"
    if row["position"] is None:
        return f"new callback of workflow {workflow}"
    return f"new {source} of step {workflow}/{row['position']}"


def _workflow(workflow_id: Any, names: Mapping[RowKey, str]) -> str:
    return names.get(("workflow", str(workflow_id)), str(workflow_id))
