"""Stored signals that nobody took and open waits are found, newest first and in pages, with what looks alike."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oban_powertools import Workflow
from oban_powertools.errors import InvalidArgumentError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


async def waiting(hand: Hand, signal: str, key: str) -> WorkflowId:
    workflow = Workflow("expense")
    workflow.await_signal("approve", signal=signal, correlation_key=key)
    return await hand.insert(workflow)


async def stored(hand: Hand, **filters: Any) -> list[str]:
    return [signal.correlation_key for signal in await hand.workflows.list_signals(**filters)]


async def test_only_signals_that_nobody_took_are_listed(hand: Hand) -> None:
    workflow_id = await waiting(hand, "approved", "1")
    await hand.workflows.signal("approved", "1")
    await hand.workflows.signal("approved", "2", {"password": "hunter2"}, workflow_id=await waiting(hand, "paid", "9"))
    await hand.workflows.signal("paid", "3")

    signals = await hand.workflows.list_signals()

    assert [(signal.signal, signal.correlation_key) for signal in signals] == [("paid", "3"), ("approved", "2")]
    assert [signal.workflow_id is not None for signal in signals] == [False, True]
    assert (await hand.workflow(workflow_id)).finished_at is not None


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        ({"signal": "paid"}, ["3", "1"]),
        ({"correlation_key": "2"}, ["2"]),
        ({"signal": "approved", "correlation_key": "3"}, []),
        ({"inserted_from": NOW + HOUR}, []),
        ({"inserted_from": NOW - HOUR, "inserted_to": NOW + HOUR}, ["3", "2", "1"]),
    ],
)
async def test_stored_signals_are_found_by_what_they_are(hand: Hand, filters: dict[str, Any], keys: list[str]) -> None:
    for name, key in (("paid", "1"), ("approved", "2"), ("paid", "3")):
        await hand.workflows.signal(name, key)

    assert await stored(hand, **filters) == keys


async def test_a_stored_signal_shows_the_waits_that_look_alike_the_likest_first(hand: Hand) -> None:
    of_name = await waiting(hand, "approved", "other")
    spelled = await waiting(hand, "Approved", "expense_7")
    of_key = await waiting(hand, "accepted", "expense-7")
    await waiting(hand, "paid", "8")
    await hand.workflows.signal("approved", "expense-7")

    [signal] = await hand.workflows.list_signals()

    assert [wait.workflow_id for wait in signal.alike] == [of_key, spelled, of_name]
    assert [wait.meant for wait in signal.alike] == [True, True, False]
    assert signal.alike[0].step == "approve"


async def test_open_waits_are_listed_with_their_step(hand: Hand) -> None:
    first, second = await waiting(hand, "approved", "1"), await waiting(hand, "paid", "2")
    await waiting(hand, "paid", "3")
    await hand.workflows.signal("paid", "3")

    waits = await hand.workflows.list_waits()
    of_first = await hand.workflows.list_waits(workflow_id=first)

    assert [(wait.signal, wait.correlation_key, wait.workflow_id) for wait in waits] == [
        ("paid", "2", second),
        ("approved", "1", first),
    ]
    assert [(wait.workflow_name, wait.step) for wait in of_first] == [("expense", "approve")]


async def test_pages_of_signals_and_waits_follow_one_another(hand: Hand) -> None:
    for key in "12345":
        await hand.workflows.signal("paid", key)
        await waiting(hand, "approved", key)
    signals, waits = await hand.workflows.list_signals(limit=2), await hand.workflows.list_waits(limit=2)

    older = await stored(hand, before=signals[-1].id)
    older_waits = [wait.correlation_key for wait in await hand.workflows.list_waits(before=waits[-1].id)]

    assert ([signal.correlation_key for signal in signals], older) == (["5", "4"], ["3", "2", "1"])
    assert older_waits == ["3", "2", "1"]


@pytest.mark.parametrize("filters", [{"signal": ""}, {"workflow_id": "x"}, {"inserted_from": "today"}, {"limit": 0}])
async def test_signals_are_not_searched_for_by_nonsense(hand: Hand, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        await hand.workflows.list_signals(**filters)
