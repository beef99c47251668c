"""A value of an annotated type becomes JSON and is the same value when it is read back, or it was refused."""

import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict
from uuid import UUID

import orjson
import pydantic
import pydantic.dataclasses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.annotations import find_codec
from oban_powertools.errors import Fault

THREE: Any = 3
NOW = dt.datetime(2031, 2, 3, 4, 5, 6, 7, dt.UTC)
KEY = UUID("12345678-1234-5678-1234-567812345678")
OrderId = NewType("OrderId", int)
type Tree = list[Tree] | int
type Pair[Of] = tuple[Of, Of]


class Color(enum.Enum):
    RED = "red"
    NONE = None


class Size(enum.IntEnum):
    SMALL = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Line:
    sku: str
    price: Decimal = Decimal(1)
    parts: "list[Line]" = field(default_factory=list)
    width: int = field(default=0, init=False)


@dataclass(frozen=True)
class Page[Item]:
    items: list[Item]


class Row(TypedDict):
    id: UUID
    note: NotRequired[dt.date]


class Model(pydantic.BaseModel):
    at: dt.datetime
    line: Line
    tags: set[str] = set()
    amount: Decimal = pydantic.Field(default=Decimal(1), gt=0, alias="theAmount")


class Strict(pydantic.BaseModel, extra="forbid", strict=True):
    at: dt.datetime

    @pydantic.computed_field
    @property
    def year(self) -> int:
        return self.at.year


@pydantic.dataclasses.dataclass
class Checked:
    number: int


@dataclass
class Card:
    kind: Literal["card"]
    number: str


@dataclass
class Cash:
    kind: Literal["cash"]


VALUES: list[tuple[Any, Any, Any]] = [
    (Any, {"a": [1, None]}, {"a": [1, None]}),
    (str, "text", "text"),
    (int, 3, 3),
    (float, 2.5, 2.5),
    (bool, True, True),
    (None, None, None),
    (OrderId, OrderId(3), 3),
    (dt.datetime, NOW, "2031-02-03T04:05:06.000007+00:00"),
    (dt.date, dt.date(2031, 2, 3), "2031-02-03"),
    (dt.time, dt.time(4, 5), "04:05:00"),
    (dt.timedelta, dt.timedelta(minutes=1), 60),
    (dt.timedelta, dt.timedelta(microseconds=1), 1e-06),
    (UUID, KEY, str(KEY)),
    (Decimal, Decimal("9.90"), "9.90"),
    (Color, Color.RED, "red"),
    (Color, Color.NONE, None),
    (Size, Size.SMALL, 1),
    (Access, Access.READ | Access.WRITE, 3),
    (Literal["a", 1], 1, 1),
    (Literal[Color.RED], Color.RED, "red"),
    (int | None, None, None),
    (int | str, "3", "3"),
    (Card | Cash, Cash("cash"), {"kind": "cash"}),
    (list[Decimal], [Decimal(1)], ["1"]),
    (Sequence[UUID], [KEY], [str(KEY)]),
    (tuple[int, dt.date], (1, dt.date(2031, 1, 1)), [1, "2031-01-01"]),
    (tuple[Decimal, ...], (Decimal(1),), ["1"]),
    pytest.param(set[str], {"b", "a"}, ["a", "b"], id="set[str]"),  # the order of a set differs by process
    (frozenset[int], frozenset({2, 1}), [1, 2]),
    (dict[str, UUID], {"a": KEY}, {"a": str(KEY)}),
    (dict[UUID, int], {KEY: 1}, {str(KEY): 1}),
    (Mapping[str, Decimal], {"a": Decimal(1)}, {"a": "1"}),
    (list, [1, "a"], [1, "a"]),
    (dict, {"a": 1}, {"a": 1}),
    (Tree, [1, [2, [3]]], [1, [2, [3]]]),
    (Pair[Decimal], (Decimal(1), Decimal(2)), ["1", "2"]),
    (
        Line,
        Line("a", parts=[Line("b")]),
        {"sku": "a", "price": "1", "parts": [{"sku": "b", "price": "1", "parts": []}]},
    ),
    (Page[Line], Page([Line("a")]), {"items": [{"sku": "a", "price": "1", "parts": []}]}),
    (Row, {"id": KEY}, {"id": str(KEY)}),
    (Row, {"id": KEY, "note": dt.date(2031, 1, 1)}, {"id": str(KEY), "note": "2031-01-01"}),
    (Strict, Strict(at=NOW), {"at": "2031-02-03T04:05:06.000007Z"}),
    (Checked, Checked(3), {"number": 3}),
    (Annotated[int, "a note"], 3, 3),
    (Annotated[int, pydantic.Field(gt=0)], 3, 3),
]


@pytest.mark.parametrize(("annotation", "value", "json"), VALUES, ids=lambda each: str(each)[:40])
def test_a_value_has_its_json_and_is_read_back(annotation: Any, value: Any, json: Any) -> None:
    faults: list[Fault] = []
    codec = find_codec(annotation)

    written = codec.encode(value, "value", faults)
    read = codec.decode(orjson.loads(orjson.dumps(written)), "value", faults)

    assert (written, faults) == (json, [])
    assert (read, type(read)) == (value, type(value))


