"""From a row to a record, one way for every query: a field is the column of its name, as the field's type says.

No I/O. The rule that must never break: a field without a column is refused, never left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Final, NewType, Union, get_args, get_origin, get_type_hints

type Row = Mapping[str, Any]
"""Column -> value."""

type _Convert = Callable[[Any], Any]

_NO_COLUMN: Final = object()


def record[R](kind: type[R], row: Row, /, **known: Any) -> R:
    """The record of a row; columns that are no fields of it are left out.

    By the type of the field: text becomes a member of an enum or an id, an array a tuple, a number of seconds a
    duration, an object a record, and an instant is in UTC. A field that is a record and has no column is read from the
    columns that begin with its name, and is None when the first of them is NULL.

    Args:
        known: Fields that no column holds, as they are.

    Raises:
        KeyError: A field has neither a column nor a default; it is named.
        ValueError: An enum has no such member.
    """
    for name, convert, without_column in _columns(kind):
        if name in known:
            continue
        value = row.get(name, _NO_COLUMN)
        if value is not _NO_COLUMN:
            known[name] = value if convert is None or value is None else convert(value)
        elif without_column is not None:
            known[name] = without_column(row)
    return kind(**known)


@cache
def _columns(kind: Any) -> tuple[tuple[str, _Convert | None, Callable[[Row], Any] | None], ...]:
    """Of each field: its name, what its column becomes, and what it is without one; None for its default."""
    types = get_type_hints(kind)
    return tuple(
        (each.name, _conversion(types[each.name]), _without_column(kind, each, types)) for each in fields(kind)
    )


def _without_column(kind: Any, field: Field[Any], types: Mapping[str, Any]) -> Callable[[Row], Any] | None:
    if field.default is not MISSING or field.default_factory is not MISSING:
        return None
    nested = next(filter(_is_record, _members(types[field.name])), None)
    if nested is None:
        return partial(_refuse, f"{kind.__name__}.{field.name}")
    return partial(_read_nested, nested, field.name, tuple(each.name for each in fields(nested)))


def _refuse(field: str, row: Row) -> None:
    raise KeyError(f"{field} has no column among {', '.join(row)}")


def _read_nested(kind: Any, prefix: str, names: Sequence[str], row: Row) -> Any:
    inner = {name: row[column] for name in names if (column := f"{prefix}_{name}") in row}
    return None if inner.get(names[0]) is None else record(kind, inner)


def _conversion(hint: Any) -> _Convert | None:
    members = _members(hint)
    for member in members:
        if _is_record(member):
            return partial(record, member)
        if isinstance(member, type) and issubclass(member, Enum):
            return _Words(member, also_text=str in members).__getitem__
        if member is datetime:
            return _instant
        if member is timedelta:
            return _span
        if member is int:
            return int
        if get_origin(member) is tuple:
            each = _conversion(get_args(member)[0])
            return tuple if each is None else partial(_tuple, each)
    return None


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


def _members(hint: Any) -> tuple[Any, ...]:
    """The types that a value of this type can have, without None; an id as the type that it is made of."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(one.__supertype__ if isinstance(one, NewType) else one for one in members if one is not NoneType)


class _Words(dict[Any, Any]):
    """Value -> member of an enum; a dictionary, because a call of the enum takes four times as long."""

    def __init__(self, kind: type[Enum], *, also_text: bool) -> None:
        super().__init__({member.value: member for member in kind})
        self._kind = kind
        self._also_text = also_text

    def __missing__(self, value: Any) -> Any:
        # One that only a newer release knows stays text, where the field allows that.
        return value if self._also_text else self._kind(value)


def _tuple(each: _Convert, values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(map(each, values))


def _instant(value: datetime | str) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo is UTC else at.astimezone(UTC)


def _span(value: timedelta | float) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta(seconds=value)
