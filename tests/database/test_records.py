"""From a row to a record: by the names of the columns and the types of the fields, one way for every query."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any, NewType

import psycopg
import pytest

import oban_powertools
from oban_powertools.config import Names
from oban_powertools.database import Queries, record

SRC = Path(oban_powertools.__file__).parent

Number = NewType("Number", int)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    id: Number
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    id: Number
    colour: Colour | None = None
    newer: Colour | str = "red"
    tags: tuple[str, ...] = ()
    colours: tuple[Colour, ...] = ()
    at: datetime | None = None
    lasts: timedelta | None = None
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    payload: Any = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


AT = datetime(2026, 11, 30, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("id", 7, 7),
        ("id", "7", 7),
        ("colour", "red", Colour.RED),
        ("colour", None, None),
        ("newer", "red", Colour.RED),
        ("newer", "ultraviolet", "ultraviolet"),
        ("tags", ["a", "b"], ("a", "b")),
        ("colours", ["red"], (Colour.RED,)),
        ("at", AT.astimezone(timezone(timedelta(hours=2))), AT),
        ("at", "2026-11-30T12:00:00+02:00", AT),
        ("lasts", 90, timedelta(seconds=90)),
        ("lasts", timedelta(days=1), timedelta(days=1)),
        ("part", {"id": 1, "at": None}, Part(id=Number(1), at=None)),
        ("parts", [{"id": 1, "at": "2026-11-30T10:00:00Z"}], (Part(id=Number(1), at=AT),)),
        ("payload", ["a"], ["a"]),
        ("counts", {"a": 1}, {"a": 1}),
    ],
)
def test_a_column_becomes_what_its_field_says(column: str, value: object, expected: object) -> None:
    thing = record(Thing, {"id": 1, column: value})

    assert getattr(thing, column) == expected
    assert type(getattr(thing, column)) is type(expected)


def test_an_instant_is_in_utc() -> None:
    thing = record(Thing, {"id": 1, "at": AT.astimezone(timezone(timedelta(hours=2)))})

    assert thing.at is not None
    assert thing.at.tzinfo is UTC


def test_a_word_that_the_field_does_not_allow_is_refused() -> None:
    with pytest.raises(ValueError, match="blue"):
        record(Thing, {"id": 1, "colour": "blue"})


def test_a_field_without_a_column_is_refused_and_named() -> None:
    with pytest.raises(KeyError, match=r"Thing\.id has no column among colour"):
        record(Thing, {"colour": "red"})


def test_a_column_that_is_no_field_is_left_out() -> None:
    assert record(Thing, {"id": 1, "head": 9}) == Thing(id=Number(1))


def test_what_is_known_counts_before_the_column() -> None:
    assert record(Thing, {"id": 1, "payload": "secret"}, payload="shown").payload == "shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    id: int
    part: Part | None


@pytest.mark.parametrize(
    ("columns", "part"),
    [({"part_id": 3, "part_at": AT}, Part(id=Number(3), at=AT)), ({"part_id": None, "part_at": None}, None)],
)
def test_a_record_in_a_record_is_read_from_the_columns_with_its_name_in_front(
    columns: dict[str, Any], part: Part | None
) -> None:
    assert record(Whole, {"id": 1, **columns}) == Whole(id=1, part=part)


def test_every_query_that_fills_a_record_has_a_column_for_each_of_its_fields(dsn: str) -> None:
    queries, faults = Queries(Names()), list[str]()
    calls = list(_calls())

    with psycopg.connect(dsn) as conn:
        for kind, name in calls:
            row = dict.fromkeys(_columns_of(conn, queries[name]))
            try:
                record(kind, row)
            except KeyError as error:
                faults.append(f"{name}: {error}")

    assert faults == []
    assert len(calls) > 20


def test_no_record_is_made_of_a_row_in_another_way() -> None:
    by_hand = re.compile(r"[A-Z]\w+\(\*\*(row|\{\*\*row)|\w+=row\[.*\n\s*\w+=row\[.*\n\s*\w+=row\[")
    places = [str(file.relative_to(SRC)) for file in SRC.rglob("*.py") if by_hand.search(file.read_text())]

    # a TaskResult, which is Django's
    assert places == ["integrations/django/tasks.py"]


def _calls() -> Iterator[tuple[type, str]]:
    """The record and the query of every ``session.record(Kind, "query")`` and ``session.records(...)``."""
    for file in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="record" | "records", value=ast.Name("session")),
                    args=[ast.Name(kind), ast.Constant(str(name)), *_],
                ):
                    module = ".".join(("oban_powertools", *file.relative_to(SRC).with_suffix("").parts))
                    yield getattr(import_module(module), kind), name


def _columns_of(conn: psycopg.Connection, query: bytes) -> list[str]:
    numbers: dict[str, int] = {}

    def numbered(parameter: re.Match[str]) -> str:
        return f"${numbers.setdefault(parameter[1], len(numbers) + 1)}"

    text = re.sub(r"--.*", "", query.decode())
    statement = re.sub(r"%\((\w+)\)s", numbered, text).replace("%%", "%")
    conn.pgconn.prepare(b"", statement.encode())
    described = conn.pgconn.describe_prepared(b"")
    return [(described.fname(place) or b"").decode() for place in range(described.nfields)]
