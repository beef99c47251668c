"""The list of incidents."""

import re
from urllib.parse import urlencode

import pytest

from oban_powertools.web.pages.overview import STORM
from tests.support.by_hand import Hand, by_hand
from tests.support.console import Shop, console_of, furnished_console

STORMY = """
INSERT INTO powertools.incidents (
  fingerprint, class, title, subject_type, subject_id, count, evidence, waiting_workflows, waiting_steps,
  first_detected_at, opened_at, last_detected_at
)
SELECT class || ':' || n, class, class || ' ' || n, 'queue', n, 1, '{}', 0, 0, now(), now() - n * interval '1 s', now()
FROM (VALUES ('executor_missing', %s::int), ('failing_jobs', 3)) AS s (class, most), generate_series(1, s.most) AS n
"""


@pytest.fixture
async def shop(dsn: str):
    async with furnished_console(dsn) as shop:
        yield shop


@pytest.fixture
async def hand(dsn: str):
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


def rows(page: str) -> list[str]:
    return re.findall(r'data-row="([^"]+)"', page)


async def listed(hand: Hand, **query) -> str:
    async with console_of(hand) as (_, client):
        answer = await client.get(f"/incidents?{urlencode(query)}")
    assert answer.status_code == 200
    return answer.text


async def test_each_tab_has_its_own(shop: Shop) -> None:
    lifeline = shop.hand.powertools.lifeline
    await lifeline.acknowledge_incident(1, actor="ada")

    lists = {tab: rows((await shop.client.get(f"/incidents?state={tab}")).text) for tab in ("active", "acknowledged")}

    assert lists == {"active": ["incident-2"], "acknowledged": ["incident-1"]}


async def test_a_list_finds_text_in_fingerprints(shop: Shop) -> None:
    page = (await shop.client.get("/incidents?q=QUEUE:mail")).text

    assert rows(page) == ["incident-2"]


@pytest.mark.parametrize("query", ["state=open", "class=all", "since=ever", "cursor=x", f"q={'a' * 501}"])
async def test_an_address_that_cannot_be_read_is_refused(shop: Shop, query: str) -> None:
    answer = await shop.client.get(f"/incidents?{query}")

    # A cursor is read with the rows, which say themselves what is wrong.
    assert answer.status_code == 400 or "invalid_argument" in answer.text


async def test_an_empty_list_says_who_looked(hand: Hand) -> None:
    assert "Nobody has looked yet" in await listed(hand)


async def test_an_empty_list_of_a_filter_offers_to_clear_it(hand: Hand) -> None:
    assert "Clear the filter" in await listed(hand, q="nothing")


async def test_a_storm_is_one_row_and_hides_nothing_else(hand: Hand) -> None:
    await hand.rows(STORMY, STORM + 40)

    page = await listed(hand)

    assert [row.partition("-")[0] for row in rows(page)] == ["storm", "incident", "incident", "incident"]
    assert f"Executor missing, {STORM + 40} times" in page


async def test_the_rows_of_a_storm_are_on_pages_of_their_own(hand: Hand) -> None:
    await hand.rows(STORMY, STORM + 40)

    first = await listed(hand, **{"class": "executor_missing"})
    [cursor] = re.findall(r'href="[^"]*cursor=(\d+)[^"]*" rel="next"', first)
    second = await listed(hand, **{"class": "executor_missing", "cursor": cursor})

    assert (len(rows(first)), len(rows(second)), set(rows(first)) & set(rows(second))) == (50, STORM - 10, set())


async def test_a_few_of_a_class_are_rows(hand: Hand) -> None:
    await hand.rows(STORMY, STORM - 1)

    assert {row.partition("-")[0] for row in rows(await listed(hand))} == {"incident"}


async def test_chosen_incidents_lead_to_what_may_be_done_with_them(shop: Shop) -> None:
    page = (await shop.client.get("/incidents/chosen?id=1&id=2")).text

    assert "Acknowledge 2 incidents" in page
    assert "Preview: rescue 1 job" in page


async def test_chosen_incidents_are_acknowledged_by_whoever_chose_them(shop: Shop) -> None:
    answer = await shop.client.post("/incidents/acknowledge", data={"id": ["1", "2"]})

    seen = {each.id: each.acknowledged_by for each in await shop.hand.powertools.lifeline.list_incidents()}
    assert (answer.status_code, answer.headers["location"], seen) == (
        303,
        "/incidents?said=all-acknowledged",
        {1: "ada", 2: "ada"},
    )


async def test_an_acknowledgement_is_recorded_as_of_the_web(shop: Shop) -> None:
    await shop.client.post("/incidents/acknowledge", data={"id": ["1"]})

    [record] = await shop.hand.powertools.audit.list(action="incident_acknowledge")
    assert (record.surface, record.actor_label, bool(record.request_id)) == ("web", "Ada Lovelace", True)


async def test_nothing_chosen_is_refused(shop: Shop) -> None:
    assert (await shop.client.get("/incidents/chosen")).status_code == 400
    assert (await shop.client.post("/incidents/acknowledge", data={})).status_code == 400


async def test_what_the_policy_refuses_is_disabled_with_the_reason(dsn: str) -> None:
    def nobody(*_: object) -> bool:
        raise PermissionError("only the night shift may")

    async with furnished_console(dsn, authorize=nobody) as shop:
        page = (await shop.client.get("/incidents/chosen?id=1")).text
        answer = await shop.client.post("/incidents/acknowledge", data={"id": ["1"]})

    assert ("disabled" in page, "only the night shift may" in page, answer.status_code) == (True, True, 403)


async def test_a_read_only_console_changes_nothing_and_says_so(dsn: str) -> None:
    async with furnished_console(dsn, read_only=True) as shop:
        page = (await shop.client.get("/incidents/chosen?id=1")).text
        answer = await shop.client.post("/incidents/acknowledge", data={"id": ["1"]})
        states = {each.state for each in await shop.hand.powertools.lifeline.list_incidents()}

    assert ("This console is read-only" in page, answer.status_code, states) == (True, 403, {"active"})
