"""Every address of the console, walked as a browser walks it: by whoever may all, nothing, only look, or is unknown."""

from collections.abc import AsyncIterator

import httpx
import pytest

from oban_powertools.web import Rates, pages
from oban_powertools.web.api.endpoints import ENDPOINTS, ROOT
from oban_powertools.web.security import HEADERS
from tests.support.console import Shop, client_of, console_of, furnished_console
from tests.support.crawling import Form, Walk, crawl, read
from tests.support.dumped import dumped

GETS = {route.path for route in pages.routes() if route.method == "GET"}
POSTS = {route.path for route in pages.routes() if route.method == "POST"}
OPEN = ("/healthz", "/readyz")
"""Whoever supervises the process is not asked who they are."""

AUDIT = {f"powertools.{name}" for name in "audit audit_links audit_seals audit_chain notices event_batches".split()}
"""What changes when an attempt is recorded as refused."""
OF_A_SECOND_PERSON = {"/previews/{id}/approve"}
"""On the preview of another, where the policy wants two (``test_preview_page``)."""

NO_LIMIT = Rates(previews=10_000, executes=10_000, bulks=10_000, changes=10_000)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def nobody_may(*_: object) -> bool:
    return False


async def posted(client: httpx.AsyncClient, form: Form, **headers: str) -> httpx.Response:
    return await client.post(form.action, content=form.body, headers={**FORM, **headers})


async def walked(shop: Shop) -> Walk:
    """Every page that is reached from the overview, and from what only an address leads to."""
    [incident, *_] = await shop.hand.powertools.lifeline.list_incidents()
    return await crawl(
        shop.client, "/", "/previews/1", "/bulks/1", "/bulks/new", f"/incidents/by-fingerprint/{incident.fingerprint}"
    )


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    """The shop with a preview, a bulk and a repair in it."""
    async with furnished_console(dsn, rates=NO_LIMIT) as shop:
        lifeline = shop.hand.powertools.lifeline
        ada = {"id": "ada"}
        await lifeline.preview_repair(ada, action="step_retry", target_type="step", target_id="2/charge")
        await lifeline.preview_bulk(ada, "step_retry", {"state": "discarded"})
        held = await lifeline.preview_repair(ada, action="step_release", target_type="step", target_id="4/pay")
        assert held.preview_token is not None
        await lifeline.execute_repair(ada, held.preview_token, "because of a test")
        yield shop


@pytest.fixture
async def walk(shop: Shop) -> Walk:
    """As Ada, who may do everything, finds it."""
    return await walked(shop)


async def test_every_page_is_reached_by_links(walk: Walk) -> None:
    assert walk.routes & GETS == GETS


async def test_every_form_is_reached_by_links(walk: Walk) -> None:
    assert {route for route, _ in walk.forms} | OF_A_SECOND_PERSON == POSTS


FOUND = (200, 303)


async def test_every_link_leads_somewhere(walk: Walk) -> None:
    wrong = {address: answer.status_code for address, answer in walk.answers.items() if answer.status_code not in FOUND}

    assert wrong == {}


async def test_no_get_changes_anything(shop: Shop) -> None:
    before = await dumped(shop.hand.conn)

    walk = await walked(shop)
    for row in ENDPOINTS:
        if row.method == "GET" and "stream" not in row.path:
            await shop.client.get(f"{ROOT}{filled(row.path)}")

    after = await dumped(shop.hand.conn)
    assert len(walk.answers) > 30
    assert {table for table in after if after[table] != before[table]} == set()


async def test_every_answer_has_the_headers_and_is_kept_by_nobody(shop: Shop, walk: Walk) -> None:
    others = [await shop.client.get(path) for path in (*OPEN, "/nothing", f"{ROOT}/openapi.json", f"{ROOT}/nothing")]
    others += [await shop.client.delete("/incidents"), await shop.client.options("/")]
    others.append(await shop.client.post("/acts/incident_note", headers={"Sec-Fetch-Site": "cross-site"}))

    answers = [*walk.answers.values(), *others]
    assert [answer.url for answer in answers if {n: answer.headers.get(n) for n in HEADERS} != HEADERS] == []
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


async def test_whoever_is_unknown_sees_nothing_of_any_page_or_form(shop: Shop, walk: Walk) -> None:
    secrets = ("newsletter", "refund", "node-a", "shop.workers", "Ada", "ledger")
    async with console_of(shop.hand, actor=lambda connection: None) as (_, client):
        seen = {address: await client.get(address) for address in walk.answers}
        seen |= {f"POST {form.action}": await posted(client, form) for form in walk.forms.values()}

    assert {answer.status_code for answer in seen.values()} == {401}
    assert [address for address, answer in seen.items() if any(word in answer.text for word in secrets)] == []


