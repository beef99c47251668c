"""The arguments of tools: their JSON Schema for the agent, and the check of what it passes.

Values are checked by the calls themselves (``arguments``); here only what JSON has no type for. No I/O.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..arguments import as_count, refuse
from ..errors import InvalidArgumentError

_LONGEST_SECONDS: Final = 36_525 * 86_400


@dataclass(frozen=True, slots=True)
class Input:
    """One argument of a tool."""

    meaning: str
    """One sentence for the agent."""

    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    """The JSON Schema of its value."""

    required: bool = False
    """Whether the tool refuses to work without it."""


def words(meaning: str, *, required: bool = False) -> Input:
    """A text."""
    return Input(meaning, {"type": "string"}, required)


def key(meaning: str, *, required: bool = False) -> Input:
    """An id: a number, or its text."""
    return Input(meaning, {"type": ["string", "integer"]}, required)


def word(meaning: str, words: Iterable[str], *, required: bool = False) -> Input:
    """One of these words."""
    return Input(meaning, {"type": "string", "enum": [*words]}, required)


def count(meaning: str, default: int, most: int) -> Input:
    """How many; ``default`` when it is left out."""
    return Input(meaning, {"type": "integer", "minimum": 1, "maximum": most, "default": default})


def anything(meaning: str) -> Input:
    """Any JSON value."""
    return Input(meaning, {})


def schema_of(inputs: Mapping[str, Input]) -> dict[str, Any]:
    """The JSON Schema of all arguments of a tool."""
    return {
        "type": "object",
        "properties": {name: {**one.schema, "description": one.meaning} for name, one in inputs.items()},
        "required": [name for name, one in inputs.items() if one.required],
        "additionalProperties": False,
    }


def check_inputs(inputs: Mapping[str, Input], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that were passed; null counts as not passed.

    Raises:
        InvalidArgumentError: There is no such argument, or one that is needed is missing.
    """
    if unknown := sorted(arguments.keys() - inputs.keys()):
        raise InvalidArgumentError(unknown[0], "not an argument of this tool", ", ".join(inputs) or "no argument")
    passed = {name: value for name, value in arguments.items() if value is not None}
    if missing := [name for name, one in inputs.items() if one.required and name not in passed]:
        raise InvalidArgumentError(missing[0], "missing", inputs[missing[0]].meaning)
    return passed


def page_of(value: Any, default: int, most: int) -> int:
    """How many records of a list.

    Raises:
        InvalidArgumentError: It is no whole number within the bounds.
    """
    return default if value is None else as_count("limit", value, most=most)


def instant_of(name: str, value: Any) -> datetime | None:
    """An instant of ISO 8601 text, in UTC unless it says otherwise; None stays None.

    Raises:
        InvalidArgumentError: It is none.
    """
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise refuse(name, value, "an instant, as in 2026-11-21T09:00:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def span_of(name: str, value: Any) -> timedelta | None:
    """A span of whole seconds; None stays None.

    Raises:
        InvalidArgumentError: It is none.
    """
    return None if value is None else timedelta(seconds=as_count(name, value, most=_LONGEST_SECONDS))
