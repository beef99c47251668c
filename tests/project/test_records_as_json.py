"""Every public record becomes JSON in one way: ids as text, instants in UTC with Z, durations in seconds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import chain
from types import NoneType, UnionType
from typing import Any, Literal, NewType, TypeAliasType, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
import pytest

from oban_powertools.wire import HOSTS, AsDict, to_json
from tests.project.test_public_surface import MODULES

OTHERS = {
    *("Actor", "AuditFilter", "AwaitSignal", "Names", "Rates", "Settings", "StreamLimits", "Target", "Topic"),
    *("Act", "Gauge", "IncidentRow"),
    *("Fault", "FinishedWorkflow", "Services", "StepAlone", "StepContext", "SyncWorkflowHandle", "WorkflowHandle"),
    "WorkflowRun",
}
"""Public dataclasses that are no answers: arguments, rows of registries, and what holds live objects."""

OFFERED: list[Any] = [getattr(module, name) for module in MODULES.values() for name in module.__all__]
PUBLIC = {kind for kind in OFFERED if hasattr(kind, "__dataclass_fields__")}
RECORDS = sorted((kind for kind in PUBLIC if issubclass(kind, AsDict)), key=lambda kind: kind.__name__)

AT = datetime(2026, 11, 21, 13, 10, 33, 604858, tzinfo=timezone(timedelta(hours=2)))
"""In a zone that is not UTC."""

EXAMPLES: dict[Any, Any] = {
    Any: {"id": 7, "at": "as the host wrote it", "parts": [1, None, True]},
    bool: True,
    int: 2**62,
    float: 0.5,
    str: "ü",
    datetime: AT,
    timedelta: timedelta(minutes=1, milliseconds=500),
}


def _example(hint: Any, *, full: bool) -> Any:
    """A value of a type; ``full`` has something wherever there could be None, or nothing."""
    origin, args = get_origin(hint), get_args(hint)
    make = partial(_example, full=full)
    if hint in EXAMPLES:
        return EXAMPLES[hint]
    if isinstance(hint, TypeAliasType):
        return make(hint.__value__)
    if isinstance(hint, NewType):
        return make(hint.__supertype__)
    if origin in (Union, UnionType):
        return make(args[0]) if full or NoneType not in args else None
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    if is_dataclass(hint):
        types, kind = get_type_hints(hint), cast("Any", hint)
        return kind(**{field.name: make(types[field.name]) for field in fields(hint)})
    if origin is Literal:
        return args[0]
    if origin is tuple:
        return (make(args[0]),) if full else ()
    if issubclass(origin, Mapping):
        return {make(args[0]): make(args[1]) if args[1:] else 1} if full else {}
    return [make(args[0])] if full else []


WRITTEN = [
    pytest.param(made := _example(kind, full=full), made.to_dict(), id=f"{kind.__name__} {'full' if full else 'empty'}")
    for kind in RECORDS
    for full in (True, False)
]


def _instants(value: Any) -> Iterator[datetime]:
    """Every instant in a record, but those that the host stored."""
    if isinstance(value, datetime):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            if field.name not in HOSTS:
                yield from _instants(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _instants(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _instants(item)


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value at any depth, but those that the host stored."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in HOSTS:
                yield name, item
                yield from _items(item)
    elif isinstance(value, list):
        for item in value:
            yield from _items(item)


def test_every_public_record_can_be_handed_out_as_json() -> None:
    assert {kind.__name__ for kind in PUBLIC} - {kind.__name__ for kind in RECORDS} <= OTHERS
    assert len(RECORDS) > 40


@pytest.mark.parametrize(("record", "written"), WRITTEN)
def test_a_record_is_the_same_after_a_round_trip_through_json(record: AsDict, written: dict[str, Any]) -> None:
    assert orjson.loads(orjson.dumps(written)) == written


@pytest.mark.parametrize(("record", "written"), WRITTEN)
def test_every_instant_of_a_record_is_in_utc_with_z(record: AsDict, written: dict[str, Any]) -> None:
    texts = [item for _, item in _items(written) if isinstance(item, str) and item.startswith("2026-11-21T")]

    assert len(texts) == len(list(_instants(record)))
    assert {*texts} <= {"2026-11-21T11:10:33.604858Z"}


@pytest.mark.parametrize(("record", "written"), WRITTEN)
def test_every_id_of_a_record_is_text(record: AsDict, written: dict[str, Any]) -> None:
    ids = [item for name, item in _items(written) if re.fullmatch(r"(.+_)?(id|cursor)", name)]
    several = [item for name, item in _items(written) if re.fullmatch(r"(.+_)?ids|workflows_(ended|reopened)", name)]

    assert [one for one in (*ids, *chain.from_iterable(several)) if not isinstance(one, str | None)] == []


@pytest.mark.parametrize(("record", "written"), WRITTEN)
def test_every_field_of_a_record_is_a_key_and_a_duration_says_its_unit(record: AsDict, written: dict[str, Any]) -> None:
    hints = get_type_hints(type(record))
    durations = {name for name, hint in hints.items() if timedelta in (hint, *get_args(hint))}
    names = [field.name for field in fields(cast("Any", record))]

    assert {f"{name}_seconds" if name in durations else name for name in names} <= {*written}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2026, 11, 21, 13, 10, tzinfo=timezone(timedelta(hours=1))), "2026-11-21T12:10:00Z"),
        (datetime(2026, 11, 21, 13, 10, 33, 604858, tzinfo=UTC), "2026-11-21T13:10:33.604858Z"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        ({"workflow_id": 2**63 - 1}, {"workflow_id": "9223372036854775807"}),
        ({"ids": [1, 2], "job_ids": (3,)}, {"ids": ["1", "2"], "job_ids": ["3"]}),
        ({"result": {"id": 7}}, {"result": {"id": 7}}),
        ({"details": [{"since": datetime(2026, 1, 1, tzinfo=UTC)}]}, {"details": [{"since": "2026-01-01T00:00:00Z"}]}),
    ],
)
def test_a_value_has_one_form(value: object, written: object) -> None:
    assert to_json(value) == written


@pytest.mark.parametrize("value", [b"x", {1}, Decimal(1), UUID(int=0), date(2026, 1, 1), object(), 1j])
@pytest.mark.parametrize(
    "inside", [lambda one: one, lambda one: [one], lambda one: {"id": one}, lambda one: {"a": [one]}]
)
def test_a_type_without_a_form_is_refused(value: object, inside: Any) -> None:
    with pytest.raises(TypeError, match="has no form in JSON"):
        to_json(inside(value))


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        to_json({"at": AT.replace(tzinfo=None)})
