"""How values travel to PostgreSQL and back: psycopg's defaults, exact JSON, and durations in seconds.

The rule that must never break: a duration keeps its length. PostgreSQL counts the days of an interval in the session's
time zone, so 24 h become 23 h or 25 h where summer time begins or ends; our intervals have no days.
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg.abc import DumperKey
from psycopg.adapt import AdaptersMap, Dumper, PyFormat
from psycopg.postgres import register_default_adapters
from psycopg.pq import Format
from psycopg.types.array import BaseListDumper, ListBinaryDumper, register_all_arrays
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.string import StrBinaryDumper

from . import json_border

_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_MICROSECONDS: Final = 2**63 - 1


def naive(instant: datetime) -> datetime:
    """An instant in the form of Oban's columns: without a time zone, in UTC."""
    return (instant if instant.tzinfo is UTC else instant.astimezone(UTC)).replace(tzinfo=None)


class _SpanText(Dumper):
    oid = psycopg.postgres.types["interval"].oid

    def dump(self, obj: timedelta) -> bytes:
        # In hours: PostgreSQL 14 takes no more than 2^31 of any unit.
        seconds, microseconds = divmod(abs(_microseconds(obj)), 1_000_000)
        minutes, seconds = divmod(seconds, 60)
        sign = b"-" if obj < timedelta() else b""
        return b"%s%d:%02d:%02d.%06d" % (sign, *divmod(minutes, 60), seconds, microseconds)


class _SpanBinary(Dumper):
    format = Format.BINARY
    oid = psycopg.postgres.types["interval"].oid

    def dump(self, obj: timedelta) -> bytes:
        # microseconds, days, months
        return struct.pack("!qii", _microseconds(obj), 0, 0)


class _NullsBinary(ListBinaryDumper):
    """A list of nothing but None, in binary too."""

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:  # noqa: A002
        return (self.cls, type(None)) if _is_nulls(obj) else super().get_key(obj, format)

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:  # noqa: A002
        if not _is_nulls(obj):
            return super().upgrade(obj, format)
        dumper = type(self)(self.cls, self._tx)
        dumper.oid = psycopg.postgres.types["text"].array_oid
        return dumper


def _is_nulls(items: list[Any]) -> bool:
    return bool(items) and all(item is None for item in items)


def _microseconds(span: timedelta) -> int:
    microseconds = span // _MICROSECOND
    if abs(microseconds) > _MOST_MICROSECONDS:
        raise psycopg.DataError(f"{span} is longer than PostgreSQL can count in microseconds")
    return microseconds


def _adapters() -> AdaptersMap:
    # Not a copy of psycopg's own map, which the host may have changed.
    adapters = AdaptersMap(types=psycopg.postgres.types)
    register_default_adapters(adapters)
    register_all_arrays(adapters)
    set_json_dumps(json_border.dumps, adapters)
    set_json_loads(json_border.loads, adapters)
    # With their type, so that arrays of them are binary: in text form a NULL depends on the session's array_nulls.
    adapters.register_dumper(str, StrBinaryDumper)
    adapters.register_dumper(list, _NullsBinary)
    adapters.register_dumper(timedelta, _SpanText)
    adapters.register_dumper(timedelta, _SpanBinary)
    return adapters


ADAPTERS: Final = _adapters()
"""The adapters of our statements' values, on any connection."""
