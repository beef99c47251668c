"""The form that reveals a value, and the answer that shows it once."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from psycopg.types.json import Jsonb

from oban_powertools import DisplayPolicy
from tests.support.console import Shop, console_of, furnished_console
from tests.support.crawling import read
from tests.support.markup import COMPUTED, TEMPLATE, read_markup

SCRIPT = "\"'></pre></textarea><svg/onload=alert(1)><script>alert(2)</script>" + TEMPLATE
VALUE = {"password": f"velvet{SCRIPT}", SCRIPT: 7}
GIVEN = {"reason": "ticket 5512 of the bank", "confirm": "yes"}

PAGES = {
    "/jobs/6/reveal": ("args", "meta", "error"),
    "/workflows/1/reveal?step=charge": ("args", "result"),
    "/workflows/2/reveal?step=charge": ("error",),
    "/workflows/2/reveal": ("context",),
}
"""Address of a form -> the values that it reveals."""

EACH = pytest.mark.parametrize(("path", "what"), [(path, what) for path, whats in PAGES.items() for what in whats])


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    """The shop with something to hide in every value."""
    async with furnished_console(dsn) as shop:
        value, error = Jsonb(VALUE), Jsonb([{"attempt": 1, "error": f"password=velvet{SCRIPT}"}])
        await shop.hand.rows("UPDATE oban_jobs SET args = %s, meta = meta || %s, errors = %s", value, value, error)
        await shop.hand.rows("UPDATE powertools.workflows SET context = %s", value)
        await shop.hand.rows("UPDATE powertools.steps SET args = %s WHERE args IS NOT NULL", value)
        await shop.hand.rows(
            "UPDATE powertools.steps SET error = error || %s WHERE error IS NOT NULL",
            Jsonb({"error": f"password=velvet{SCRIPT}"}),
        )
        await shop.hand.rows("UPDATE powertools.steps SET result = %s WHERE result IS NOT NULL", value)
        yield shop


async def ask(client: httpx.AsyncClient, path: str, what: str, **more: str) -> httpx.Response:
    return await client.post(path, data={"what": what, **GIVEN, **more})


@EACH
async def test_the_form_asks_why_and_shows_nothing_of_the_value(shop: Shop, path: str, what: str) -> None:
    address = f"{path}{'&' if '?' in path else '?'}what={what}"
    answer = await shop.client.get(address)

    _, forms = read(answer)
    [form] = [form for form in forms if "/reveal" in form.action]
    assert (answer.status_code, form.action, form.can_be_sent) == (200, path, True)
    assert {name for name, _ in form.fields} == {"what", "reason", "confirm"}
    assert "velvet" not in answer.text


@EACH
async def test_the_value_is_the_answer_and_text_whatever_it_holds(shop: Shop, path: str, what: str) -> None:
    answer = await ask(shop.client, path, what)

    assert answer.status_code == 200
    assert "velvet" in answer.text
    assert "<script>alert" not in answer.text
    assert "<svg/onload" not in answer.text
    assert COMPUTED not in read_markup(answer.text).words


@EACH
async def test_nobody_keeps_the_answer_and_no_address_has_the_value(shop: Shop, path: str, what: str) -> None:
    answer = await ask(shop.client, path, what)

    links, forms = read(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert "location" not in answer.headers
    assert [each for each in (*links, *(form.action for form in forms)) if "velvet" in each] == []


@EACH
async def test_whoever_may_not_sees_nothing_by_the_form(shop: Shop, path: str, what: str) -> None:
    async with console_of(shop.hand, authorize=lambda *_: False) as (_, client):
        page = await client.get(f"{path}{'&' if '?' in path else '?'}what={what}")
        answer = await ask(client, path, what)

    assert 'disabled>Reveal</button><span class="hint">authorize did not allow it' in page.text
    assert answer.status_code == 403
    assert "velvet" not in page.text + answer.text
    [record] = await shop.hand.powertools.audit.list(action="reveal_value")
    assert (record.outcome, record.surface, record.details["what"]) == ("refused", "web", what)


async def test_a_display_policy_that_never_reveals_is_the_last_word(shop: Shop) -> None:
    class Never(DisplayPolicy):
        def may_reveal(self, kind: Any, value: Any) -> bool:
            return False

    async with console_of(shop.hand, display=Never()) as (_, client):
        answer = await ask(client, "/jobs/6/reveal", "args")

    assert answer.status_code == 403
    assert "the display policy does not let it be revealed" in answer.text
    assert "velvet" not in answer.text


@pytest.mark.parametrize("given", [{"reason": ""}, {"reason": "short"}, {"confirm": ""}])
async def test_without_a_reason_or_the_tick_the_form_comes_back_with_what_was_typed(
    shop: Shop, given: dict[str, str]
) -> None:
    answer = await ask(shop.client, "/jobs/6/reveal", "args", **given)

    assert answer.status_code == 422
    assert 'class="error-text"' in answer.text
    assert given.get("reason", GIVEN["reason"]) in answer.text
    assert "velvet" not in answer.text


@pytest.mark.parametrize("path", ["/jobs/6/reveal", "/workflows/2/reveal", "/workflows/2/reveal?step=charge"])
@pytest.mark.parametrize("what", ["", "password", "everything"])
async def test_a_value_that_its_target_has_not_is_no_page(shop: Shop, path: str, what: str) -> None:
    answer = await ask(shop.client, path, what)

    assert answer.status_code == 400


async def test_a_console_that_is_read_only_reveals_nothing(shop: Shop) -> None:
    async with console_of(shop.hand, read_only=True) as (_, client):
        answer = await ask(client, "/jobs/6/reveal", "args")

    assert answer.status_code == 403
    assert "velvet" not in answer.text


@pytest.mark.parametrize(
    ("page", "links"),
    [
        ("/jobs/6", {"/jobs/6/reveal?what=args", "/jobs/6/reveal?what=meta", "/jobs/6/reveal?what=error"}),
        ("/workflows/2?tab=context", {"/workflows/2/reveal?what=context"}),
        (
            "/workflows/1/step?name=charge",
            {f"/workflows/1/reveal?what={what}&step=charge" for what in ("args", "result")},
        ),
        (
            "/workflows/2/step?name=charge",
            {f"/workflows/2/reveal?what={what}&step=charge" for what in ("args", "error")},
        ),
    ],
)
async def test_each_page_leads_to_what_it_hides(shop: Shop, page: str, links: set[str]) -> None:
    found, _ = read(await shop.client.get(page))

    assert {link for link in found if "/reveal" in link} == links


async def test_the_page_of_the_value_leads_to_its_record(shop: Shop) -> None:
    answer = await ask(shop.client, "/jobs/6/reveal", "args")

    links, _ = read(answer)
    [record] = await shop.hand.powertools.audit.list(action="reveal_value")
    assert f"/audit/{record.id}" in links
    assert record.details == {"what": "args"}
    assert "velvet" not in (await shop.client.get(f"/audit/{record.id}")).text
