"""The FastAPI shop, asynchronous and synchronous, behind a real server; and the integration by itself."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from oban_powertools import errors
from oban_powertools.errors import InvalidSettingError, PowertoolsClosedError, PowertoolsError
from oban_powertools.integrations.fastapi import FastAPIPowertools, handle_errors
from oban_powertools.web.answers import status_of
from tests.support.browser import checked, chromium, opened, require_chromium
from tests.support.command import environment

SHOP = Path(__file__).parents[2] / "examples" / "fastapi_shop"
ADA = {"Authorization": "Bearer token-of-ada"}
KIM = {"Authorization": "Bearer token-of-kim"}


@pytest.fixture(params=["app", "app_sync"])
def shop(request: pytest.FixtureRequest, dsn: str) -> Iterator[httpx.Client]:
    """A client of the shop, which a server of its own runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", f"{request.param}:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, cwd=SHOP, env=environment(dsn))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait_for(client)
            yield client
    finally:
        server.terminate()
        assert server.wait(30) == 0 or server.returncode == -15


def _wait_for(client: httpx.Client) -> None:
    until = time.monotonic() + 40
    while True:
        try:
            client.get("/ops/healthz")
            return
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.1)


def follow(shop: httpx.Client, workflow: int, **headers: str) -> list[dict[str, Any]]:
    """The events of a workflow to its end."""
    events: list[dict[str, Any]] = []
    with shop.stream("GET", f"/events/?topic=workflow:{workflow}&after=0", headers=headers) as stream:
        assert stream.status_code == 200
        for line in stream.iter_lines():
            if line.startswith("data:"):
                events.append(json.loads(line.removeprefix("data:")))
                if events[-1]["type"] == "workflow_finished":
                    return events
    return events


def orders(dsn: str) -> list[tuple[int, int]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute("SELECT amount, workflow_id FROM orders ORDER BY id").fetchall()


def test_an_order_and_its_workflow_are_one_transaction(shop: httpx.Client, dsn: str) -> None:
    kept = shop.post("/orders", json={"amount": 30})
    refused = shop.post("/orders", json={"amount": -1})
    finished = follow(shop, kept.json()["workflow"], **ADA)[-1]
    record = shop.get(f"/workflows/{kept.json()['workflow']}").json()

    assert (kept.status_code, refused.status_code) == (201, 422)
    assert orders(dsn) == [(30, kept.json()["workflow"])]
    assert (finished["outcome"], record["state"], record["context"]["order_id"]) == ("completed", "completed", 1)
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) FROM powertools.workflows").fetchone() == (1,)


def test_our_errors_are_problems_and_the_actor_is_that_of_the_login(shop: httpx.Client) -> None:
    workflow = shop.post("/orders", json={"amount": 30}).json()["workflow"]
    follow(shop, workflow, **ADA)
    cancel = f"/workflows/{workflow}/cancel"
    why = {"reason": "because of a test"}

    answers = {
        "nothing": shop.get("/workflows/4100"),
        "no id": shop.get("/workflows/first"),
        "nobody": shop.post(cancel, params=why),
        "not allowed": shop.post(cancel, params=why, headers=KIM),
        "has ended": shop.post(cancel, params=why, headers=ADA),
        "no reason": shop.post(cancel, params={"reason": ""}, headers=ADA),
    }

    assert {name: answer.status_code for name, answer in answers.items()} == {
        "nothing": 404,
        "no id": 422,
        "nobody": 401,
        "not allowed": 403,
        "has ended": 409,
        "no reason": 428,
    }
    problem = answers["nothing"].json()
    assert answers["nothing"].headers["content-type"] == "application/problem+json"
    assert (problem["code"], problem["status"]) == ("workflow_not_found", 404)
    assert problem["request_id"] == answers["nothing"].headers["x-request-id"]


