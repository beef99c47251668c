"""The filters of bulk repairs: their keys, and the values that each accepts.

The rule that must never break: a filter only narrows. An empty list matches nothing, an empty text is refused, and
neither counts as "not set".
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from oban.job import JobState

from ...arguments import as_id, as_key, as_list
from ...errors import BulkFilterError, InvalidArgumentError
from ...operators.authorization import Action, TargetType
from ...spelling import did_you_mean, one_of
from ...states import Cause, StepState, WorkflowState
from .targets import as_repair

FILTERS: Final[Mapping[TargetType, tuple[str, tuple[str, ...]]]] = {
    TargetType.JOB: ("bulk_jobs", ("ids", "state", "queue", "worker", "executor_id")),
    TargetType.CALLBACK: ("bulk_jobs", ("ids", "state", "queue", "worker")),
    TargetType.STEP: (
        "bulk_steps",
        ("ids", "state", "cause", "step", "worker", "queue", "workflow_name", "workflow_id"),
    ),
    TargetType.WORKFLOW: ("bulk_workflows", ("ids", "state", "workflow_name", "tag")),
    TargetType.SIGNAL: ("bulk_signals", ("ids", "signal")),
}
"""Type of target -> the query that finds such targets, and the keys its filter may have."""

_WORDS: Final[Mapping[tuple[TargetType, str], tuple[str, ...]]] = {
    (TargetType.JOB, "state"): tuple(JobState),
    (TargetType.CALLBACK, "state"): tuple(JobState),
    (TargetType.STEP, "state"): tuple(StepState),
    (TargetType.STEP, "cause"): tuple(Cause),
    (TargetType.WORKFLOW, "state"): tuple(WorkflowState),
}


def read_filter(action: Action, filter_: object) -> dict[str, Any]:
    """Check a filter and return its conditions; each iterable is read once.

    Raises:
        BulkFilterError: It restricts nothing, has a key that is none of this action's, or a value that is none.
        UnsupportedTargetError: An id is none of this type of target.
    """
    target_type = action.row.targets[0]
    _, names = FILTERS[target_type]
    expected = f"one at least of: {', '.join(names)}"
    if not isinstance(filter_, Mapping):
        raise BulkFilterError(f"is {type(filter_).__qualname__}", f"a dict with {expected}")
    conditions = {name: value for name, value in cast("Mapping[object, object]", filter_).items() if value is not None}
    if not conditions:
        raise BulkFilterError("is empty", expected)
    if unknown := conditions.keys() - set(names):
        meant = did_you_mean(min(map(str, unknown)), names)
        raise BulkFilterError(f"names {', '.join(sorted(map(str, unknown)))}", f"{expected}{meant}")
    try:
        return {name: _read(action, target_type, name, conditions[name]) for name in names if name in conditions}
    except InvalidArgumentError as error:
        raise BulkFilterError(f"says that {error.argument} is {error.found}", error.expected) from None


def filter_args(action: Action, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The query arguments for the conditions of ``read_filter``."""
    target_type = action.row.targets[0]
    _, names = FILTERS[target_type]
    own = {"executor_id": None, "callbacks": target_type is TargetType.CALLBACK}
    return {**dict.fromkeys(names), **own, **conditions}


def _read(action: Action, target_type: TargetType, name: str, value: object) -> Any:
    if name == "ids":
        # An id that does not fit this type is refused before it reaches the database.
        ids = (as_repair(action, target_type, str(one))[1].id for one in as_list("ids", value, "ids"))
        return list(dict.fromkeys(ids))
    if name == "workflow_id":
        return as_id("workflow_id", value)
    text, words = as_key(name, value), _WORDS.get((target_type, name))
    if words is not None and text not in words:
        raise InvalidArgumentError(name, repr(text), one_of(text, words))
    return text
