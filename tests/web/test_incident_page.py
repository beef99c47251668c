"""An incident in the browser: the four boxes, what fits and what does not, and what a person may do about it."""

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from oban_powertools import IncidentState
from oban_powertools.acts import Action
from tests.support.console import Shop, console_of, furnished_console
from tests.support.furnished import DEAD
from tests.support.repairing import outcomes
from tests.support.troubles import TROUBLES, project

FINGERPRINT = f"dead_executor:{DEAD}"


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        yield shop


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


async def look(shop: Shop, address: str = f"/incidents/by-fingerprint/{FINGERPRINT}") -> str:
    answer = await shop.client.get(address)
    assert answer.status_code == 200
    return answer.text


async def test_an_incident_has_four_boxes(shop: Shop) -> None:
    page = text_of(await look(shop))

    for box, begins in {
        "What we saw": "The last heartbeat of default on node-a",
        "What we infer": "Its process is gone",
        "What we do not know": "Whether they had their effects",
        "If nobody acts": "They stay executing",
    }.items():
        assert re.search(rf"{box} {begins}", page), box


async def test_every_fact_says_where_it_was_seen_and_when(shop: Shop) -> None:
    page = await look(shop)
    [box] = re.findall(r"What we saw</dt>(.*?)</dd>", page, re.DOTALL)

    facts = re.findall(r"<li>(.*?)</li>", box, re.DOTALL)
    assert len(facts) >= 3
    assert [fact for fact in facts if 'class="quiet source"' not in fact or "<time datetime=" not in fact] == []


async def test_an_incident_has_one_address_by_id_and_one_by_fingerprint(shop: Shop) -> None:
    found = await shop.hand.powertools.lifeline.get_incident(FINGERPRINT)

    [by_id, by_fingerprint] = [await look(shop, a) for a in (f"/incidents/{found.id}", f"/incidents/{FINGERPRINT}")]

    assert re.findall("<h1>.*?</h1>", by_id) == re.findall("<h1>.*?</h1>", by_fingerprint)


async def test_each_legal_repair_is_a_form_that_leads_to_its_preview(shop: Shop) -> None:
    page = await look(shop)
    forms = re.findall(r'<form method="post" action="/previews">(.*?)</form>', page, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', forms[0]))

    answer = await shop.client.post("/previews", data=fields)

    assert (fields["act"], fields["incident"]) == ("job_rescue", FINGERPRINT)
    assert re.fullmatch(r"/previews/\d+", answer.headers["location"])


async def test_the_first_legal_repair_is_what_the_key_previews(shop: Shop) -> None:
    assert (await look(shop)).count("data-preview") == 1


@pytest.mark.parametrize("name", TROUBLES)
async def test_the_page_of_every_class_of_incident_is_whole(hand, name: str) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    [opened, *_] = (await project(hand, trouble.fingerprint, **trouble.settings)).values()

    async with console_of(hand) as (_, client):
        answer = await client.get(f"/incidents/{opened.id}")

    assert answer.status_code == 200
    assert answer.text.count("<h1") == 1
    assert re.findall(r"\bNone\b(?! is lost)", text_of(answer.text)) == []


async def test_whoever_may_nothing_reads_why_and_finds_no_form(shop: Shop) -> None:
    async with console_of(shop.hand, authorize=lambda *_: False) as (_, client):
        page = (await client.get(f"/incidents/{FINGERPRINT}")).text

    assert '<form method="post"' not in page
    assert "authorize did not allow it" in page
    assert page.count("disabled") >= 5


async def test_a_read_only_console_has_no_form_on_an_incident(shop: Shop) -> None:
    async with console_of(shop.hand, read_only=True) as (_, client):
        page = (await client.get(f"/incidents/{FINGERPRINT}")).text

    assert '<form method="post"' not in page
    assert "read-only" in page


async def test_an_incident_that_is_over_says_what_ended_it(shop: Shop) -> None:
    made = await shop.client.post("/previews", data={"act": "job_rescue", "target": "6", "incident": FINGERPRINT})
    await shop.client.post(f"{made.headers['location']}/execute", data={"reason": "node drained, ticket 5512"})

    page = text_of(await look(shop))

    assert "It is over It has no job in hand any more" in page
    assert re.search(r"The last act for it: Job rescue, job 6 by ada, record \d+", page)
    assert "What may be done" not in page


async def test_what_does_not_exist_is_not_found(shop: Shop) -> None:
    assert (await shop.client.get("/incidents/999")).status_code == 404


# What a person does about it


async def test_acknowledging_is_one_click_and_recorded(shop: Shop) -> None:
    answer = await shop.client.post("/acts/incident_acknowledge", data={"target": FINGERPRINT})

    after = await shop.hand.powertools.lifeline.get_incident(FINGERPRINT)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, f"/incidents/{after.id}")
    assert (after.state, after.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "ada")
    assert (await outcomes(shop.hand))[-1][:2] == ("incident_acknowledge", "executed")


