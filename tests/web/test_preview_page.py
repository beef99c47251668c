"""The path in the browser: a preview is a permalink, its decision is taken once, its result stays readable."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from oban_powertools import SecondPerson
from oban_powertools.acts import REPAIRS, Action, Severity, TargetType
from oban_powertools.operators.authorization import permissions_policy
from tests.support.by_hand import Hand, chain, everybody_may
from tests.support.console import Shop, client_of, console_of, furnished_console
from tests.support.repairing import everything, outcomes

WHY = {"reason": "node drained, ticket 5512"}
GRACE = {"id": "grace", "label": "Grace Hopper"}


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        yield shop


async def make(client: httpx.AsyncClient, act: str, target: str, **more: str) -> str:
    """The address of a new preview."""
    answer = await client.post("/previews", data={"act": act, "target": target, **more})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def execute(client: httpx.AsyncClient, address: str, **fields: str) -> httpx.Response:
    return await client.post(f"{address}/execute", data={**WHY, **fields})


def heading(text: str) -> str:
    [found] = re.findall(r"<h1>(.*?)</h1>", text, re.DOTALL)
    return found.strip()


# The path


async def test_a_preview_is_executed_once_and_leads_to_its_result(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    answer = await execute(shop.client, address)

    result = await shop.client.get(answer.headers["location"])
    assert (answer.status_code, heading(result.text)) == (303, "Done: rescue job 6")
    assert re.findall(r'href="(/audit/\d+)"', result.text)
    assert (await outcomes(shop.hand))[-1][:2] == ("job_rescue", "executed")


async def test_the_record_says_that_it_came_through_the_web_with_the_number_of_the_request(shop: Shop) -> None:
    answer = await execute(shop.client, await make(shop.client, "job_rescue", "6"))

    [record] = await shop.hand.powertools.audit.list(action="job_rescue")
    assert (record.surface, record.actor_id) == ("web", "ada")
    assert record.request_id == answer.headers["x-request-id"]


async def test_a_preview_changes_nothing(shop: Shop) -> None:
    before = await everything(shop.hand)

    address = await make(shop.client, "workflow_retry", "2")
    await shop.client.get(address)

    assert await everything(shop.hand) == before


async def test_no_page_holds_a_token(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")
    shown = await shop.hand.powertools.lifeline.get_preview(address.rpartition("/")[2], token_for="ada")
    manifest = await shop.client.get(f"{address}/manifest.json")

    assert shown.preview_token
    assert shown.preview_token not in (await shop.client.get(address)).text + manifest.text


# Sent twice, and by two


async def test_a_second_submission_leads_to_the_same_result_and_does_nothing(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")
    first = await execute(shop.client, address)
    after = await everything(shop.hand)

    second = await execute(shop.client, address)

    assert second.headers["location"] == first.headers["location"]
    assert await everything(shop.hand) == after


async def test_two_submissions_at_once_execute_it_once(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    answers = await asyncio.gather(*(execute(shop.client, address) for _ in range(2)))

    assert {answer.headers["location"] for answer in answers} == {address.replace("previews", "repairs")}
    assert [done for done in await outcomes(shop.hand) if done[1] == "executed" and done[0] == "job_rescue"] == [
        ("job_rescue", "executed", None)
    ]


async def test_the_page_of_an_executed_preview_says_by_whom_and_offers_nothing(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")
    await execute(shop.client, address)

    page = (await shop.client.get(address)).text

    assert "It was executed" in page
    assert address.replace("previews", "repairs") in page
    assert 'class="decide"' not in page


async def test_somebody_else_reads_a_preview_and_is_led_to_one_of_their_own(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    async with console_of(shop.hand, actor=lambda connection: GRACE) as (_, grace):
        page = (await grace.get(address)).text
        answer = await execute(grace, address)

    assert "Preview it yourself" in page
    assert 'class="decide"' not in page
    assert (answer.status_code, "preview_of_another_actor" in answer.text) == (403, True)
    assert (await outcomes(shop.hand))[-1] == ("job_rescue", "refused", "preview_of_another_actor")


async def test_of_two_operators_with_the_same_preview_the_second_finds_it_changed(shop: Shop) -> None:
    async with console_of(shop.hand, actor=lambda connection: GRACE) as (_, grace):
        of_ada, of_grace = await make(shop.client, "job_rescue", "6"), await make(grace, "job_rescue", "6")
        first = await execute(shop.client, of_ada)

        second = await execute(grace, of_grace)
        page = await grace.get(second.headers["location"])

    assert first.headers["location"].startswith("/repairs/")
    assert second.headers["location"].startswith(of_grace)
    assert "Changed since preview" in page.text


# Every state


async def test_a_preview_whose_rows_have_changed_shows_both_versions_and_no_decision(shop: Shop) -> None:
    address = await make(shop.client, "workflow_retry", "2")
    await shop.hand.rows("UPDATE powertools.steps SET cause = 'job_deleted' WHERE workflow_id = 2 AND position = 0")

    page = (await shop.client.get(address)).text

    assert "Changed since preview" in page
    assert re.search(r'data-label="Now"[^>]*><strong class="strong">job_deleted</strong>', page)
    assert 'class="decide"' not in page
    assert "Preview again" in page


async def test_an_execution_that_has_drifted_is_refused_recorded_and_shown(shop: Shop) -> None:
    address = await make(shop.client, "workflow_retry", "2")
    await shop.hand.rows("UPDATE powertools.steps SET cause = 'job_deleted' WHERE workflow_id = 2 AND position = 0")

    answer = await execute(shop.client, address, read="yes")
    page = (await shop.client.get(answer.headers["location"])).text

    assert "Nothing was changed" in page
    assert "Preview again" in page
    assert (await outcomes(shop.hand))[-1] == ("workflow_retry", "drifted", "preview_drifted")


async def test_an_execution_that_is_refused_says_why_and_offers_another_preview(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    async with console_of(shop.hand, actor=lambda connection: GRACE) as (_, grace):
        answer = await execute(grace, address)

    [told] = re.findall(r'role="alert">(.*?)</form>', answer.text, re.DOTALL)
    assert "preview_of_another_actor" in told
    assert "Preview again" in told


async def test_a_preview_that_is_refused_can_be_asked_for_again(shop: Shop) -> None:
    answer = await shop.client.post("/previews", data={"act": "step_retry", "target": "3/pack"})

    assert answer.status_code == 409
    assert "illegal_transition" in answer.text
    assert "Preview again" in answer.text


async def test_an_expired_preview_says_so_and_its_execution_is_recorded(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")
    await shop.hand.rows("UPDATE powertools.previews SET expires_at = now() - interval '1 s'")

    page = (await shop.client.get(address)).text
    await execute(shop.client, address)

    assert "It has expired" in page
    assert "Preview again" in page
    assert 'class="decide"' not in page
    assert (await outcomes(shop.hand))[-1] == ("job_rescue", "expired", "preview_expired")


async def test_whoever_may_not_execute_reads_why(shop: Shop) -> None:
    def previews_only(actor: object, action: str, target: object) -> bool:
        return action == Action.PREVIEW_REPAIR

    async with console_of(shop.hand, authorize=previews_only) as (_, client):
        address = await make(client, "job_rescue", "6")
        page = (await client.get(address)).text
        answer = await execute(client, address)

    assert "You may not execute it" in page
    assert 'class="decide"' not in page
    assert answer.status_code == 403
    assert (await outcomes(shop.hand))[-1][1:] == ("refused", "not_authorized")


async def test_whoever_may_not_preview_gets_the_form_back_with_the_reason(shop: Shop) -> None:
    async with console_of(shop.hand, authorize=permissions_policy()) as (_, client):
        answer = await client.post("/previews", data={"act": "job_rescue", "target": "6"})

    assert (answer.status_code, "not_authorized" in answer.text) == (403, True)


async def test_a_read_only_console_shows_a_preview_and_lets_nobody_execute(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    async with console_of(shop.hand, read_only=True) as (_, client):
        page = await client.get(address)
        answer = await execute(client, address)

    assert (page.status_code, 'class="decide"' in page.text, answer.status_code) == (200, False, 403)


async def test_a_preview_that_does_not_exist_is_not_found(shop: Shop) -> None:
    assert (await shop.client.get("/previews/999")).status_code == 404


async def test_a_result_that_is_none_yet_leads_to_the_preview(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    answer = await shop.client.get(address.replace("previews", "repairs"))

    assert (answer.status_code, answer.headers["location"]) == (303, address)


# Two persons


async def test_a_second_person_approves_the_same_page_and_then_it_is_executed(shop: Shop) -> None:
    policy = SecondPerson(everybody_may, when=lambda *_: True)
    async with (
        console_of(shop.hand, authorize=policy) as (_, ada),
        console_of(shop.hand, authorize=policy, actor=lambda connection: GRACE) as (_, grace),
    ):
        address = await make(ada, "job_rescue", "6")
        waiting = (await ada.get(address)).text
        too_early = await execute(ada, address)
        short = await grace.post(f"{address}/approve", data={"reason": "ok"})
        approved = await grace.post(f"{address}/approve", data={"reason": "I have read it, it is right"})
        page = (await ada.get(address)).text
        done = await execute(ada, address)

    assert "It waits for a second person" in waiting
    assert 'class="decide"' not in waiting
    assert (too_early.status_code, "approval_missing" in too_early.text) == (403, True)
    assert (short.status_code, ">ok</textarea>" in short.text) == (422, True)
    assert approved.headers["location"].startswith(address)
    assert "Approved by grace" in page
    assert done.headers["location"] == address.replace("previews", "repairs")


# The friction follows the risk


async def test_a_reason_that_is_too_short_comes_back_with_what_was_typed(shop: Shop) -> None:
    address = await make(shop.client, "job_rescue", "6")

    answer = await execute(shop.client, address, reason="<b>no")

    assert answer.status_code == 422
    assert "&lt;b&gt;no</textarea>" in answer.text
    assert "expected 8 at least" in answer.text


async def test_a_high_risk_is_confirmed_by_a_tick(shop: Shop) -> None:
    address = await make(shop.client, "workflow_retry", "2")

    without = await execute(shop.client, address)
    ticked = await execute(shop.client, address, read="yes")

    assert (without.status_code, ticked.status_code) == (422, 303)
    assert WHY["reason"] in without.text


async def test_a_severe_risk_is_confirmed_by_the_targets_name(shop: Shop) -> None:
    address = await make(shop.client, "workflow_cancel", "4")

    wrong = await execute(shop.client, address, confirm="5")
    right = await execute(shop.client, address, confirm="4")

    assert (wrong.status_code, right.status_code) == (422, 303)
    assert 'value="5"' in wrong.text


@pytest.mark.parametrize("act", REPAIRS)
def test_every_repair_says_what_it_does(act: Action) -> None:
    assert act.row.does.endswith(".")
    assert act.row.severity in Severity


# Where it begins


@pytest.mark.parametrize("act", REPAIRS)
async def test_the_form_of_every_repair_is_there(shop: Shop, act: Action) -> None:
    kind = act.row.targets[0]
    target = {TargetType.STEP: "2/charge", TargetType.EXECUTOR: "app:oban"}.get(kind, "2")

    answer = await shop.client.get(f"/acts/{act}", params={"target": target})

    assert (answer.status_code, act.row.does.replace("'", "&#39;") in answer.text) == (200, True)


async def test_a_repair_that_asks_for_something_gets_it_from_its_form(shop: Shop) -> None:
    address = await make(shop.client, "step_hold", "4/pay", hold_for="2h")

    shown = await shop.hand.powertools.lifeline.get_preview(address.rpartition("/")[2])

    assert shown.arguments == {"hold_for": 7200}


async def test_a_form_that_was_filled_in_wrongly_comes_back_with_what_was_typed(shop: Shop) -> None:
    answer = await shop.client.post("/previews", data={"act": "step_hold", "target": "4/pay", "hold_for": "2 hours"})

    assert answer.status_code == 422
    assert 'value="2 hours"' in answer.text
    assert "is no duration" in answer.text


async def test_a_repair_that_does_not_fit_comes_back_with_the_reason(shop: Shop) -> None:
    answer = await shop.client.post("/previews", data={"act": "job_rescue", "target": "1"})

    assert (answer.status_code, "illegal_repair" in answer.text) == (409, True)


async def test_what_is_no_act_is_not_found(shop: Shop) -> None:
    assert (await shop.client.get("/acts/nonsense", params={"target": "1"})).status_code == 404


async def test_a_form_of_another_origin_does_nothing(hand: Hand) -> None:
    async with console_of(hand) as (console, _), client_of(console) as client:
        client.headers["Sec-Fetch-Site"] = "cross-site"
        answer = await client.post("/previews", data={"act": "job_rescue", "target": "6"})

    assert answer.status_code == 403


# ---- the graph of what it does


async def test_a_preview_of_a_workflow_draws_the_steps_it_touches_with_their_states_before_and_after(
    shop: Shop,
) -> None:
    address = await make(shop.client, "workflow_retry", "2")

    page = (await shop.client.get(address)).text

    drawn = page.partition("The steps that it touches")[2].partition("</svg>")[0]
    assert "→ available" in drawn
    assert drawn.count("→ pending") >= 2


async def test_a_preview_of_a_job_draws_nothing(shop: Shop) -> None:
    page = (await shop.client.get(await make(shop.client, "job_rescue", "6"))).text

    assert "The steps that it touches" not in page


async def test_a_preview_of_many_steps_draws_nothing(hand: Hand) -> None:
    await hand.insert(chain(30))
    async with console_of(hand) as (_, client):
        page = (await client.get(await make(client, "workflow_cancel", "1"))).text

    assert "The steps that it touches" not in page
