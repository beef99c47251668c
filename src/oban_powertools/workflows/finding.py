"""The filters of ``workflows.list``: check them before the database is asked.

No I/O. ``functions/finding.sql`` finds the workflows of each filter.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

from ..arguments import as_flag, as_key, as_word, refuse
from ..database import json_border
from ..errors import UnstorableValueError
from ..states import OperatorStatus, WorkflowState


class Nested(StrEnum):
    """What a list for people does with workflows that run in others."""

    YES = "yes"
    """Shows them."""

    NO = "no"
    """Leaves them out."""

    ONLY = "only"
    """Shows nothing else."""


def nested_filter(asked: Nested | None, *, searches: bool) -> bool | None:
    """The filter ``nested`` of a list for people.

    The outermost workflow says what holds up those that run in it, so they are left out, unless somebody searches.

    Args:
        searches: Whether there is another filter than by a word or a state.
    """
    if asked is None:
        asked = Nested.YES if searches else Nested.NO
    return {Nested.YES: None, Nested.NO: False, Nested.ONLY: True}[asked]


def filters_of(
    *,
    state: WorkflowState | str | None,
    status: OperatorStatus | str | None,
    label: str | None,
    context: Mapping[str, Any] | None,
    nested: bool | None,
    texts: Mapping[str, str | None],
    instants: Mapping[str, datetime | None],
) -> dict[str, Any]:
    """The filters that were given, as JSON-safe values; names as ``find_workflows_v1`` has them.

    Args:
        label: The context's field ``label``.
        texts: Filters that are texts by their names; those that are None are left out.
        instants: Likewise.

    Raises:
        InvalidArgumentError: One of them cannot be searched for.
    """
    filters: dict[str, Any] = {name: as_key(name, text) for name, text in texts.items() if text is not None}
    if state is not None:
        filters["state"] = as_word("state", state, WorkflowState).value
    if status is not None:
        filters["status"] = as_word("status", status, OperatorStatus).value
    if nested is not None:
        filters["nested"] = as_flag("nested", nested)
    fields = {} if context is None else _fields(context)
    if label is not None:
        fields["label"] = as_key("label", label)
    if fields:
        filters["context"] = fields
    return filters | instants_of(instants)


def instants_of(instants: Mapping[str, datetime | None]) -> dict[str, str]:
    """The instants that were given, as JSON-safe values.

    Raises:
        InvalidArgumentError: One of them is none, or says no time zone.
    """
    return {name: _instant(name, at) for name, at in instants.items() if at is not None}


def _fields(context: object) -> dict[str, Any]:
    expected = "a dict of JSON values with at least one field, such as {'account_id': 42}"
    fields = dict(cast("Mapping[str, Any]", context)) if isinstance(context, Mapping) else {}
    if not fields:
        raise refuse("context", cast("object", context), expected)
    try:
        json_border.dumps(fields)
    except (UnstorableValueError, TypeError, ValueError) as error:
        raise refuse("context", fields, expected) from error
    return fields


def _instant(name: str, at: object) -> str:
    if isinstance(at, datetime) and at.tzinfo is not None:
        return at.astimezone(UTC).isoformat()
    raise refuse(name, at, "a datetime with its time zone")