async def test_whoever_is_unknown_changes_nothing(shop: Shop, walk: Walk) -> None:
    before = await dumped(shop.hand.conn)

    async with console_of(shop.hand, actor=lambda connection: None) as (_, client):
        for form in walk.forms.values():
            await posted(client, form)

    assert await dumped(shop.hand.conn) == before


async def test_whom_the_host_refuses_gets_403_everywhere(shop: Shop, walk: Walk) -> None:
    def refuse(_: object) -> None:
        raise PermissionError("not on this console")

    async with console_of(shop.hand, actor=refuse) as (_, client):
        codes = {(await client.get(address)).status_code for address in walk.answers}
        codes |= {(await posted(client, form)).status_code for form in walk.forms.values()}

    assert codes == {403}


async def test_whoever_may_nothing_changes_nothing_by_any_form_and_each_attempt_is_recorded(
    shop: Shop, walk: Walk
) -> None:
    before = await dumped(shop.hand.conn)

    async with console_of(shop.hand, authorize=nobody_may, rates=NO_LIMIT) as (_, client):
        answers = {form.action: await posted(client, form) for form in walk.forms.values()}

    changed = {table for table, rows in (await dumped(shop.hand.conn)).items() if rows != before[table]}
    assert changed <= AUDIT
    assert {action: a.status_code for action, a in answers.items() if a.status_code >= 500} == {}
    records = await shop.hand.powertools.audit.list(limit=200)
    assert {record.outcome for record in records[: len(before)] if record.surface == "web"} <= {"refused"}


async def test_whoever_may_nothing_reads_every_page(shop: Shop, walk: Walk) -> None:
    async with console_of(shop.hand, authorize=nobody_may) as (_, client):
        codes = {address: (await client.get(address)).status_code for address in walk.answers}

    assert {address: code for address, code in codes.items() if code not in FOUND} == {}


async def test_a_read_only_console_refuses_every_form_and_records_nothing(shop: Shop, walk: Walk) -> None:
    before = await dumped(shop.hand.conn)

    async with console_of(shop.hand, read_only=True) as (_, client):
        codes = {form.action: (await posted(client, form)).status_code for form in walk.forms.values()}
        codes |= {
            row.path: (await client.request(row.method, f"{ROOT}{filled(row.path)}", json={})).status_code
            for row in ENDPOINTS
            if row.method != "GET"
        }
        pages_of_it = [await client.get(address) for address in walk.answers]

    assert {action: code for action, code in codes.items() if code != 403} == {}
    assert await dumped(shop.hand.conn) == before
    assert {answer.status_code for answer in pages_of_it} <= {*FOUND}


async def test_on_a_read_only_console_no_button_of_a_form_that_posts_can_be_pressed(shop: Shop, walk: Walk) -> None:
    async with console_of(shop.hand, read_only=True) as (_, client):
        answers = [await client.get(address) for address in walk.answers]

    live = [
        str(answer.url) for answer in answers for form in read(answer)[1] if form.method == "post" and form.can_be_sent
    ]
    assert live == []


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}],
    ids=str,
)
async def test_another_site_changes_nothing_by_any_form(shop: Shop, walk: Walk, headers: dict[str, str]) -> None:
    before = await dumped(shop.hand.conn)

    async with client_of(shop.console) as client:
        del client.headers["Sec-Fetch-Site"]
        codes = {form.action: (await posted(client, form, **headers)).status_code for form in walk.forms.values()}

    assert set(codes.values()) == {403}
    assert await dumped(shop.hand.conn) == before


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"])
async def test_a_page_has_no_other_methods(shop: Shop, walk: Walk, method: str) -> None:
    before = await dumped(shop.hand.conn)

    codes = {address: (await shop.client.request(method, address)).status_code for address in walk.answers}

    assert {address: code for address, code in codes.items() if code != 405} == {}
    assert await dumped(shop.hand.conn) == before


async def test_no_redirect_leads_elsewhere(shop: Shop, walk: Walk) -> None:
    tempting = [("next", "https://evil.example/"), ("back", "//evil.example"), ("return_to", "/\\evil.example")]

    answers = [
        await posted(shop.client, Form(form.action, "post", [*form.fields, *tempting])) for form in walk.forms.values()
    ]
    answers += [
        await shop.client.get(f"{address}{'&' if '?' in address else '?'}next=//evil.example")
        for address in walk.answers
    ]

    places = [answer.headers["location"] for answer in answers if "location" in answer.headers]
    assert places
    assert [place for place in places if not place.startswith("/") or place.startswith(("//", "/\\"))] == []


async def test_head_answers_as_get_without_a_body(shop: Shop) -> None:
    answer = await shop.client.head("/incidents")

    assert answer.status_code == 200


def filled(path: str) -> str:
    """A path of the API with something in the place of each name."""
    values = {"workflow_id": "2", "step": "charge", "queue": "mail"}
    for name in {part[1:-1] for part in path.split("/") if part.startswith("{")}:
        path = path.replace(f"{{{name}}}", values.get(name, "1"))
    return path
