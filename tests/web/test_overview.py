"""The overview: whether somebody must act, and why one may believe it."""

import re

import pytest

from oban_powertools.lifeline import Lifeline
from tests.support.by_hand import Hand, by_hand, chain
from tests.support.console import console_of, furnished_console
from tests.support.executing import beat
from tests.support.troubles import project


def heading(page: str) -> str:
    [found] = re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)
    return found.strip()


@pytest.fixture
async def hand(dsn: str):
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


async def overview_of(hand: Hand, **options) -> str:
    async with console_of(hand, **options) as (_, client):
        return (await client.get("/")).text


async def test_what_needs_a_person_is_the_title(dsn: str) -> None:
    async with furnished_console(dsn) as shop:
        page = (await shop.client.get("/")).text

    assert heading(page) == "2 incidents need a person"


async def test_it_is_clear_when_somebody_looked_and_found_nothing(hand: Hand) -> None:
    await beat(hand, "p1")
    await project(hand)

    page = await overview_of(hand)

    assert heading(page) == "All clear"
    assert re.search(
        r"1 executor reports, the newest beat .* Incidents were looked for \d+ s ago; there has been", page
    )


async def test_nothing_is_clear_while_nobody_looks(hand: Hand) -> None:
    await beat(hand, "p1")

    page = await overview_of(hand)

    assert (heading(page), "Nobody has looked for incidents yet" in page) == ("Nobody looks for incidents", True)


async def test_nothing_is_clear_that_could_not_be_read(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Lifeline) -> None:
        raise TimeoutError

    await beat(hand, "p1")
    await project(hand)
    monkeypatch.setattr(Lifeline, "count_incidents", fail)

    page = await overview_of(hand)

    assert (heading(page), "Not everything could be read" in page) == ("Overview", True)


async def test_a_part_that_fails_leaves_the_others(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Lifeline, **__: object) -> None:
        raise RuntimeError("a secret")

    await beat(hand, "p1")
    monkeypatch.setattr(Lifeline, "list_executor_health", fail)

    page = await overview_of(hand)

    assert ("unexpected_error" in page, "a secret" in page, "No operator has acted yet" in page) == (True, False, True)


async def test_a_new_database_says_how_to_begin(hand: Hand) -> None:
    page = await overview_of(hand)

    assert (heading(page), "powertools start --queues default:10" in page) == ("Nothing has run here yet", True)


async def test_a_workflow_that_needs_a_person_without_an_incident_is_not_passed_over(hand: Hand) -> None:
    await beat(hand, "p1")
    workflow_id = await hand.insert(chain(2))
    await hand.run(workflow_id, {"s0": ValueError("no")})
    await hand.rows("UPDATE powertools.incidents SET state = 'resolved', resolved_at = now()")
    await project(hand)
    review = await hand.workflows.list(status="Needs Review")

    page = await overview_of(hand)

    assert (heading(page) == "All clear") is (review == [])
