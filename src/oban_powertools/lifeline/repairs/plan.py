"""A plan: which rows a repair changes, before and after, in a form that is the same for the same repair.

Pure. The rule that must never break: two runs of one repair on one state give the same hash, and whatever else differs
gives another one (S4). Instants that a repair writes are "now", generated ids are named by what they are for.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

VERSION: Final = 1
"""Of the plan's form; a preview of another form has drifted."""

NOW: Final = "now"
"""An instant that the repair writes."""

GIVEN: Final = "as given"
"""A text that comes with the execution."""

MOST_STORED: Final = 1000
"""Rows of a plan that a preview keeps and shows; the hash is of all."""

_CLOCKS: Final = frozenset({
    "adopted_at", "attempted_at", "cancel_requested_at", "cancelled_at", "completed_at", "consumed_at", "deadline_at",
    "discarded_at", "dismissed_at", "ended_at", "expired_at", "expires_at", "finished_at", "held_until", "released_at",
    "repaired_at", "scheduled_at", "started_at",
})  # fmt: skip
_REFERENCES: Final = {
    "job_id": "job", "wait_id": "wait", "child_id": "workflow", "parent_id": "workflow", "workflow_id": "workflow",
}  # fmt: skip
_RUNS_ON: Final = frozenset({"job_id", "wait_id", "child_id"})
_BEGUN: Final = frozenset({"available", "executing", "awaiting_signal"})

