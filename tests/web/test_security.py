"""What another site, an unknown host and an oversized request get from the console, and the headers of every answer."""

from collections.abc import Mapping

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from oban_powertools.web.security import HEADERS, LARGEST_BODY, SecurityLayer

HERE = "http://console.test"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it got, or why it was refused."""
    refusal = scope.get("powertools.refusal")
    if refusal:
        await PlainTextResponse(refusal.detail, refusal.status_code)(scope, receive, send)
        return
    body = await Request(scope, receive).body()
    await PlainTextResponse(f"{len(body)} bytes")(scope, receive, send)


def client(**options) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(SecurityLayer(echo, **options)), base_url=HERE)


async def status_of_post(headers: Mapping[str, str], content: str = "a=1") -> int:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client() as asking:
        return (await asking.post("/", content=content, headers={**kind, **headers})).status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Origin": HERE}, 200),
        ({"Origin": "http://console.test:8080"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://console.test.evil.example"}, 403),
        ({}, 403),
        ({"Cookie": "session=1"}, 403),
        ({"Authorization": "Bearer 1"}, 200),
        ({"Authorization": "Bearer 1", "Cookie": "session=1"}, 403),
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/json", "Cookie": "session=1"}, 403),
    ],
    ids=str,
)
async def test_a_change_comes_from_a_page_of_the_same_origin_or_from_no_browser(
    headers: Mapping[str, str], status: int
) -> None:
    assert await status_of_post(headers) == status


async def test_a_page_may_be_followed_to_from_another_site() -> None:
    async with client() as asking:
        answer = await asking.get("/", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 200


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "application/xml"])
async def test_a_body_of_another_form_is_refused(kind: str) -> None:
    assert await status_of_post({"Sec-Fetch-Site": "same-origin", "Content-Type": kind}) == 415


@pytest.mark.parametrize(("length", "status"), [(LARGEST_BODY, 200), (LARGEST_BODY + 1, 413)])
async def test_a_body_has_a_largest_size(length: int, status: int) -> None:
    assert await status_of_post({"Sec-Fetch-Site": "same-origin"}, "a" * length) == status


async def test_a_host_that_was_not_named_is_refused() -> None:
    async with client(hosts=["ops.example", "localhost"]) as asking:
        statuses = {
            host: (await asking.get("/", headers={"Host": host})).status_code
            for host in ("ops.example", "OPS.example:8443", "localhost:8787", "evil.example", "")
        }

    assert statuses == {
        "ops.example": 200,
        "OPS.example:8443": 200,
        "localhost:8787": 200,
        "evil.example": 421,
        "": 421,
    }


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_answer_has_the_headers(method: str) -> None:
    async with client() as asking:
        answer = await asking.request(method, "/")

    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def test_an_answer_is_kept_by_nobody_unless_it_says_so() -> None:
    async with client() as asking:
        answer = await asking.get("/")

    assert answer.headers["cache-control"] == "no-store"