def test_a_model_is_written_by_the_names_of_its_fields_and_read_by_aliases_too() -> None:
    codec, faults = find_codec(Model), list[Fault]()
    written = codec.encode(Model(at=NOW, line=Line("a"), theAmount=Decimal(2)), "value", faults)

    assert written["amount"] == "2"
    assert codec.decode({**written, "theAmount": "3"}, "value", faults).amount in (Decimal(2), Decimal(3))
    assert codec.decode({"at": written["at"], "line": {"sku": "a"}, "theAmount": "3"}, "value", faults).amount == 3
    assert faults == []


REFUSED: list[tuple[Any, Any, list[str]]] = [
    (str, 3, ["value: expected text, found int"]),
    (int, True, ["value: expected a whole number, found bool"]),
    (int, "3", ["value: expected a whole number, found text"]),
    (int, None, ["value: expected a whole number, found null"]),
    (float, "3", ["value: expected a number, found text"]),
    (dt.date, NOW, ["value: expected a date as ISO 8601 text, found datetime"]),
    (Decimal, 0.1, ["value: expected a decimal number as text, found float"]),
    (Color, "red", ["value: expected one of 'red', None, found text"]),
    (Literal["a"], "b", ["value: expected one of 'a', found text"]),
    (
        list[int],
        [1, "2", 3, None],
        ["value[1]: expected a whole number, found text", "value[3]: expected a whole number, found null"],
    ),
    (tuple[int, int], (1,), ["value: expected a list of 2, found tuple of 1"]),
    (dict[str, int], {"a": "1"}, ["value.a: expected a whole number, found text"]),
    (Line, {"sku": "a"}, ["value: expected a Line, found dict"]),
    (
        Line,
        Line("a", parts=[Line("b", price=THREE)]),
        ["value.parts[0].price: expected a decimal number as text, found int"],
    ),
    (Row, {}, ["value.id: it is missing"]),
    (Row, {"id": "a"}, ["value.id: expected a UUID as text, found text"]),
    (Model, 3, ["value: expected a Model, found int"]),
    (Annotated[int, pydantic.Field(gt=0)], 0, ["value: Input should be greater than 0"]),
    (int | None, "a", ["value: expected a whole number or null, found text"]),
    (Line | None, Line("a", price=THREE), ["value.price: expected a decimal number as text, found int"]),
    (
        dt.datetime | str,
        "2031-01-01",
        ["value: text would be read back as an instant as ISO 8601 text: tell them apart by a Literal field"],
    ),
]


@pytest.mark.parametrize(("annotation", "value", "messages"), REFUSED, ids=lambda each: str(each)[:40])
def test_what_does_not_fit_is_refused_with_its_path_and_without_its_value(
    annotation: Any, value: Any, messages: list[str]
) -> None:
    faults: list[Fault] = []
    find_codec(annotation).encode(value, "value", faults)

    assert [f"{fault.path}: {fault.message}" for fault in faults] == messages


UNREADABLE: list[tuple[Any, Any, list[str]]] = [
    (dt.datetime, "yesterday", ["value: expected an instant as ISO 8601 text, found text that is none"]),
    (UUID, "1", ["value: expected a UUID as text, found text that is none"]),
    (Decimal, "secret", ["value: expected a decimal number as text, found text that is none"]),
    (dt.timedelta, 1e300, ["value: expected a timedelta as a number of seconds, found float that is too long"]),
    (Access, 8, ["value: expected a number of Access, found int that is none"]),
    (Line, {"price": "1", "parts": [{}]}, ["value.sku: it is missing", "value.parts[0].sku: it is missing"]),
    (Model, {"line": {"sku": 1}}, ["value.at: Field required", "value.line.sku: Input should be a valid string"]),
    (tuple[int, str], [1], ["value: expected a list of 2, found list of 1"]),
    (set[int], {"a": 1}, ["value: expected a set, found dict"]),
]


@pytest.mark.parametrize(("annotation", "json", "messages"), UNREADABLE, ids=lambda each: str(each)[:40])
def test_json_that_does_not_fit_is_refused_with_its_path(annotation: Any, json: Any, messages: list[str]) -> None:
    faults: list[Fault] = []
    find_codec(annotation).decode(json, "value", faults)

    assert [f"{fault.path}: {fault.message}" for fault in faults] == messages


def test_keys_that_a_newer_release_added_are_passed_over() -> None:
    faults: list[Fault] = []

    assert find_codec(Line).decode({"sku": "a", "colour": "red"}, "value", faults) == Line("a")
    assert faults == []


def test_whole_numbers_and_floats_are_read_as_decimals_and_floats_too() -> None:
    faults: list[Fault] = []

    assert find_codec(Decimal).decode(0.1, "value", faults) == Decimal("0.1")
    assert repr(find_codec(float).decode(3, "value", faults)) == "3.0"
    assert faults == []


@given(
    st.decimals(allow_nan=False), st.datetimes(), st.timedeltas(dt.timedelta(-70_000), dt.timedelta(70_000)), st.uuids()
)
def test_any_decimal_instant_span_and_id_is_read_back(
    number: Decimal, instant: dt.datetime, span: dt.timedelta, key: UUID
) -> None:
    codec = find_codec(tuple[Decimal, dt.datetime, dt.timedelta, UUID])
    faults: list[Fault] = []
    value = (number, instant, span, key)

    read = codec.decode(orjson.loads(orjson.dumps(codec.encode(value, "value", faults))), "value", faults)

    assert (read, faults) == (value, [])
