"""Numbers keep their value and their kind through args, results, references and the command line, or are refused."""

import asyncio
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oban_powertools import Workflow
from oban_powertools.database import json_border
from tests.support.by_hand import Hand, chain, step
from tests.support.command import powertools

NUMBERS: dict[str, Any] = {
    "exact integer": 2**53 + 1,
    "largest": 2**63 - 1,
    "smallest": -(2**63) + 1,
    "ten to the 16th": 1e16,
    "minus ten to the 16th": -1e16,
    "ten to the 22nd": 1e22,
    "huge": 1.5e300,
    "greatest": 1.7976931348623157e308,
    "minus zero": -0.0,
    "zero": 0.0,
    "integer zero": 0,
    "tiny": 5e-324,
    "tenth": 0.1,
    "whole": 2.0,
    "one": 1,
    "in a text": "1e+16 and -0.0",
    "in a list": [1e16, {"e+": -0.0, "-0.0": "e+"}],
}


def exactly(value: Any) -> Any:
    """The value as bits: equal numbers of another kind or sign differ."""
    match value:
        case float():
            return struct.pack("d", value)
        case list():
            return [exactly(item) for item in value]
        case dict():
            return {key: exactly(item) for key, item in value.items()}
        case _:
            return (type(value), value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63) + 1, 2**63 - 1))
def test_every_number_is_written_so_that_its_kind_can_be_read(number: float) -> None:
    text = json_border.dumps(number)

    assert exactly(json_border.loads(text)) == exactly(number)
    assert isinstance(number, int) or "." in text or "e-" in text


@given(st.text() | st.lists(st.text(alphabet='e+-0.19"\\ ')))
def test_texts_that_look_like_numbers_are_left_alone(value: Any) -> None:
    assert json_border.loads(json_border.dumps(value)) == value


@pytest.mark.parametrize("number", [0.0, 5e-324, -5e-324, 1.7976931348623157e308, 1e16])
async def test_a_result_can_be_read_as_double_precision_by_anybody(hand: Hand, number: float) -> None:
    workflow_id = await hand.insert(chain(1))

    await hand.run(workflow_id, {"s0": number})

    read = await hand.one("SELECT (result #>> '{}')::float8 FROM powertools.steps WHERE workflow_id = %s", workflow_id)
    assert exactly(read) == exactly(number)


async def test_numbers_come_to_the_worker_and_back_as_they_were(hand: Hand) -> None:
    workflow = Workflow("numbers")
    given_ = workflow.add("give", step())
    workflow.add("take", step({"given": given_.result, "literal": NUMBERS}))
    plain = Workflow("plain")
    plain.add("take", step({"literal": NUMBERS}))
    workflow_id, plain_id = await hand.insert(workflow), await hand.insert(plain)

    await hand.run(workflow_id, {"give": NUMBERS})

    kept = (await hand.steps(workflow_id))["take"].args
    assert exactly(kept["given"]) == exactly(NUMBERS)
    assert exactly((await hand.workflows.results(workflow_id))["give"]) == exactly(NUMBERS)
    assert exactly(kept["literal"]) == exactly(NUMBERS)
    assert exactly((await hand.steps(plain_id))["take"].args["literal"]) == exactly(NUMBERS)


@pytest.mark.parametrize(
    "payload",
    [
        "12345678901234567890123",
        "18446744073709551615",
        "-9223372036854775809",
        "1e400",
        "-1e400",
        "1e-400",
        "NaN",
        "Infinity",
        "[1e999]",
        '{"a": 1, "a": 2}',
        "[" * 300 + "]" * 300,
        "[" * 100_000,
        '"\\ud800"',
        "0x10",
        "01",
        "",
    ],
)
async def test_the_command_line_refuses_what_cannot_be_kept(hand: Hand, payload: str) -> None:
    workflow_id = await hand.insert(chain(1))
    call = ("workflow", "recover", str(workflow_id), "s0", "--action", "complete", "--reason", "done by hand")

    ended = await asyncio.to_thread(powertools, *call, "--payload", payload, dsn=hand.dsn)

    assert ended.code in (1, 2)
    assert ended.error
    assert (await hand.steps(workflow_id))["s0"].state == "available"


@pytest.mark.parametrize(
    "payload", ["9007199254740993", "9223372036854775807", "-0.0", "1e16", "0.1", "2.0", "[1, 1.0, -1e22]", "5e-324"]
)
async def test_the_command_line_keeps_every_other_number(hand: Hand, payload: str) -> None:
    workflow_id = await hand.insert(chain(1))
    call = ("workflow", "recover", str(workflow_id), "s0", "--action", "complete", "--reason", "done by hand")

    ended = await asyncio.to_thread(powertools, *call, "--payload", payload, dsn=hand.dsn)

    assert ended.code == 0
    assert exactly((await hand.steps(workflow_id))["s0"].result) == exactly(json.loads(payload))


def test_what_is_no_number_of_json_is_refused_in_python() -> None:
    for value in (math.nan, math.inf, -math.inf, 2**63, -(2**63), 2**70):
        assert json_border.find_faults(value, "value") != []
