"""The rows that a repair changes, as people read them: grouped by what they become, their columns in order.

Pure. The rule that must never break: every row that is given is in one group.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ..lifeline import Change, Effect
from ..plural import counted
from ..times import instant

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_LEADS: Final = ("state", "status", "cause", "held_until", "cancel_requested_at", "adopted_at", "dismissed_at")
"""Columns that say what happens to a row, in this order."""

_BAD: Final = frozenset({"discarded", "cancelled", "failed", "expired"})
_SOURCES: Final = ("job", "step", "workflow", "wait", "signal", "late_result", "settle_fault")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroup:
    """Rows of one kind that become the same."""

    source: str
    """``job``, ``step`` and so on."""

    becomes: str
    """Their state afterwards; empty where it stays."""

    was: str
    """Their state before, where it is one for all; empty for new ones."""

    count: int
    """How many rows."""

    bad: bool
    """Whether something ends for good that had not."""

    rows: Sequence[Change]
    """Those on this page."""

    @property
    def heading(self) -> str:
        """As a heading."""
        rows = counted(self.count, self.source.replace("_", " "))
        if not self.was and not self.becomes:
            return f"{rows} with other columns"
        if not self.was:
            return f"{counted(self.count, f'new {self.source}')}: {self.becomes}"
        text = f"{rows}: {self.was} becomes {self.becomes}" if self.was != self.becomes else f"{rows}: stays {self.was}"
        return text.replace("_", " ")


def group_rows(changes: Sequence[Change], start: int, end: int) -> list[RowGroup]:
    """The rows by what they become, jobs first; each group with its rows between two places of the whole list."""
    alike: dict[tuple[str, str, str], list[Change]] = {}
    for change in changes:
        was = str((change.before or {}).get("state") or "")
        alike.setdefault((change.source, was, str(change.after.get("state") or "")), []).append(change)
    groups: list[RowGroup] = []
    place = 0
    for (source, was, becomes), rows in sorted(alike.items(), key=lambda item: _SOURCES.index(item[0][0])):
        here = rows[max(start - place, 0) : max(end - place, 0)]
        place += len(rows)
        groups.append(
            RowGroup(
                source=source,
                was=was,
                becomes=becomes,
                count=len(rows),
                bad=becomes in _BAD and was not in _BAD,
                rows=here,
            )
        )
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOutcome:
    """How many rows of one kind become the same, whatever they were."""

    words: str
    """What they are and become, after their number."""

    becomes: str
    """The state."""

    count: int
    """How many."""

    bad: bool
    """Whether something ends for good that had not."""


def outcomes_of(changes: Sequence[Change]) -> list[RowOutcome]:
    """What the rows become, jobs first; empty where no state changes."""
    alike: dict[tuple[str, str, bool], list[RowGroup]] = {}
    for group in group_rows(changes, 0, 0):
        if group.becomes and group.was != group.becomes:
            alike.setdefault((group.source, group.becomes, not group.was), []).append(group)
    return [_outcome(*key, groups) for key, groups in alike.items()]


def _outcome(source: str, becomes: str, new: bool, groups: Sequence[RowGroup]) -> RowOutcome:
    count = sum(group.count for group in groups)
    noun = f"{'new ' if new else ''}{source.replace('_', ' ')}{'' if count == 1 else 's'}"
    verb = "is" if new and count == 1 else "are" if new else "becomes" if count == 1 else "become"
    return RowOutcome(
        words=f"{noun} {verb} {becomes.replace('_', ' ')}",
        becomes=becomes,
        count=count,
        bad=any(group.bad for group in groups),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of a row that change: name, before, after."""

    leading: Sequence[tuple[str, Any, Any]]
    """Those that say what happens to it."""

    others: Sequence[tuple[str, Any, Any]]
    """All others, by name."""


def columns_of(change: Change) -> Columns:
    """The columns of a row that change."""
    fields = [(name, *map(plain_value, change.fields[name])) for name in sorted(change.fields)]
    leading = [each for name in _LEADS for each in fields if each[0] == name] or fields[:1]
    return Columns(leading=leading, others=[each for each in fields if each not in leading])


def describe_effect(effect: Effect) -> str:
    """What follows in the graph, in a few words; empty where nothing does."""
    counts = (
        (effect.steps_released, "step", "starts", "start"),
        (effect.jobs_created, "new job", "is made", "are made"),
        (len(effect.workflows_ended), "workflow", "ends", "end"),
        (len(effect.workflows_reopened), "workflow", "goes on", "go on"),
    )
    return ", ".join(f"{counted(n, noun)} {one if n == 1 else more}" for n, noun, one, more in counts if n)


def plain_value(value: Any) -> Any:
    """A value as people read it: instants as everywhere, of a hash its beginning."""
    if not isinstance(value, str):
        return value
    if value.startswith("sha256:"):
        return f"{value[:15]}…"
    return instant(datetime.fromisoformat(value)) if _INSTANT.fullmatch(value) else value