def test_the_console_its_api_and_the_events_ask_the_login(shop: httpx.Client) -> None:
    unknown = [shop.get(path).status_code for path in ("/ops/", "/ops/api/v1/workflows", "/events/?topic=workflow:all")]
    known = [shop.get(path, headers=ADA).status_code for path in ("/ops/", "/ops/api/v1/workflows")]

    assert unknown == [401, 401, 401]
    assert known == [200, 200]


def test_the_glue_of_the_example_is_short() -> None:
    for name in ("app.py", "app_sync.py"):
        lines = (SHOP / name).read_text().partition("\n@app.post(")[0].splitlines()
        assert len([line for line in lines if line.strip()]) < 60


def _classes(kind: type[PowertoolsError]) -> Iterator[type[PowertoolsError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _classes(one)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_of_ours_is_answered_by_the_table_of_the_console(name: str) -> None:
    kind = getattr(errors, name)
    if not issubclass(kind, PowertoolsError):
        pytest.skip("is no error")
    several = {"faults", "changed", "legal", "expected", "others", "workflow_ids"}
    raised = kind(**{name: () if name in several else "1" if name == "target_type" else 1 for name in kind._fields})
    app = FastAPI()
    handle_errors(app)

    @app.get("/")
    def fail() -> None:
        raise raised

    answer = TestClient(app, raise_server_exceptions=False).get("/", headers={"X-Request-Id": "r1"})

    assert answer.status_code in {status_of(kind), 412}
    assert (answer.json()["code"], answer.json()["request_id"]) == (kind.code, "r1")


def test_outside_the_lifespan_it_says_how_to_enter_it() -> None:
    powertools = FastAPIPowertools("postgresql:///nowhere")

    with pytest.raises(PowertoolsClosedError) as raised:
        _ = powertools.running

    assert "FastAPI(lifespan=powertools.lifespan)" in raised.value.__notes__[0]


def test_an_actor_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidSettingError, match="actor is True"):
        FastAPIPowertools(actor=True)  # pyright: ignore[reportArgumentType]


def test_the_lifespan_opens_and_closes_and_opens_again(dsn: str) -> None:
    powertools = FastAPIPowertools(dsn)
    app = FastAPI(lifespan=powertools.lifespan)
    app.mount("/ops", powertools.console(actor=lambda _: "ada"))

    @app.get("/")
    async def count(pt: Any = Depends(powertools)) -> int:  # noqa: B008
        return len(await pt.workflows.list())

    @app.get("/blocking")
    def count_here(pt: Any = Depends(powertools.blocking)) -> int:  # noqa: B008
        return len(pt.workflows.list())

    for _ in range(2):
        with TestClient(app) as client:
            assert [client.get(path).json() for path in ("/", "/blocking")] == [0, 0]
            assert client.get("/ops/").status_code == 200
    with pytest.raises(PowertoolsClosedError):
        _ = powertools.running


def test_a_missing_extra_is_named() -> None:
    script = "import sys\nsys.modules['fastapi'] = None\nimport oban_powertools.integrations.fastapi"

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ)

    assert "pip install 'oban-powertools[fastapi]'" in said.stderr


@pytest.mark.timeout(120)
async def test_the_console_opens_in_chromium_for_whoever_is_logged_in(shop: httpx.Client) -> None:
    origin = str(shop.base_url).rstrip("/")
    workflow = await asyncio.to_thread(lambda: shop.post("/orders", json={"amount": 30}).json()["workflow"])
    await asyncio.to_thread(follow, shop, workflow, **ADA)

    async with chromium(require_chromium()) as browser:
        async with checked(browser, origin, extra_http_headers=ADA) as page:
            await page.goto("/ops/workflows")
            await page.get_by_role("link", name="order").first.click()
            await page.wait_for_url(f"**/ops/workflows/{workflow}*")
            heading = await page.get_by_role("heading", level=1).inner_text()
            charged = await page.get_by_role("link", name="charge").count()
        async with opened(browser, origin) as stranger:
            answer = await stranger.page.goto("/ops/workflows")

    assert heading.split() == ["order", str(workflow)]
    assert charged > 0
    assert answer is not None
    assert answer.status in (401, 403)
