"""What was stored is what is read back, or it was refused (property/P15)."""

import asyncio
import math
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oban_powertools.database import json_border
from oban_powertools.database.session_settings import configure
from tests.support.random_plays import VALUES

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=3) | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 3), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def ask(server_dsn: str):
    """Through jsonb and back, on a connection like ours."""

    async def connect() -> psycopg.AsyncConnection[Any]:
        conn = await psycopg.AsyncConnection.connect(server_dsn, autocommit=True)
        await configure(conn)
        return conn

    async def round_trip(text: str) -> Any:
        row = await (await conn.execute("SELECT %s::jsonb", (text,))).fetchone()
        assert row is not None
        return row[0]

    with asyncio.Runner() as runner:
        conn = runner.run(connect())
        yield lambda text: runner.run(round_trip(text))
        runner.run(conn.close())


@given(value=VALUES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_is_stored_as_it_is(ask: Any, value: Any) -> None:
    assert json_border.find_faults(value, "value") == []

    assert ask(json_border.dumps(value)) == value


@given(value=ANYTHING)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_is_stored_as_it_is_or_refused(ask: Any, value: Any) -> None:
    if json_border.find_faults(value, "value"):
        return

    found = ask(json_border.dumps(value))

    assert _as_floats(found) == _as_floats(value)


@given(text=st.text(st.characters(), max_size=20))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_storable_once_escaped(ask: Any, text: str) -> None:
    escaped = json_border.storable_text(text)

    assert ask(json_border.dumps(escaped)) == escaped
    assert escaped == text or "\\u" in escaped or "\\x" in escaped


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63) + 1, 5e-324, 1.7976931348623157e308, 1e16, "\U0010ffff", "�", ""]
)
def test_the_extremes_are_stored_as_they_are(ask: Any, value: Any) -> None:
    assert json_border.find_faults([value], "value") == []
    assert ask(json_border.dumps([value])) == [value]


def test_nesting_is_allowed_up_to_200_levels_and_refused_with_its_path_beyond(ask: Any) -> None:
    deep: list[Any] = []
    for _ in range(199):
        deep = [deep]

    assert json_border.find_faults(deep, "value") == []
    assert ask(json_border.dumps(deep)) == deep
    [fault] = json_border.find_faults([deep], "value")
    assert (fault.path, fault.message) == ("value" + "[0]" * 200, "nested deeper than 200 levels")


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    [fault] = json_border.find_faults(loop, "value")

    assert fault.code == "non_serializable"


@pytest.mark.parametrize("kind", [type("Text", (str,), {}), type("Number", (int,), {}), type("Map", (dict,), {})])
def test_a_subclass_of_a_json_type_is_refused_because_it_would_come_back_as_something_else(kind: type) -> None:
    assert len(json_border.find_faults({"x": kind()}, "value")) == 1


def test_every_fault_is_found_with_its_path() -> None:
    value = {"a": [1, b"", {"b": math.inf}], 7: "seven", "c\0": (1,)}

    found = [(fault.path, fault.message.split(" ")[0]) for fault in json_border.find_faults(value, "v")]

    assert found == [("v.a[1]", "bytes"), ("v.a[2].b", "inf"), ("v", "key"), ("v", "the"), ("v.c\0", "tuple")]


def _as_floats(value: Any) -> Any:
    """jsonb keeps 6.241736670418206e16 as 62417366704182060: the same float, but not an equal integer."""
    if isinstance(value, dict):
        return {key: _as_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    return float(value) if type(value) in (int, float) and abs(value) >= 2**53 else value
