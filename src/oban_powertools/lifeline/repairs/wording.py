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
    names = {each.id: f"{each.after['workflow_id']}/{each.after['name']}" for each in changes if _is_named_step(each)}
    jobs = {each.id: each for each in changes if each.source == "job"}
    return [_word(each, names, jobs) for each in changes]


def _is_named_step(change: Change) -> bool:
    return change.source == "step" and {"workflow_id", "name"} <= change.after.keys()


def _word(change: Change, names: Mapping[str, str], jobs: Mapping[str, Change]) -> WordedChange:
    fields = {
        _COLUMNS.get((change.source, name), name): (_name_steps(before, names), _name_steps(after, names))
        for name, (before, after) in change.fields.items()
    }
    if change.source == "step":
        was, will = _shown_state(change.before, jobs, now=True), _shown_state(change.after, jobs, now=False)
        fields = {name: each for name, each in fields.items() if name != "state"}
        fields |= {"state": (was, will)} if was != will else {}
    row = change.id if change.id.startswith("new ") else f"{change.source} {change.id}"
    # Its state first: it is what the reader looks for.
    ordered = dict(sorted(fields.items(), key=lambda item: item[0] != "state"))
    return WordedChange(row=_name_steps(row, names), is_new=change.is_new, fields=ordered)


def _shown_state(step: Row | None, jobs: Mapping[str, Change], *, now: bool) -> Any:
    """The state of a step: while it has a live job, the job's own."""
    if step is None:
        return None
    job = jobs.get(str(step.get("job_id"))) if step.get("state") == StepState.AVAILABLE else None
    row = None if job is None else job.before if now else job.after
    return step.get("state") if row is None else row.get("state")


def _name_steps(value: Any, names: Mapping[str, str]) -> Any:
    return _STEP.sub(lambda place: names.get(place[0], place[0]), value) if isinstance(value, str) else value
