"""Who gets no stream, and what they are told."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from oban_powertools import Powertools, Workflow
from oban_powertools.errors import InvalidSettingError
from oban_powertools.integrations.sse import events_app
from tests.support.event_source import EventSource, RefusedError
from tests.support.site import Site, unreachable

ALL = {"topic": "workflow:all"}


async def ask(site: Site, params: dict[str, str] | None = None, method: str = "GET", **headers: str) -> httpx.Response:
    """The head of the answer, with the text when it is a refusal."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream(method, site.url, params=ALL if params is None else params, headers=named) as answer,
    ):
        if answer.status_code != 200:
            await answer.aread()
        return answer


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "workflow",
        "workflow:",
        "workflow:0",
        "workflow:-1",
        "workflow:1x",
        "workflow:\uff19",
        "incident:all",
        "workflow:all\n",
        "WORKFLOW:ALL",
        "workflow:9223372036854775808",
    ],
)
async def test_a_topic_that_there_is_not_is_refused(powertools: Powertools, topic: str) -> None:
    async with Site(powertools).served() as site:
        answer = await ask(site, {"topic": topic})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (400, "no-store")
    assert answer.text == "expected ?topic=workflow:all or ?topic=workflow:ID\n"


async def test_the_topic_of_a_workflow_that_does_not_exist_is_not_found(powertools: Powertools) -> None:
    async with Site(powertools).served() as site:
        answer = await ask(site, {"topic": "workflow:4711"})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
    assert "4711" in answer.text


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1 2", "9223372036854775808"])
async def test_a_cursor_that_is_none_is_refused(powertools: Powertools, cursor: str) -> None:
    async with Site(powertools).served() as site:
        answers = [await ask(site, {**ALL, "after": cursor}), await ask(site, last_event_id=cursor)]

    assert [answer.status_code for answer in answers] == [400, 400]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_only_get_is_answered(powertools: Powertools, method: str) -> None:
    async with Site(powertools, host="alone").served() as site:
        answer = await ask(site, method=method)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")


@pytest.mark.parametrize("consent", [False, None, 1, "yes", object()], ids=lambda consent: type(consent).__name__)
async def test_anything_but_true_is_no_consent(powertools: Powertools, consent: object) -> None:
    async with Site(powertools).served() as site:
        site.allowed = lambda connection, topic: consent
        answer = await ask(site)

    assert (answer.status_code, answer.text) == (403, "not authorized for this topic\n")


async def test_authorize_sees_the_headers_and_the_topic_and_may_be_async(powertools: Powertools) -> None:
    workflow = Workflow("mine")
    workflow.await_signal("approval", signal="approved", correlation_key="7")
    handle = await powertools.workflows.insert(workflow)

    async def allowed(connection: HTTPConnection, topic: str) -> bool:
        return connection.headers.get("authorization") == "Bearer ada" and topic == f"workflow:{handle.id}"

    async with Site(powertools).served() as site:
        site.allowed = allowed
        mine = await ask(site, {"topic": f"workflow:{handle.id}"}, authorization="Bearer ada")
        # whether it exists is told to nobody who may not know
        others = await ask(site, {"topic": "workflow:4711"}, authorization="Bearer ada")

    assert (mine.status_code, others.status_code) == (200, 403)


async def test_authorize_may_ask_for_a_login(powertools: Powertools) -> None:
    def nobody(connection: object, topic: str) -> bool:
        raise HTTPException(401, "log in", {"WWW-Authenticate": "Bearer"})

    async with Site(powertools, host="alone").served() as site:
        site.allowed = nobody
        answer = await ask(site)

    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_an_authorize_that_fails_lets_nobody_in(powertools: Powertools) -> None:
    def broken(connection: object, topic: str) -> bool:
        raise LookupError("secret detail")

    async with Site(powertools).served() as site:
        site.allowed = broken
        answer = await ask(site)

    assert answer.status_code == 500
    assert "secret detail" not in answer.text


async def test_the_pages_of_other_sites_are_refused(powertools: Powertools) -> None:
    async with Site(powertools, allowed_origins=["https://app.example"]).served() as site:
        own = site.url.removesuffix("/ops/events/")
        found = {
            "own": await ask(site, origin=own),
            "own by the browser's word": await ask(
                site, origin="https://proxied.example", sec_fetch_site="same-origin"
            ),
            "no browser": await ask(site),
            "allowed": await ask(site, origin="https://app.example", sec_fetch_site="cross-site"),
            "foreign": await ask(site, origin="https://evil.example"),
            "foreign port": await ask(site, origin="http://127.0.0.1:1"),
            "no origin": await ask(site, origin="null"),
            "hidden": await ask(site, sec_fetch_site="cross-site"),
            "sibling": await ask(site, sec_fetch_site="same-site", origin="https://x.app.example"),
        }

    assert {name for name, answer in found.items() if answer.status_code == 200} == {
        "own",
        "own by the browser's word",
        "no browser",
        "allowed",
    }
    assert {answer.status_code for answer in found.values()} == {200, 403}
    assert found["allowed"].headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert found["allowed"].headers["Access-Control-Allow-Credentials"] == "true"
    assert "Access-Control-Allow-Origin" not in found["own"].headers


async def test_one_client_gets_no_more_streams_than_the_limit(powertools: Powertools) -> None:
    limits = {"streams_per_client": 2}
    site = Site(powertools, limits=limits, client=lambda connection: connection.headers["user-agent"])
    async with site.served(), httpx.AsyncClient() as client:
        for _ in range(2):
            request = client.build_request("GET", site.url, params=ALL, headers={"user-agent": "ada"})
            await client.send(request, stream=True)
        refused = await ask(site, user_agent="ada")
        other = await ask(site, user_agent="bob")

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert other.status_code == 200


async def test_a_process_has_no_more_streams_than_the_limit_and_a_place_is_given_again(powertools: Powertools) -> None:
    async with Site(powertools, limits={"streams": 1}).served() as site, httpx.AsyncClient() as client:
        open_stream = await client.send(client.build_request("GET", site.url, params=ALL), stream=True)
        refused = await ask(site)
        await open_stream.aclose()
        await site.until_open(0)
        again = await ask(site)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert again.status_code == 200


async def test_a_web_socket_is_refused(powertools: Powertools) -> None:
    sent: list[Any] = []
    app = events_app(powertools, authorize=lambda connection, topic: True)

    await app({"type": "websocket"}, no_message, partial(keep, sent))

    assert [message["type"] for message in sent] == ["websocket.close"]


async def no_message() -> dict[str, Any]:
    return {}


async def keep(sent: list[Any], message: Any) -> None:
    sent.append(message)


def wrong() -> Iterator[dict]:
    yield {"authorize": None}
    for origin in ("*", "app.example", "https://app.example/", "https://App.example", "null"):
        yield {"authorize": lambda connection, topic: True, "allowed_origins": [origin]}


@pytest.mark.parametrize("options", list(wrong()), ids=lambda options: str(options.get("allowed_origins", "no policy")))
async def test_a_setting_that_cannot_work_is_refused_at_once(powertools: Powertools, options: dict) -> None:
    with pytest.raises(InvalidSettingError):
        events_app(powertools, **options)


async def test_without_a_database_it_says_so(powertools: Powertools, dsn: str) -> None:
    async with Site(powertools).served() as site:
        with unreachable(dsn), pytest.raises(RefusedError) as refused:
            await anext(EventSource(f"{site.url}?topic=workflow:all").messages())

    assert refused.value.status == 503
