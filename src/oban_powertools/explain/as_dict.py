"""Records as JSON-safe dicts. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, cast


class AsDict:
    """A record that can be handed out as JSON."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-safe values: texts, numbers, lists and dicts; instants in ISO 8601, UTC."""
        return cast("dict[str, Any]", _plain(self))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return value
