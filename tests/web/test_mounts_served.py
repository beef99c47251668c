"""The console under a path of a host, on a real server and over HTTP: every link of every page is followed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from oban_powertools.web import Console, pages
from tests.support.console import SAME_ORIGIN, Shop, furnished_console, served
from tests.support.crawling import crawl, read
from tests.web.test_mounts import PATH, under_django, under_fastapi, under_starlette

HOSTS = {"starlette": under_starlette, "fastapi": under_fastapi, "django": under_django}
REACHED = {route.path for route in pages.routes() if route.method == "GET" and "{" not in route.path} - {
    "/about/doctor",  # examines the whole database
    "/incidents/chosen",
    "/bulks/new",
    "/retention/prune",
    "/audit/export",
}


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        yield shop


@asynccontextmanager
async def mounted(console: Console, name: str) -> AsyncIterator[str]:
    """The address of a server with the console under ``PATH``."""
    if name != "stripping proxy":
        async with served(HOSTS[name](console)) as address:
            yield address
        return
    async with served(console, root_path=PATH) as behind, served(stripping(behind)) as address:
        yield address


def stripping(behind: str) -> ASGIApp:
    """A proxy that takes ``PATH`` away, as nginx does with a slash at the end of proxy_pass."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.url.path.removeprefix(PATH) + (f"?{request.url.query}" if request.url.query else "")
        headers = {"host": request.headers["host"], "sec-fetch-site": request.headers.get("sec-fetch-site", "")}
        async with httpx.AsyncClient() as client:
            answer = await client.request(request.method, f"{behind}{path}", headers=headers)
        await Response(answer.content, answer.status_code, {"content-type": answer.headers["content-type"]})(
            scope, receive, send
        )

    return proxy


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [*HOSTS, "stripping proxy"])
async def test_every_link_of_every_page_stays_in_the_console_and_leads_somewhere(shop: Shop, name: str) -> None:
    async with (
        mounted(shop.console, name) as address,
        httpx.AsyncClient(base_url=address, headers=SAME_ORIGIN, timeout=30) as client,
    ):
        walk = await crawl(client, f"{PATH}/", below=PATH)

    links = {link for answer in walk.answers.values() for link in read(answer)[0]}
    actions = {form.action for answer in walk.answers.values() for form in read(answer)[1] if form.action}
    wrong = {address: answer.status_code for address, answer in walk.answers.items() if answer.status_code >= 400}
    assert wrong == {}
    assert {link for link in links | actions if link.startswith("/") and not f"{link}/".startswith(f"{PATH}/")} == set()
    assert {address.removeprefix(PATH).partition("?")[0].rstrip("/") or "/" for address in walk.answers} >= REACHED
