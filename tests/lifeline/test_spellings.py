"""Which waits look like a signal that nobody has taken, and what an operator is offered then."""

import pytest

from oban_powertools import Incident, Workflow
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand
from tests.support.command import powertools as run_command
from tests.support.troubles import project

STORED = "UPDATE powertools.signals SET inserted_at = inserted_at - interval '2 h'"
ALIKE = [
    ("expense-7", "expense-07"),
    ("expense-7", "Expense 0007"),
    ("2026-03-07", "2026/3/7"),
    ("order:12", "ORDER_12"),
    ("expense-7", "expence-7"),
    ("expense-7", "expnse-7"),
    ("expense-7", "expensse-7"),
    ("expense-7", "exepnse-7"),
    ("invoice-2026-41", "invioce-2026-041"),
]
"""Keys of a wait, and of a signal that is meant for it."""

UNLIKE = [
    ("order-7", "order-8"),
    ("order-7", "order-70"),
    ("order-17", "order-71"),
    ("eu-1", "us-1"),
    ("7", "8"),
    ("expense-7", "expanded-7"),
    ("1-2", "3-4"),
]


async def waiting(hand: Hand, signal: str, key: str) -> WorkflowId:
    workflow = Workflow("expense")
    workflow.await_signal("approve", signal=signal, correlation_key=key)
    return await hand.insert(workflow)


async def unclaimed(hand: Hand, signal: str, *keys: str) -> Incident:
    for key in keys:
        await hand.workflows.signal(signal, key, None)
    await hand.rows(STORED)
    return (await project(hand))[f"unclaimed_signal:{signal}"]


def redirects(incident: Incident) -> list[str | None]:
    return [repair.to for repair in incident.repairs if repair.action == "signal_redirect"]


@pytest.mark.parametrize(("of_wait", "of_signal"), ALIKE)
async def test_a_signal_that_is_spelt_differently_may_be_redirected_to_its_wait(
    hand: Hand, of_wait: str, of_signal: str
) -> None:
    meant = await waiting(hand, "approved", of_wait)
    await waiting(hand, "approved", "quite another one")

    incident = await unclaimed(hand, "approved", of_signal)

    assert redirects(incident) == [f"{meant}/approve"]
    assert incident.evidence["alike"][0]["workflow_id"] == meant


@pytest.mark.parametrize(("of_wait", "of_signal"), UNLIKE)
async def test_a_signal_with_another_key_is_offered_to_no_one_of_several_waits(
    hand: Hand, of_wait: str, of_signal: str
) -> None:
    await waiting(hand, "approved", of_wait)
    await waiting(hand, "approved", "quite another one")

    assert redirects(await unclaimed(hand, "approved", of_signal)) == []


async def test_of_several_signals_each_wait_has_its_own(hand: Hand) -> None:
    ids = [await waiting(hand, "approved", f"expense-{n}") for n in (7, 8, 9)]

    incident = await unclaimed(hand, "approved", "expense-009", "expense-07", "expence-8")

    signals = {row["correlation_key"]: row["id"] for row in await hand.rows("SELECT * FROM powertools.signals")}
    named = {each["workflow_id"]: each["signal_id"] for each in incident.evidence["alike"]}
    assert named == {
        ids[0]: signals["expense-07"],
        ids[1]: signals["expence-8"],
        ids[2]: signals["expense-009"],
    }


@pytest.mark.parametrize(("of_wait", "of_signal"), ALIKE)
async def test_a_list_of_signals_puts_the_same_wait_first(hand: Hand, of_wait: str, of_signal: str) -> None:
    await waiting(hand, "approved", "quite another one")
    meant = await waiting(hand, "approved", of_wait)
    await unclaimed(hand, "approved", of_signal)

    [signal] = await hand.workflows.list_signals()

    assert signal.alike[0].workflow_id == meant


async def test_the_screen_of_the_incident_offers_the_redirect_and_names_no_unknown_signal(hand: Hand) -> None:
    workflow_id = await waiting(hand, "approved", "expense-7")
    await waiting(hand, "approved", "quite another one")
    incident = await unclaimed(hand, "approved", "expense-07")

    screen = run_command("incidents", "show", str(incident.id), dsn=hand.dsn).out

    assert "None" not in screen
    assert f"repair preview signal_redirect 1 --to {workflow_id}/approve --incident {incident.id}" in screen


@pytest.mark.parametrize(
    ("of_signal", "follows"),
    [
        ("expense-07", "next: powertools repair preview signal_redirect 1 --to 1/approve"),
        ("7", "next: powertools incidents show 1"),
    ],
)
async def test_the_explanation_of_the_wait_says_what_to_type_next(hand: Hand, of_signal: str, follows: str) -> None:
    workflow_id = await waiting(hand, "approved", "expense-7")
    await waiting(hand, "approved", "quite another one")
    await unclaimed(hand, "approved", of_signal)

    screens = [
        run_command("workflow", "explain", str(workflow_id), *step, dsn=hand.dsn).out for step in ([], ["approve"])
    ]

    assert [follows in screen for screen in screens] == [True, True]


@pytest.mark.parametrize(("names", "offered"), [(20, 20), (21, 0)])
async def test_near_spellings_are_looked_for_among_twenty_names(hand: Hand, names: int, offered: int) -> None:
    for n in range(names):
        await waiting(hand, f"name{n}", "expense-7")
        await hand.workflows.signal(f"name{n}", "expence-7", None)
    await hand.rows(STORED)

    opened = await project(hand)

    assert len(opened) == names
    assert len({to for incident in opened.values() for to in redirects(incident)}) == offered
