"""Single values: text, numbers, instants, ids, enums and literals."""

import datetime as dt
import enum
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, override
from uuid import UUID

from ..errors import Fault
from .codec import Codec


class Exact(Codec):
    """Text, a truth value or null, which is JSON as it is; a subclass such as a StrEnum is written as its value."""

    def __init__(self, kind: type, expected: str) -> None:
        self._kind = kind
        super().__init__(expected)

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is self._kind:
            return value
        if self._kind is str and isinstance(value, str):
            return str.__str__(value)
        return self._refuse(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        return value if type(value) is self._kind else self._refuse(value, path, faults)


class Whole(Codec):
    """A whole number."""

    def __init__(self) -> None:
        super().__init__("a whole number")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is int:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        return self._refuse(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        return value if type(value) is int else self._refuse(value, path, faults)


class Real(Codec):
    """A float; a whole number is one, too."""

    def __init__(self) -> None:
        super().__init__("a number")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return self._refuse(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        return self._encode(value, path, faults)


class Text(Codec):
    """A value whose JSON form is text.

    Args:
        write: Its text.
        read: The value of a text; raises ValueError.
    """

    def __init__(self, kind: type, write: Callable[[Any], str], read: Callable[[str], Any], expected: str) -> None:
        self._kind = kind
        self._write = write
        self._read = read
        super().__init__(expected)

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        # Exactly the kind: a datetime is a date, too, and would lose its time.
        return self._write(value) if type(value) is self._kind else self._refuse(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not str:
            return self._refuse(value, path, faults)
        try:
            return self._read(value)
        except (ValueError, InvalidOperation):
            return self._refuse(value, path, faults, " that is none")


class DecimalText(Text):
    """A Decimal: written as text, which keeps its digits; read from a number, too."""

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) in (int, float):
            value = repr(value)
        return super().decode(value, path, faults)


class Span(Codec):
    """A timedelta: its seconds."""

    def __init__(self) -> None:
        super().__init__("a timedelta as a number of seconds")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) is not dt.timedelta:
            return self._refuse(value, path, faults)
        seconds = value.total_seconds()
        if dt.timedelta(seconds=seconds) != value:
            return self._refuse(value, path, faults, " of more than 200 years with microseconds")
        return int(seconds) if seconds.is_integer() else seconds

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        if type(value) not in (int, float):
            return self._refuse(value, path, faults)
        try:
            return dt.timedelta(seconds=value)
        except (OverflowError, ValueError):
            return self._refuse(value, path, faults, " that is too long")


class OneOf(Codec):
    """One of some values: the members of an enum, or literals.

    Args:
        values: Each value with its JSON form, which is text, a number, a truth value or null.
    """

    def __init__(self, values: Sequence[tuple[Any, Any]]) -> None:
        self._to_json = {_typed(value): json for value, json in values}
        self._from_json = {_typed(json): value for value, json in values}
        super().__init__(f"one of {', '.join(repr(json) for _, json in values)}")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        key = _typed(value)
        return self._to_json[key] if key in self._to_json else self._refuse(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        key = _typed(value)
        return self._from_json[key] if key in self._from_json else self._refuse(value, path, faults)


def _typed(value: Any) -> Any:
    # True equals 1, and a list has no hash.
    return (type(value), value) if type(value).__hash__ is not None else object()


class Flags(Codec):
    """An enum.Flag: its number."""

    def __init__(self, kind: type[enum.Flag]) -> None:
        self._kind = kind
        super().__init__(f"a number of {kind.__qualname__}")

    @override
    def _encode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        return value.value if type(value) is self._kind else self._refuse(value, path, faults)

    @override
    def decode(self, value: Any, path: str, faults: list[Fault]) -> Any:
        try:
            return self._kind(value) if type(value) is int else self._refuse(value, path, faults)
        except ValueError:
            return self._refuse(value, path, faults, " that is none")


SCALARS: Final[Mapping[Any, Codec]] = {
    str: Exact(str, "text"),
    bool: Exact(bool, "true or false"),
    None: Exact(type(None), "null"),
    type(None): Exact(type(None), "null"),
    int: Whole(),
    float: Real(),
    dt.datetime: Text(dt.datetime, dt.datetime.isoformat, dt.datetime.fromisoformat, "an instant as ISO 8601 text"),
    dt.date: Text(dt.date, dt.date.isoformat, dt.date.fromisoformat, "a date as ISO 8601 text"),
    dt.time: Text(dt.time, dt.time.isoformat, dt.time.fromisoformat, "a time as ISO 8601 text"),
    dt.timedelta: Span(),
    UUID: Text(UUID, str, UUID, "a UUID as text"),
    Decimal: DecimalText(Decimal, str, Decimal, "a decimal number as text"),
}
"""The codecs of single types."""
