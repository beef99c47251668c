"""Each endpoint asked by somebody unknown, by somebody who may only read, and by somebody who may nothing."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from oban_powertools.operators.authorization import Action, Actor, Target
from oban_powertools.web import Rates
from oban_powertools.web.api.endpoint import Endpoint
from oban_powertools.web.api.endpoints import ENDPOINTS, ROOT
from tests.support.by_hand import Hand, chain
from tests.support.console import console_of
from tests.support.troubles import TROUBLES, project

READS = [row for row in ENDPOINTS if row.method == "GET" and row.name != "stream_events"]
ACTS = [row for row in ENDPOINTS if row.method != "GET"]
OF_AN_EXECUTION = {"execute_preview", "execute_bulk"}
"""They need a token, which nobody gets who may not preview."""


def _name(row: Endpoint) -> str:
    return row.name


def _nobody_may(_: Actor, action: Action, target: Target) -> bool:
    return False


async def _ask(client: httpx.AsyncClient, row: Endpoint, **values: str) -> httpx.Response:
    path = row.path
    for one in row.path_inputs:
        path = path.replace(f"{{{one.name}}}", values.get(one.name) or str(one.example))
    query = {one.name: one.example for one in row.query if one.required}
    body: Any = {one.name: one.example for one in row.body if one.example is not None}
    body |= {name: value for name, value in values.items() if name in body}
    return await client.request(
        row.method, f"{ROOT}{path}", params=query, **({} if row.method == "GET" else {"json": body})
    )


@pytest.fixture
async def unknown(hand: Hand) -> AsyncIterator[httpx.AsyncClient]:
    async with console_of(hand, actor=lambda connection: None) as (_, client):
        yield client


@pytest.mark.parametrize("row", ENDPOINTS, ids=_name)
async def test_somebody_unknown_learns_nothing(unknown: httpx.AsyncClient, row: Endpoint) -> None:
    answer = await _ask(unknown, row)

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/api/v1/openapi.json", "/api/v1/nothing", "/api/"])
async def test_somebody_unknown_does_not_learn_which_addresses_there_are(unknown: httpx.AsyncClient, path: str) -> None:
    assert (await unknown.get(path)).status_code == 401


@pytest.mark.parametrize("row", READS, ids=_name)
async def test_whoever_may_nothing_may_read(hand: Hand, row: Endpoint) -> None:
    async with console_of(hand, authorize=_nobody_may) as (_, client):
        answer = await _ask(client, row)

    assert answer.status_code in (200, 404)


@pytest.mark.parametrize("row", [row for row in ACTS if row.name not in OF_AN_EXECUTION], ids=_name)
async def test_whoever_may_nothing_is_refused_and_that_is_recorded(hand: Hand, row: Endpoint) -> None:
    workflow_id = await hand.insert(chain(1))
    await TROUBLES["orphaned_jobs"].happen(hand)
    incident = next(iter((await project(hand)).values()))
    await hand.rows("INSERT INTO oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'node-a', 'default')")
    issued = await hand.powertools.webhooks.add("https://example.com/", actor="bob", reason="because of a test")
    previewed = await hand.powertools.lifeline.preview_repair(
        "bob", action="workflow_cancel", target_type="workflow", target_id=workflow_id
    )
    known = {
        "preview_id": str(previewed.id),
        "workflow_id": str(workflow_id),
        "step": "s0",
        "target_id": f"{workflow_id}/s0",
        "incident": str(incident.id),
        "endpoint_id": str(issued.endpoint.id),
    }
    async with console_of(hand, authorize=_nobody_may) as (_, client):
        answer = await _ask(client, row, **known)
        [record] = (await client.get("/api/v1/audit", params={"limit": "1"})).json()["items"]

    assert (answer.status_code, answer.json()["code"]) == (403, "not_authorized")
    assert (record["outcome"], record["surface"], record["action"]) == ("refused", "api", str(row.act))


@pytest.mark.parametrize("row", ACTS, ids=_name)
async def test_a_console_that_is_read_only_refuses_every_act(hand: Hand, row: Endpoint) -> None:
    async with console_of(hand, read_only=True) as (_, client):
        answer = await _ask(client, row)

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("row", ACTS, ids=_name)
async def test_a_page_of_another_site_does_nothing(hand: Hand, row: Endpoint) -> None:
    async with console_of(hand) as (_, client):
        client.headers["Sec-Fetch-Site"] = "cross-site"
        answer = await _ask(client, row)

    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")


@pytest.mark.parametrize("row", [row for row in ACTS if row.name in OF_AN_EXECUTION], ids=_name)
async def test_whoever_may_only_preview_executes_nothing(hand: Hand, row: Endpoint) -> None:
    workflow_id = await hand.insert(chain(1))

    def may_preview(_: Actor, action: Action, target: Target) -> bool:
        return action in (Action.PREVIEW_REPAIR, Action.PREVIEW_BULK)

    async with console_of(hand, authorize=may_preview) as (_, client):
        repair = {"action": "workflow_cancel", "target_type": "workflow", "target_id": str(workflow_id)}
        bulk = {"action": "workflow_cancel", "filter": {"ids": [str(workflow_id)]}}
        path, body = ("/previews", repair) if row.name == "execute_preview" else ("/bulks", bulk)
        made = (await client.post(f"{ROOT}{path}", json=body)).json()
        known = {"preview_id": made["id"], "bulk_id": made["id"], "preview_token": made["preview_token"]}
        body = {"preview_token": known["preview_token"], "reason": "a test, no more"}
        answer = await client.post(f"{ROOT}{row.path.format(**known)}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (403, "not_authorized")
    assert (await hand.powertools.workflows.get(workflow_id)).state == "running"


async def test_an_actor_who_did_enough_for_a_minute_is_told_when_to_come_back(hand: Hand) -> None:
    async with console_of(hand, rates=Rates(changes=1)) as (_, client):
        await client.post("/api/v1/queues/default/pause", json={})
        answer = await client.post("/api/v1/queues/default/pause", json={})

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert int(answer.headers["retry-after"]) > 0