type Row = Mapping[str, Any]
type Key = tuple[str, str]
"""The kind of a row and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row that the repair changes or makes."""

    source: str
    """workflow, step, job, wait, signal, late_result or settle_fault."""

    id: str
    """Its id; of a new row what it is for, such as ``new job of step 41/3``. A step's is ``workflow/position``."""

    before: Row | None
    """The row as it is; None for a new one. Payloads are hashes."""

    after: Row
    """The row as it will be."""

    @property
    def is_new(self) -> bool:
        """Whether the repair makes it."""
        return self.before is None

    @property
    def fields(self) -> Mapping[str, tuple[Any, Any]]:
        """Column -> before and after, of those that change."""
        before = self.before or {}
        return {name: (before.get(name), value) for name, value in self.after.items() if before.get(name) != value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What comes of a repair in the graph."""

    steps_released: int
    """Steps whose job, wait or workflow begins."""

    jobs_created: int
    """New jobs."""

    workflows_ended: tuple[int, ...]
    """Ids of workflows that end."""

    workflows_reopened: tuple[int, ...]
    """Ids of ended workflows that go on."""

    events: Mapping[str, int]
    """Kind of event -> how many will be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a repair does."""

    subject: Mapping[str, Any]
    """Action, target, arguments and incident."""

    changes: tuple[Change, ...]
    """By source and id."""

    effect: Effect
    """What comes of it."""

    @property
    def hash(self) -> str:
        """SHA-256 of the plan as canonical JSON, in hex."""
        rows = [[c.source, c.id, c.before, c.after] for c in self.changes]
        written = orjson.dumps({"version": VERSION, **self.subject, "changes": rows}, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(written).hexdigest()

    def to_stored(self) -> dict[str, Any]:
        """As a preview keeps it: JSON-safe."""
        kept = self.changes[:MOST_STORED]
        return {
            "version": VERSION,
            "total": len(self.changes),
            "changes": [{"source": c.source, "id": c.id, "before": c.before, "after": c.after} for c in kept],
            "effect": {
                "steps_released": self.effect.steps_released,
                "jobs_created": self.effect.jobs_created,
                "workflows_ended": list(self.effect.workflows_ended),
                "workflows_reopened": list(self.effect.workflows_reopened),
                "events": dict(self.effect.events),
            },
        }


def stored_changes(stored: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes that a preview kept."""
    return tuple(Change(**change) for change in stored["changes"])


def stored_effect(stored: Mapping[str, Any]) -> Effect:
    """The effect that a preview kept."""
    effect: Mapping[str, Any] = stored["effect"]
    return Effect(
        steps_released=effect["steps_released"], jobs_created=effect["jobs_created"],
        workflows_ended=tuple(effect["workflows_ended"]), workflows_reopened=tuple(effect["workflows_reopened"]),
        events=effect["events"],
    )  # fmt: skip


def find_changes(before: Mapping[Key, Row], after: Mapping[Key, Row]) -> tuple[Change, ...]:
    """The changes between two looks at the same rows, in their final form.

    Args:
        before: Without the rows that are new.
    """
    names = _name_new(before, after)
    changes = (
        Change(
            source=key[0],
            id=names.get(key, key[1]),
            before=before.get(key),
            after=_normal(row, before.get(key), names),
        )
        for key, row in after.items()
    )
    return tuple(sorted((c for c in changes if c.before != c.after), key=lambda c: (c.source, c.id)))


def find_effect(changes: Iterable[Change], events: Mapping[str, int]) -> Effect:
    """What these changes come to."""
    ended: list[int] = []
    reopened: list[int] = []
    released = created = 0
    for change in changes:
        before = change.before or {}
        if change.source == "job":
            created += change.is_new
        elif change.source == "step":
            released += change.after["state"] in _BEGUN and before.get("state") not in _BEGUN
        elif change.source == "workflow" and change.before is not None:
            was, will = before["finished_at"] is not None, change.after["finished_at"] is not None
            (ended if will else reopened).extend([int(change.id)] if was != will else [])
    return Effect(
        steps_released=released, jobs_created=created, workflows_ended=tuple(ended), workflows_reopened=tuple(reopened),
        events=events,
    )  # fmt: skip


def find_drift(previewed: Sequence[Change], found: Sequence[Change]) -> list[str]:
    """What differs between the plan that was shown and that of now, one sentence a field."""
    now = {(c.source, c.id): c for c in found}
    told: list[str] = []
    for change in previewed:
        other = now.pop((change.source, change.id), None)
        if other is None:
            told.append(f"{change.source} {change.id} would not change any more")
        else:
            told += _differences(change.source, change.id, change.before, other.before, "was")
            told += _differences(change.source, change.id, change.after, other.after, "would become")
    return told + [f"{source} {name} would change too" for source, name in now]


def find_moved(previewed: Sequence[Change], now: Mapping[Key, Row]) -> list[str]:
    """What has become of the rows that a preview was about, one sentence a field."""
    told: list[str] = []
    for change in previewed:
        row = now.get((change.source, change.id))
        if change.before is not None and row is None:
            told.append(f"{change.source} {change.id} is gone")
        elif row is not None:
            told += _differences(change.source, change.id, change.before, row, "was")
    return told


def _differences(source: str, name: str, then: Row | None, now: Row | None, verb: str) -> list[str]:
    then, now = then or {}, now or {}
    fields = sorted(field for field in {*then, *now} if then.get(field) != now.get(field))
    return [
        f"{source} {name}: {field} {verb} {_said(then.get(field))}, now {_said(now.get(field))}" for field in fields
    ]


def _said(value: Any) -> str:
    return orjson.dumps(value).decode()


def _normal(row: Row, before: Row | None, names: Mapping[Key, str]) -> Row:
    was = before or {}
    of_a_step = "pending" in row
    return {name: _normal_value(name, value, was.get(name), names, of_a_step=of_a_step) for name, value in row.items()}


def _normal_value(name: str, value: Any, was: Any, names: Mapping[Key, str], *, of_a_step: bool) -> Any:
    if value is None or value == was:
        return value
    if name in _CLOCKS:
        return NOW
    if name == "hold_reason":
        return GIVEN
    source = _REFERENCES.get(name)
    if source is None:
        return value
    # A step that ended as it was released keeps the number of what was never made: an empty map, a wait without a key.
    unmade = f"new {source}, never made" if of_a_step and name in _RUNS_ON else value
    return names.get((source, str(value)), unmade)


def _name_new(before: Mapping[Key, Row], after: Mapping[Key, Row]) -> Mapping[Key, str]:
    # Workflows first, and the outer ones first: ids rise with depth, and the others are named after them.
    new = sorted((key for key in after if key not in before), key=_by_depth)
    names: dict[Key, str] = {}
    taken: dict[str, int] = {}
    for key in new:
        name = _name(key, after[key], names)
        taken[name] = taken.get(name, 0) + 1
        names[key] = name if taken[name] == 1 else f"{name} ({taken[name]})"
    return names


def _by_depth(key: Key) -> tuple[bool, str, tuple[int, ...]]:
    return key[0] != "workflow", key[0], tuple(int(part) for part in key[1].split("/"))


def _name(key: Key, row: Row, names: Mapping[Key, str]) -> str:
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


def _workflow(workflow_id: Any, names: Mapping[Key, str]) -> str:
    return names.get(("workflow", str(workflow_id)), str(workflow_id))
