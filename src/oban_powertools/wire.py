"""Records as JSON, one way for ``to_dict``, the command line, event streams, webhooks and the export of the audit.

No I/O. docs/reference/api.md has the form of each type. The rule that must never break: an id is a whole number in
Python and text in JSON, whoever writes it, because a browser's numbers end at 2**53.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, cast, get_args, get_type_hints

HOSTS: Final = frozenset({"args", "context", "message", "meta", "payload", "result", "results"})
"""What the host stored, and messages as they are sent: given out as it is, also where it has ids of its own."""

_ID: Final = ("id", "cursor", "next_before")
_IDS: Final = ("ids", "workflows_ended", "workflows_reopened")
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})

type _Write = Callable[[Any], Any]


class AsDict:
    """A record that can be handed out as JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-safe values: ids as text, instants in RFC 3339, UTC with Z; records in it as dicts."""
        return to_json(self)


def to_json(value: Any) -> Any:
    """A value for JSON.

    Records become dicts, enums their value, instants text, durations seconds, under ``NAME_seconds`` where a record's
    field is one; ids and cursors become text at any depth, known by their names.

    Raises:
        TypeError: It, or something in it, is of another type.
        ValueError: An instant has no time zone.
    """
    if type(value) in _PLAIN:
        return value
    if is_dataclass(value):
        return {key: write(getattr(value, name)) for name, key, write in _fields_of(type(value))}
    match value:
        case Enum():
            return value.value
        case datetime():
            return rfc3339(value)
        case timedelta():
            return value.total_seconds()
        case Mapping():
            items = cast("Mapping[Any, Any]", value).items()
            return {str(name): _writer(str(name))(item) for name, item in items}
        case str() | int() | float():
            return value
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [to_json(item) for item in cast("Sequence[Any]", value)]
        case _:
            raise TypeError(f"{type(value).__qualname__} has no form in JSON: {value!r}")


def rfc3339(at: datetime) -> str:
    """An instant in RFC 3339, UTC: ``2026-11-21T13:10:33.604858Z``.

    >>> rfc3339(datetime(2026, 11, 21, 13, 10, tzinfo=UTC))
    '2026-11-21T13:10:00Z'

    Raises:
        ValueError: It has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


@cache
def _fields_of(kind: Any) -> tuple[tuple[str, str, _Write], ...]:
    """Of each field of a record: its name, its key in JSON, and what writes its value."""
    types = get_type_hints(kind)
    return tuple((field.name, key_of(field.name, types[field.name]), _writer(field.name)) for field in fields(kind))


def key_of(name: str, hint: Any) -> str:
    """The key under which a record's field of this type is written."""
    return f"{name}_seconds" if timedelta in (hint, *get_args(hint)) else name


def is_id(name: str) -> bool:
    """Whether a number under this name is written as text."""
    return _is(name, _ID)


def is_list_of_ids(name: str) -> bool:
    """Whether numbers in a list under this name are written as text."""
    return _is(name, _IDS)


@lru_cache(maxsize=1024)
def _writer(name: str) -> _Write:
    if name in HOSTS:
        return _as_it_is
    if is_id(name):
        return _id
    return _ids if is_list_of_ids(name) else to_json


def _is(name: str, kinds: tuple[str, ...]) -> bool:
    return name in kinds or name.endswith(tuple(f"_{kind}" for kind in kinds))


def _as_it_is(value: Any) -> Any:
    return value


def _id(value: Any) -> Any:
    return str(value) if type(value) is int else to_json(value)


def _ids(value: Any) -> Any:
    return [_id(item) for item in cast("Sequence[Any]", value)] if isinstance(value, list | tuple) else to_json(value)
