"""The changes of a preview in the words of every other screen: a step by its name, and its state as lists show it.

Not for plans, which compare rows as the database has them. No I/O.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...database import Row
from ...states import StepState
from .plan import Change

_STEP: Final = re.compile(r"(?<=\bstep )\S+/\d+")
_OF_ITS_JOB: Final = frozenset({"released_at", "started_at"})
"""Columns of a step that are empty while its job says them."""

_COLUMNS: Final = {("workflow", "failed"): "not completed"}
"""Kind of row and column -> its name on a screen, where the column counts more than its name says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordedChange:
    """One row that a repair changes or makes."""

    row: str
    """What it is: ``step 41/bill``, ``job 8123``, ``new job of step 41/bill``."""

    is_new: bool
    """Whether the repair inserts it."""

    fields: Mapping[str, tuple[Any, Any]]
    """Changed column -> its values before and after, the state first."""


def word_changes(changes: Sequence[Change]) -> list[WordedChange]:
    """The changes of a preview, in their order, as a person reads them."""
    names = find_step_names(changes)
    jobs = {each.id: each for each in changes if each.source == "job"}
    return [_word(each, names, jobs) for each in changes]


def find_step_names(changes: Sequence[Change]) -> Mapping[str, str]:
    """Place of a step -> its name, ``41/2`` -> ``41/bill``, of the steps among the changes."""
    return {each.id: f"{each.after['workflow_id']}/{each.after['name']}" for each in changes if _is_named_step(each)}


def name_row(source: str, row_id: str, names: Mapping[str, str]) -> str:
    """A row as a person names it.

    Args:
        names: As ``find_step_names``.
    """
    return name_steps(row_id if row_id.startswith("new ") else f"{source} {row_id}", names)


def name_column(source: str, name: str) -> str:
    """A column by its name on a screen."""
    return _COLUMNS.get((source, name), name)


def name_steps(value: Any, names: Mapping[str, str]) -> Any:
    """The text with each step by its name; what is no text as it is."""
    return _STEP.sub(lambda place: names.get(place[0], place[0]), value) if isinstance(value, str) else value


def show_state(step: Row | None, job: Row | None) -> Any:
    """The state of a step: while it has a live job, the job's own, where that is known."""
    if step is None:
        return None
    return job.get("state") if job is not None and step.get("state") == StepState.AVAILABLE else step.get("state")


def _is_named_step(change: Change) -> bool:
    return change.source == "step" and {"workflow_id", "name"} <= change.after.keys()


def _word(change: Change, names: Mapping[str, str], jobs: Mapping[str, Change]) -> WordedChange:
    fields = {
        name_column(change.source, name): (name_steps(before, names), name_steps(after, names))
        for name, (before, after) in change.fields.items()
    }
    if change.source == "step":
        was = show_state(change.before, _job_of(change.before, jobs, now=True))
        will = show_state(change.after, _job_of(change.after, jobs, now=False))
        known = _job_of(change.before, jobs, now=True)
        fields = {name: each for name, each in fields.items() if name != "state" and not _is_known(name, each, known)}
        fields |= {"state": (was, will)} if was != will else {}
    # Its state first: it is what the reader looks for.
    ordered = dict(sorted(fields.items(), key=lambda item: item[0] != "state"))
    return WordedChange(row=name_row(change.source, change.id, names), is_new=change.is_new, fields=ordered)


def _is_known(column: str, values: tuple[Any, Any], job: Row | None) -> bool:
    """Whether a step only writes down by now what its job, and so every list, has said before."""
    if job is None:
        return False
    before, after = values
    return (column == "attempt" and job.get("attempt") == after) or (column in _OF_ITS_JOB and before is None)


def _job_of(step: Row | None, jobs: Mapping[str, Change], *, now: bool) -> Row | None:
    """The row of a step's job among the changes, as it is or will be."""
    job = jobs.get(str((step or {}).get("job_id")))
    return None if job is None else job.before if now else job.after