async def test_the_page_after_an_act_says_what_was_done(shop: Shop) -> None:
    answer = await shop.client.post("/acts/incident_acknowledge", data={"target": FINGERPRINT})

    page = (await shop.client.get(answer.headers["location"])).text

    assert "You have acknowledged it." in page


@pytest.mark.parametrize(
    ("act", "fields", "said"),
    [
        (Action.INCIDENT_ASSIGN, {"assignee": "grace"}, "grace"),
        (Action.INCIDENT_ASSIGN, {"assignee": ""}, "nobody yet"),
        (Action.INCIDENT_NOTE, {"note": "restarted <node-a>"}, "restarted <node-a>"),
        (Action.INCIDENT_MUTE, {"mute_for": "2h", "reason": "the fix is on its way"}, "the fix is on its way"),
    ],
)
async def test_each_act_on_an_incident_is_a_form(shop: Shop, act: Action, fields: dict[str, str], said: str) -> None:
    form = (await shop.client.get(f"/acts/{act}", params={"target": FINGERPRINT})).text
    asked = set(re.findall(r'<(?:input|textarea)[^>]* name="(\w+)"', form))

    answer = await shop.client.post(f"/acts/{act}", data={"target": FINGERPRINT, **fields})

    assert fields.keys() <= asked
    assert "Audited action" in form
    assert said in text_of(await look(shop, answer.headers["location"]))


async def test_a_mute_without_a_reason_comes_back_with_its_duration(shop: Shop) -> None:
    answer = await shop.client.post("/acts/incident_mute", data={"target": FINGERPRINT, "mute_for": "2h"})

    assert (answer.status_code, 'value="2h"' in answer.text) == (422, True)
    assert (await shop.hand.powertools.lifeline.get_incident(FINGERPRINT)).muted_until is None


async def test_an_act_that_is_refused_comes_back_and_is_recorded(shop: Shop) -> None:
    async with console_of(shop.hand, authorize=lambda *_: False) as (_, client):
        answer = await client.post("/acts/incident_note", data={"target": FINGERPRINT, "note": "hello there"})

    assert (answer.status_code, "hello there" in answer.text) == (403, True)
    assert (await outcomes(shop.hand))[-1] == ("incident_note", "refused", "not_authorized")


async def test_a_queue_is_paused_from_its_form_with_a_tick(shop: Shop) -> None:
    await shop.hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'n', 'default')")
    fields = {"target": "default", "reason": "the bank is down"}

    without = await shop.client.post("/acts/queue_pause", data=fields)
    ticked = await shop.client.post("/acts/queue_pause", data={**fields, "confirm": "yes"})

    assert (without.status_code, "the bank is down" in without.text) == (422, True)
    assert (ticked.status_code, ticked.headers["location"]) == (303, "/queues/default?said=queue_pause")
    assert (await outcomes(shop.hand))[-1][:2] == ("queue_pause", "executed")


async def test_a_queue_is_scaled_to_a_number(shop: Shop) -> None:
    await shop.hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'n', 'default')")
    fields = {"target": "default", "reason": "the bank asks for less"}

    none = await shop.client.post("/acts/queue_scale", data={**fields, "limit": "many"})
    some = await shop.client.post("/acts/queue_scale", data={**fields, "limit": "5"})

    assert (none.status_code, some.status_code) == (422, 303)


async def test_an_open_incident_says_what_happens_next_by_itself(shop: Shop) -> None:
    page = (await shop.client.get("/incidents/1")).text

    assert "Next, by itself" in page
    assert "of default on node-a</p>" in page
