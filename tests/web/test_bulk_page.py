"""Many targets in the browser: the filter, the list, the decision, the progress, each result."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from oban_powertools.acts import IN_BULK, Action
from oban_powertools.web.pages import bulk
from tests.support.by_hand import Hand, chain
from tests.support.console import Shop, console_of, furnished_console
from tests.support.repairing import outcomes

WHY = {"reason": "the bank is down", "read": "yes"}
HOLD = {"act": "workflow_hold", "hold_for": "2h", "state": "running"}
GRACE = {"id": "grace"}


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        yield shop


async def make(client: httpx.AsyncClient, **fields: str | list[str]) -> str:
    answer = await client.post("/bulks", data=fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def listed(page: str) -> list[str]:
    return re.findall(r'<th scope="row"[^>]*><a[^>]*>(?:workflow|job|step) ([^<]+)</a>', page)


async def test_a_filter_makes_a_list_that_is_executed_with_an_outcome_for_each(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)
    before = (await shop.client.get(address)).text

    answer = await shop.client.post(f"{address}/execute", data=WHY)
    after = (await shop.client.get(answer.headers["location"])).text

    assert listed(before) == listed(after) == ["3", "4", "5"]
    assert (before.count("to do"), after.count("succeeded") + after.count("refused</span>")) == (3, 3)
    assert "Done" in after
    records = await outcomes(shop.hand)
    assert ("execute_bulk", "executed", None) in records


async def test_ticked_rows_are_the_list(shop: Shop) -> None:
    address = await make(shop.client, act="workflow_hold", hold_for="2h", id=["4", "5"])

    assert listed((await shop.client.get(address)).text) == ["4", "5"]


async def test_an_empty_filter_is_refused_with_what_was_typed(shop: Shop) -> None:
    answer = await shop.client.post("/bulks", data={"act": "workflow_hold", "hold_for": "2h"})

    assert (answer.status_code, "bulk_filter" in answer.text, 'value="2h"' in answer.text) == (422, True, True)


async def test_a_filter_that_matches_nothing_says_so(shop: Shop) -> None:
    answer = await shop.client.post("/bulks", data={"act": "job_retry", "queue": "nobody"})

    assert (answer.status_code, "matches nothing" in answer.text) == (422, True)


async def test_a_list_is_not_executed_before_it_was_read(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)

    answer = await shop.client.post(f"{address}/execute", data={"reason": WHY["reason"]})

    assert (answer.status_code, WHY["reason"] in answer.text) == (422, True)
    assert (await shop.hand.powertools.lifeline.bulk_status(1)).status == "ready"


async def test_a_reason_that_is_too_short_comes_back(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)

    answer = await shop.client.post(f"{address}/execute", data={"reason": "no", "read": "yes"})

    assert (answer.status_code, ">no</textarea>" in answer.text) == (422, True)


async def test_a_second_submission_does_nothing(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)
    first = await shop.client.post(f"{address}/execute", data=WHY)
    records = await outcomes(shop.hand)

    second = await shop.client.post(f"{address}/execute", data=WHY)

    assert first.headers["location"] == second.headers["location"] == address.partition("?")[0]
    assert await outcomes(shop.hand) == records


async def test_more_than_a_hundred_are_confirmed_by_their_number(hand: Hand) -> None:
    await hand.workflows.insert_many([chain(1) for _ in range(101)])

    async with console_of(hand) as (_, client):
        address = await make(client, act="workflow_hold", hold_for="1h", state="running")
        page = (await client.get(address)).text
        wrong = await client.post(f"{address}/execute", data={**WHY, "confirm": "100"})
        right = await client.post(f"{address}/execute", data={**WHY, "confirm": "101"})

    assert "Type <code>101</code>" in page
    assert (wrong.status_code, right.status_code) == (422, 303)
    assert len(listed(page)) == 50


async def test_a_large_one_goes_on_behind_its_page(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_WAITED", bulk.timedelta(0))
    address = await make(shop.client, **HOLD)
    began = asyncio.ensure_future(shop.client.post(f"{address}/execute", data=WHY))

    answer = await began

    assert answer.status_code == 303
    assert (await shop.hand.powertools.lifeline.bulk_status(1)).status == "done"


async def test_a_running_one_shows_how_far_it_is_and_looks_again_without_a_script(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)
    await shop.hand.rows(
        "UPDATE powertools.bulks SET status = 'running', started_at = now(), reason = 'the bank is down'"
    )

    answer = await shop.client.get(address)
    await shop.client.post(f"{address}/execute", data={})

    assert answer.headers["refresh"] == "2"
    assert "<progress" in answer.text
    assert "Let it go on" in answer.text
    assert (await shop.hand.powertools.lifeline.bulk_status(1)).status == "done"


async def test_what_was_left_and_can_still_be_repaired_can_be_previewed_again(shop: Shop) -> None:
    address = await make(shop.client, act="workflow_hold", hold_for="2h", id=["4", "1"])
    await shop.hand.rows("UPDATE powertools.bulk_items SET state_hash = 'another' WHERE target_id = '4'")
    await shop.client.post(f"{address}/execute", data=WHY)

    page = (await shop.client.get(address)).text

    assert "Preview the 1 that can still be repaired" in page
    assert page.count('<input type="hidden" name="id"') == 1
    assert re.search(r'<td[^>]*data-label="Why"[^>]*>\w+: ', page)


async def test_one_outcome_alone_can_be_listed(shop: Shop) -> None:
    address = await make(shop.client, act="workflow_hold", hold_for="2h", id=["4", "1"])
    await shop.client.post(f"{address}/execute", data=WHY)

    assert listed((await shop.client.get(address, params={"outcome": "done"})).text) == ["4"]


async def test_an_expired_one_can_be_listed_again(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)
    await shop.hand.rows("UPDATE powertools.bulks SET expires_at = now() - interval '1 s'")

    page = (await shop.client.get(address)).text
    [fields] = re.findall(r'<form method="post" action="/bulks">(.*?)<button', page, re.DOTALL)
    again = await shop.client.post("/bulks", data=dict(re.findall(r'name="(\w+)" value="([^"]*)"', fields)))

    assert "It has expired" in page
    assert 'class="decide"' not in page
    assert (again.status_code, again.headers["location"] != address) == (303, True)


async def test_an_execution_that_is_refused_offers_to_list_them_again(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)

    async with console_of(shop.hand, actor=lambda connection: GRACE) as (_, grace):
        answer = await grace.post(f"{address}/execute", data=WHY)

    [told] = re.findall(r'role="alert">(.*?)</form>', answer.text, re.DOTALL)
    assert "preview_of_another_actor" in told
    assert "List them again" in told


async def test_somebody_else_reads_a_list_and_makes_their_own(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)

    async with console_of(shop.hand, actor=lambda connection: GRACE) as (_, grace):
        page = (await grace.get(address)).text
        answer = await grace.post(f"{address}/execute", data=WHY)

    assert "List them yourself" in page
    assert 'class="decide"' not in page
    assert (answer.status_code, "preview_of_another_actor" in answer.text) == (403, True)


async def test_whoever_may_not_execute_it_reads_why(shop: Shop) -> None:
    def lists_only(actor: object, action: str, target: object) -> bool:
        return action == Action.PREVIEW_BULK

    async with console_of(shop.hand, authorize=lists_only) as (_, client):
        address = await make(client, **HOLD)
        page = (await client.get(address)).text
        answer = await client.post(f"{address}/execute", data=WHY)

    assert "You may not execute it" in page
    assert answer.status_code == 403


async def test_a_list_can_be_taken_away_as_a_file(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)

    answer = await shop.client.get(f"{address.partition('?')[0]}/manifest.csv")

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.splitlines()[:2] == ["target,outcome,detail,ended_at", "3,pending,,"]


@pytest.mark.parametrize("act", IN_BULK)
async def test_the_form_of_every_bulk_repair_is_there(shop: Shop, act: Action) -> None:
    assert (await shop.client.get("/bulks/new", params={"act": act})).status_code == 200


async def test_no_page_of_a_list_holds_its_token(shop: Shop) -> None:
    address = await make(shop.client, **HOLD)
    token = (await shop.hand.powertools.lifeline.bulk_status(1, token_for="ada")).preview_token

    assert token
    assert token not in (await shop.client.get(address)).text


async def test_many_steps_are_completed_without_a_result(shop: Shop) -> None:
    form = (await shop.client.get("/bulks/new?act=step_complete")).text
    address = await make(shop.client, act="step_complete", id=["2/charge"])

    assert "Each is completed without a result" in form
    assert 'name="payload"' not in form
    assert listed((await shop.client.get(address)).text) == ["2/charge"]
