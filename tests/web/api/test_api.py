"""How the API answers: pages, problems, tags, repetitions; and that each request is recorded as what it was."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.routing import Mount

from oban_powertools import DisplayPolicy, Workflow, open_calls
from oban_powertools.privacy.display import Kind
from oban_powertools.web import Rates, create_console
from tests.support.by_hand import Hand, chain, step
from tests.support.console import PATIENT, client_of, console_of
from tests.support.repairing import failed_chain

WHY = {"reason": "the bank is back, ticket 5512"}


@pytest.fixture
async def api(hand: Hand) -> AsyncIterator[httpx.AsyncClient]:
    async with console_of(hand, rates=Rates(bulks=100, executes=100)) as (_, client):
        client.base_url = client.base_url.join("/api/v1")
        yield client


async def _previewed(api: httpx.AsyncClient, hand: Hand) -> tuple[dict[str, Any], httpx.Response]:
    body = {"action": "step_retry", "target_type": "step", "target_id": f"{await failed_chain(hand)}/s0"}
    return body, await api.post("/previews", json=body)


async def _executed(api: httpx.AsyncClient, preview: dict[str, Any], **more: Any) -> httpx.Response:
    body = {"preview_token": preview["preview_token"], **WHY, **more}
    return await api.post(f"/previews/{preview['id']}/execute", json=body)


async def _executed_at(client: httpx.AsyncClient, path: str, preview: dict[str, Any]) -> httpx.Response:
    return await client.post(f"{path}/execute", json={"preview_token": preview["preview_token"], **WHY})


# ---- pages


async def test_pages_one_after_the_other_hold_every_item_once(api: httpx.AsyncClient, hand: Hand) -> None:
    ids = {str(await hand.insert(chain(1))) for _ in range(5)}
    seen: list[str] = []
    page: dict[str, Any] = {"has_more": True, "next_cursor": None}
    while page["has_more"]:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = (await api.get("/workflows", params={"limit": "2", "name": "chain", **cursor})).json()
        seen += [item["id"] for item in page["items"]]

    assert page["next_cursor"] is None
    assert len(seen) == len({*seen})
    assert ids <= {*seen}
    assert seen == sorted(seen, key=int, reverse=True)


@pytest.mark.parametrize("path", ["/workflows", "/audit", "/jobs", "/incidents", "/signals", "/waits"])
async def test_the_cursor_of_another_list_is_refused_in_the_words_of_the_api(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path, params={"cursor": "not-one"})

    assert answer.status_code == 422
    assert answer.json()["fields"][0]["name"] == "cursor"


async def test_a_cursor_that_only_the_call_can_read_is_refused_under_its_own_name(
    api: httpx.AsyncClient, hand: Hand
) -> None:
    answer = await api.get(f"/workflows/{await hand.insert(chain(1))}/history", params={"cursor": "7"})

    assert (answer.status_code, answer.json()["fields"][0]["name"]) == (422, "cursor")


async def test_a_page_of_events_goes_on_from_its_own_cursor(api: httpx.AsyncClient, hand: Hand) -> None:
    head = (await api.get("/events", params={"topic": "workflow:all"})).json()
    workflow_id = await hand.insert(chain(1))

    page = (await api.get("/events", params={"topic": "workflow:all", "cursor": head["next_cursor"]})).json()
    rest = (await api.get("/events", params={"topic": "workflow:all", "cursor": page["next_cursor"]})).json()

    assert head["items"] == []
    assert {event["workflow_id"] for event in page["items"]} == {str(workflow_id)}
    assert (rest["items"], rest["next_cursor"]) == ([], page["next_cursor"])


# ---- repairs


async def test_a_preview_is_made_once_for_the_same_plan(api: httpx.AsyncClient, hand: Hand) -> None:
    body, first = await _previewed(api, hand)

    second = await api.post("/previews", json=body)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.headers["location"] == f"/api/v1/previews/{first.json()['id']}"
    assert first.json()["preview_token"] == second.json()["preview_token"]


async def test_an_execution_that_is_repeated_returns_what_the_first_one_did(api: httpx.AsyncClient, hand: Hand) -> None:
    _, previewed = await _previewed(api, hand)

    first = await _executed(api, previewed.json())
    second = await _executed(api, previewed.json(), reason="another reason this time")

    assert (first.status_code, first.json()["replayed"]) == (200, False)
    assert second.json() == {**first.json(), "replayed": True}
    assert first.headers["location"] == f"/api/v1/audit/{first.json()['audit_id']}"
    assert (await api.get(f"/audit/{first.json()['audit_id']}")).json()["reason"] == WHY["reason"]


async def test_of_many_executions_at_once_one_is_the_first(api: httpx.AsyncClient, hand: Hand) -> None:
    _, previewed = await _previewed(api, hand)

    answers = await asyncio.gather(*(_executed(api, previewed.json()) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["replayed"] for answer in answers) == [False] + [True] * 19
    assert len({answer.json()["audit_id"] for answer in answers}) == 1


async def test_somebody_else_executes_nothing_and_is_told_nothing_of_it(api: httpx.AsyncClient, hand: Hand) -> None:
    _, previewed = await _previewed(api, hand)
    async with console_of(hand, actor=lambda connection: "bob") as (_, bob):
        path = f"/api/v1/previews/{previewed.json()['id']}"
        before = await _executed_at(bob, path, previewed.json())
        shown = await bob.get(path)
        await _executed(api, previewed.json())
        after = await _executed_at(bob, path, previewed.json())

    assert [answer.json()["code"] for answer in (before, after)] == ["preview_of_another_actor"] * 2
    assert shown.json()["preview_token"] is None


async def test_a_token_executes_only_its_own_preview(api: httpx.AsyncClient, hand: Hand) -> None:
    _, one = await _previewed(api, hand)
    _, other = await _previewed(api, hand)

    answer = await _executed(api, {**one.json(), "id": other.json()["id"]})

    assert (answer.status_code, answer.json()["code"]) == (404, "preview_not_found")
    assert (await api.get(f"/previews/{one.json()['id']}")).json()["status"] == "ready"


async def test_an_execution_without_a_reason_is_428_and_recorded(api: httpx.AsyncClient, hand: Hand) -> None:
    _, previewed = await _previewed(api, hand)
    body = {"preview_token": previewed.json()["preview_token"]}

    answer = await api.post(f"/previews/{previewed.json()['id']}/execute", json=body)

    assert (answer.status_code, answer.json()["code"]) == (428, "reason_required")
    [record] = (await api.get("/audit", params={"limit": "1"})).json()["items"]
    assert (record["outcome"], record["surface"], record["actor_id"]) == ("refused", "api", "ada")


async def test_a_preview_that_has_drifted_says_what_has_changed(api: httpx.AsyncClient, hand: Hand) -> None:
    _, previewed = await _previewed(api, hand)
    [job_id] = [change["id"] for change in previewed.json()["changes"] if change["source"] == "step"][:1]
    workflow_id = job_id.partition("/")[0]
    await hand.powertools.workflows.recover(workflow_id, "s0", **{"actor": "bob", **WHY})

    answer = await _executed(api, previewed.json())

    assert (answer.status_code, answer.json()["code"]) == (409, "preview_drifted")
    assert answer.json()["changed"]


async def test_a_check_says_whether_the_one_who_asks_may_execute(api: httpx.AsyncClient, hand: Hand) -> None:
    _, previewed = await _previewed(api, hand)
    path = f"/previews/{previewed.json()['id']}/check"

    async with console_of(hand, actor=lambda connection: "bob") as (_, bob):
        refused = (await bob.get(f"/api/v1{path}")).json()
    mine = (await api.get(path)).json()

    assert (mine["refusal"], mine["moved"]) == (None, [])
    assert refused["refusal"]["code"] == "preview_of_another_actor"


async def test_a_bulk_that_is_repeated_repairs_nothing_twice(api: httpx.AsyncClient, hand: Hand) -> None:
    ids = [str(await hand.insert(chain(1))) for _ in range(2)]
    made = await api.post("/bulks", json={"action": "workflow_cancel", "filter": {"ids": ids}})
    body = {"preview_token": made.json()["preview_token"], **WHY}

    first = await api.post(f"/bulks/{made.json()['id']}/execute", json=body)
    second = await api.post(f"/bulks/{made.json()['id']}/execute", json=body)

    assert made.status_code == 201
    assert first.json()["outcomes"] == {"done": 2}
    assert second.json() == {**first.json(), "replayed": True}


async def test_somebody_else_begins_no_bulk_and_that_is_recorded(api: httpx.AsyncClient, hand: Hand) -> None:
    ids = [str(await hand.insert(chain(1)))]
    made = (await api.post("/bulks", json={"action": "workflow_cancel", "filter": {"ids": ids}})).json()

    async with console_of(hand, actor=lambda connection: "bob") as (_, bob):
        answer = await _executed_at(bob, f"/api/v1/bulks/{made['id']}", made)
        shown = (await bob.get(f"/api/v1/bulks/{made['id']}")).json()

    [record] = (await api.get("/audit", params={"limit": "1"})).json()["items"]
    assert (answer.status_code, answer.json()["code"]) == (403, "preview_of_another_actor")
    assert (record["actor_id"], record["action"], record["outcome"]) == ("bob", "execute_bulk", "refused")
    assert (shown["status"], shown["preview_token"]) == ("ready", None)


async def test_a_token_executes_only_its_own_bulk(api: httpx.AsyncClient, hand: Hand) -> None:
    ids = [str(await hand.insert(chain(1))) for _ in range(2)]
    made = [await api.post("/bulks", json={"action": "workflow_cancel", "filter": {"ids": [one]}}) for one in ids]
    one, other = (answer.json() for answer in made)

    answer = await api.post(f"/bulks/{other['id']}/execute", json={"preview_token": one["preview_token"], **WHY})

    assert (answer.status_code, answer.json()["code"]) == (404, "bulk_not_found")
    assert (await api.get(f"/bulks/{one['id']}")).json()["status"] == "ready"


# ---- what is asked


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "application/json"}, b"{", 400, "bad_request"),
        ({"Content-Type": "application/json"}, b'{"reason": "a", "reason": "b"}', 400, "bad_request"),
        ({"Content-Type": "application/json"}, b'{"reason": NaN}', 400, "bad_request"),
        ({"Content-Type": "application/json"}, b"\xff", 400, "bad_request"),
        ({"Content-Type": "application/json"}, b"[" * 60_000, 400, "bad_request"),
        ({"Content-Type": "application/json"}, b"[]", 422, "invalid_argument"),
        ({"Content-Type": "application/json"}, b'{"reasn": "typed wrongly"}', 422, "invalid_argument"),
        ({"Content-Type": "application/json"}, b'{"\\ud800": 1}', 422, "invalid_argument"),
        ({"Content-Type": "application/json"}, b'{"reason": "\\u0000"}', 422, "invalid_argument"),
        ({"Content-Type": "application/json"}, b'{"reason": "' + b"a" * 70_000 + b'"}', 413, "content_too_large"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"reason=a", 415, "unsupported_media_type"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({}, b"{}", 415, "unsupported_media_type"),
    ],
)
async def test_a_body_that_cannot_be_read_is_a_problem_and_does_nothing(
    api: httpx.AsyncClient, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    answer = await api.post("/retention/prune", content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] != ""


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"stat": "failed"}, "stat"),
        ({"state": "fail"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"inserted_from": "2026-11-21"}, "inserted_from"),
        ({"inserted_from": "0001-01-01T00:00:00+23:59"}, "inserted_from"),
        ({"context": "[]"}, "context"),
        ({"name": ""}, "name"),
        ([("name", "a"), ("name", "b")], "name"),
    ],
)
async def test_a_parameter_that_is_none_is_named(api: httpx.AsyncClient, query: Any, name: str) -> None:
    answer = await api.get("/workflows", params=query)

    assert (answer.status_code, answer.json()["fields"][0]["name"]) == (422, name)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/webhooks/1", "GET, HEAD, PATCH"),
        ("/previews", "GET, HEAD, POST"),
        ("/openapi.json", "GET, HEAD"),
        ("/me", "GET, HEAD"),
    ],
)
async def test_a_path_has_the_methods_that_the_refusal_of_another_lists(
    api: httpx.AsyncClient, path: str, allowed: str
) -> None:
    answer = await api.request("DELETE", path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1", "/api/", "/api/v2/workflows"])
async def test_an_address_that_the_api_does_not_have_is_a_problem(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(f"http://console.test{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_name_with_slashes_is_found_as_it_is_and_quoted(api: httpx.AsyncClient, hand: Hand) -> None:
    workflow = Workflow("slashes")
    workflow.add("a/b", step())
    workflow_id = await hand.insert(workflow)

    plain = await api.get(f"/workflows/{workflow_id}/steps/a/b")
    quoted = await api.get(f"/workflows/{workflow_id}/explain/a%2Fb")

    assert (plain.json()["name"], quoted.json()["step"]) == ("a/b", "a/b")


# ---- what comes back


async def test_a_detail_that_has_not_changed_is_not_sent_again(api: httpx.AsyncClient, hand: Hand) -> None:
    workflow_id = await hand.insert(chain(1))
    first = await api.get(f"/workflows/{workflow_id}")

    same = await api.get(f"/workflows/{workflow_id}", headers={"If-None-Match": first.headers["etag"]})
    await hand.run(workflow_id, {"s0": "done"})
    changed = await api.get(f"/workflows/{workflow_id}", headers={"If-None-Match": first.headers["etag"]})

    assert (same.status_code, same.content) == (304, b"")
    assert (changed.status_code, changed.json()["state"]) == (200, "completed")


async def test_nothing_is_kept_in_a_cache_and_every_answer_has_its_request(api: httpx.AsyncClient) -> None:
    for path in ("/workflows", "/workflows/999999999", "/openapi.json", "/me"):
        answer = await api.get(path)

        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]


async def test_a_head_has_the_headers_of_a_get_and_no_body(api: httpx.AsyncClient) -> None:
    answer = await api.head("/me")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_problem_names_its_request_as_the_audit_does(api: httpx.AsyncClient, hand: Hand) -> None:
    answer = await api.post("/queues/default/pause", json={"reason": "short"})

    [record] = (await api.get("/audit", params={"limit": "1"})).json()["items"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == record["request_id"]


async def test_what_a_record_holds_is_shown_as_the_display_policy_says(hand: Hand) -> None:
    class Nothing(DisplayPolicy):
        def show(self, kind: Kind, value: Any) -> Any:
            return "hidden"

    workflow_id = await hand.insert(chain(1))
    async with console_of(hand, display=Nothing()) as (_, client):
        step = (await client.get(f"/api/v1/workflows/{workflow_id}/steps/s0")).json()
        steps = (await client.get(f"/api/v1/workflows/{workflow_id}/steps")).json()

    assert step["args"] == "hidden"
    assert [one["args"] for one in steps["items"]] == ["hidden"]


async def test_a_picture_is_a_file_and_no_page(api: httpx.AsyncClient, hand: Hand) -> None:
    answer = await api.get(f"/workflows/{await hand.insert(chain(3))}/graph.svg", params={"focus": "s1", "up": "0"})

    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert "<svg " in answer.text


async def test_an_export_is_a_record_on_each_line_and_recorded_before_the_first(
    api: httpx.AsyncClient, hand: Hand
) -> None:
    await _previewed(api, hand)
    await api.post("/incidents/999999/acknowledge", json={})

    answer = await api.post("/audit/export", json={"actor": "ada"})

    assert answer.headers["content-type"] == "application/jsonl"
    assert [record for record in answer.text.splitlines() if '"audit_export"' in record]


async def test_a_console_that_is_mounted_says_where_its_answers_are(hand: Hand) -> None:
    async with console_of(hand) as (console, _):
        host = Starlette(routes=[Mount("/ops/jobs", console)])
        async with client_of(host, "/ops/jobs/api/v1") as mounted:
            _, previewed = await _previewed(mounted, hand)
            described = (await mounted.get("/openapi.json")).json()

    assert previewed.headers["location"].startswith("/ops/jobs/api/v1/previews/")
    assert described["servers"] == [{"url": "/ops/jobs"}]


async def test_what_reads_everything_runs_once_at_a_time(api: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(api.get("/audit/verify"), api.get("/doctor"), api.get("/me"))

    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert (await api.get("/doctor")).status_code == 200


# ---- beside the API


async def test_a_supervisor_is_not_asked_who_it_is(hand: Hand) -> None:
    async with console_of(hand, actor=lambda connection: None) as (_, client):
        health, ready = await client.get("/healthz"), await client.get("/readyz")

    assert (health.text, ready.text) == ("ok\n", "ready\n")


async def test_a_console_without_its_database_is_not_ready_and_says_so_as_a_problem(dsn: str) -> None:
    pool: Any = AsyncConnectionPool("postgresql://nobody@127.0.0.1:1/nothing", open=False)
    console = create_console(lambda: open_calls(pool), actor=lambda connection: "ada", read_within=PATIENT)
    async with client_of(console) as client:
        health, ready = await client.get("/healthz"), await client.get("/readyz")
        answer = await client.get("/api/v1/workflows")

    assert (health.status_code, ready.status_code, answer.status_code) == (200, 503, 503)
    assert answer.json()["code"] == "database_unavailable"
    assert "nobody" not in answer.text
