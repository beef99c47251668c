"""Records as JSON, one way for calls, command line, event stream and webhooks. No I/O.

The rule that must never break: an id is a whole number in Python and text in JSON, whoever writes it, because a
browser's numbers end at 2**53.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, cast

HOSTS: Final = frozenset({"args", "context", "message", "meta", "payload", "result", "results"})
"""What the host stored, and messages as they are sent: given out as it is, also where it has ids of its own."""

_ID: Final = ("id", "cursor", "next_before")
_IDS: Final = ("ids",)


class AsDict:
    """A record that can be handed out as JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-safe values: ids as text, instants in ISO 8601, UTC; other records in it as dicts."""
        return json_safe(self)


def to_json(value: Any, instant: Callable[[datetime], Any] = lambda at: at) -> Any:
    """A value for JSON: records as dicts, durations as seconds, ids and cursors at any depth as text, by their names.

    Args:
        instant: What becomes of an instant.
    """
    if is_dataclass(value):
        return {field.name: _named(field.name, getattr(value, field.name), instant) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(name): _named(str(name), item, instant) for name, item in items}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [to_json(item, instant) for item in cast("Sequence[Any]", value)]
    return value


def json_safe(value: Any) -> Any:
    """As ``to_json``, with instants in ISO 8601, UTC."""
    return to_json(value, lambda at: at.astimezone(UTC).isoformat())


def _named(name: str, value: Any, instant: Callable[[datetime], Any]) -> Any:
    if name in HOSTS:
        return value
    if _is(name, _ID):
        return _text(value)
    if _is(name, _IDS) and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_text(item) for item in cast("Sequence[Any]", value)]
    return to_json(value, instant)


def _is(name: str, kinds: tuple[str, ...]) -> bool:
    return name in kinds or name.endswith(tuple(f"_{kind}" for kind in kinds))


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
