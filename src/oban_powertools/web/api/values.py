"""What a parameter, or a field of a body, may hold: its JSON Schema and its reader, side by side.

No I/O. The rule that must never break: what a schema allows its reader accepts, and what it forbids its reader refuses.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, cast

from ...arguments import LARGEST_ID, as_key, as_list, as_word, is_storable, refuse
from ...database import json_border
from ...errors import InvalidArgumentError
from ...spelling import one_of

MOST_SECONDS: Final = 36_525 * 86_400
"""100 years, the longest duration that a call takes."""

_PROSE: Final = 4_000
"""Characters: also where each is escaped, a reason and a note fit into a body."""

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueKind:
    """One kind of value."""

    schema: Mapping[str, Any]
    """Its JSON Schema."""

    read: Callable[[str, Any], Any]
    """Name, value as JSON has it -> the value that a call takes; raises ``InvalidArgumentError``."""

    from_text: Callable[[str], Any] = str
    """Text of a query or a path -> the value as JSON would have it; what it cannot convert it returns unchanged."""

    whole_path: bool = False
    """Whether it may contain slashes, where it is a part of a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a path or of a query, or one field of a body."""

    name: str
    """As clients write it."""

    value: ValueKind
    """What it may hold."""

    about: str
    """One sentence."""

    required: bool = False
    """Whether a request without it is refused."""

    default: Any = None
    """What counts without it, as a call takes it; None: the call's own default."""

    to: str = ""
    """The argument of the call that it is; empty: of the same name."""

    example: Any = None
    """A value that is accepted."""

    @property
    def argument(self) -> str:
        """The argument of the call."""
        return self.to or self.name


def text(*, most: int = 10_000, whole_path: bool = False) -> ValueKind:
    """A text that says something."""

    def read(name: str, value: Any) -> str:
        key = as_key(name, value)
        if len(key) > most:
            raise refuse(name, value, f"text of at most {most:,} characters")
        return key

    schema = {"type": "string", "minLength": 1, "maxLength": most, "pattern": r"\S"}
    return ValueKind(schema=schema, read=read, whole_path=whole_path)


def _read_prose(name: str, value: Any) -> str:
    if not isinstance(value, str) or not is_storable(value) or len(value) > _PROSE:
        raise refuse(name, value, f"text of at most {_PROSE:,} characters")
    return value


PROSE: Final = ValueKind(schema={"type": "string", "maxLength": _PROSE}, read=_read_prose)
"""A text for people, possibly empty; the call itself says what is missing in it."""


def _read_id(name: str, value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[1-9][0-9]{0,18}", value) or int(value) > LARGEST_ID:
        raise refuse(name, value, "an id: the text of a whole number from 1 to 2**63 - 1")
    return int(value)


ID: Final = ValueKind(schema={"type": "string", "pattern": "^[1-9][0-9]{0,17}$", "examples": ["41"]}, read=_read_id)
"""An id of a number, which is text in JSON."""


def _read_place(name: str, value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{1,18}", value):
        raise refuse(name, value, "a cursor: the text of a whole number")
    return int(value)


PLACE: Final = ValueKind(schema={"type": "string", "pattern": "^[0-9]{1,18}$"}, read=_read_place)
"""A place in the event log."""


def _digits(given: str) -> Any:
    return int(given) if re.fullmatch(r"-?[0-9]{1,18}", given) else given


def count(*, least: int = 1, most: int = 2**31 - 1) -> ValueKind:
    """A whole number within bounds."""

    def read(name: str, value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise refuse(name, value, f"a whole number from {least:,} to {most:,}")
        return value

    return ValueKind(schema={"type": "integer", "minimum": least, "maximum": most}, read=read, from_text=_digits)


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, value, "true or false")
    return value


FLAG: Final = ValueKind(
    schema={"type": "boolean"},
    read=_read_flag,
    from_text=lambda given: {"true": True, "false": False}.get(given, given),
)


def word(words: type[StrEnum] | Sequence[str]) -> ValueKind:
    """One of some words."""
    known = [str(one) for one in words]

    def read(name: str, value: Any) -> str:
        if isinstance(words, type):
            return as_word(name, value, words)
        if value not in known:
            raise refuse(name, value, one_of(value, known))
        return value

    return ValueKind(schema={"type": "string", "enum": known}, read=read)


def _read_instant(name: str, value: Any) -> datetime:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise refuse(name, value, "an instant in RFC 3339, such as 2026-11-21T13:10:00Z")


INSTANT: Final = ValueKind(
    schema={"type": "string", "format": "date-time", "examples": ["2026-11-21T13:10:00Z"]}, read=_read_instant
)


def _read_seconds(name: str, value: Any) -> timedelta:
    if type(value) is not int or not 0 < value <= MOST_SECONDS:
        raise refuse(name, value, f"whole seconds, from 1 to {MOST_SECONDS:,}")
    return timedelta(seconds=value)


SECONDS: Final = ValueKind(
    schema={"type": "integer", "minimum": 1, "maximum": MOST_SECONDS}, read=_read_seconds, from_text=_digits
)
"""A duration."""


def _read_texts(name: str, value: Any) -> list[str]:
    return [as_key(name, one) for one in as_list(name, value, "texts")]


TEXTS: Final = ValueKind(
    schema={"type": "array", "items": {"type": "string", "minLength": 1, "pattern": r"\S"}}, read=_read_texts
)


def _read_any(name: str, value: Any) -> Any:
    if faults := json_border.find_faults(value, name):
        raise InvalidArgumentError(name, str(faults[0]), "what JSON and PostgreSQL both keep as it is")
    return value


def _read_object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refuse(name, value, "an object")
    return cast("dict[str, Any]", _read_any(name, cast("object", value)))


def _object(given: str) -> Any:
    try:
        return json_border.read_json(given)
    except ValueError:
        return given


OBJECT: Final = ValueKind(schema={"type": "object"}, read=_read_object, from_text=_object)
"""A JSON object; in a query its text."""

ANY: Final = ValueKind(schema={}, read=_read_any)
"""Any JSON."""


def or_null(value: ValueKind) -> ValueKind:
    """A value, or null, which stays None."""

    def read(name: str, given: Any) -> Any:
        return None if given is None else value.read(name, given)

    return ValueKind(schema={"anyOf": [dict(value.schema), {"type": "null"}]}, read=read)


def read_inputs(inputs: Sequence[Parameter], given: Mapping[str, Any], *, texts: bool) -> dict[str, Any]:
    """Argument of the call -> value, for what was given or has a default; what a client did not give is left out.

    Args:
        texts: Whether the values come from a path or a query.

    Raises:
        InvalidArgumentError: One is missing, unknown, or not what it should be.
    """
    names = [one.name for one in inputs]
    for name in given:
        if name not in names:
            raise InvalidArgumentError(name[:80], "unknown here", f"only: {', '.join(names) or 'nothing'}")
    values: dict[str, Any] = {}
    for one in inputs:
        if one.name in given:
            raw = given[one.name]
            values[one.argument] = one.value.read(one.name, one.value.from_text(raw) if texts else raw)
        elif one.required:
            raise InvalidArgumentError(one.name, "missing", one.about)
        elif one.default is not None:
            values[one.argument] = one.default
    return values
