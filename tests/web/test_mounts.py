"""The console under a path of a host: every address of a page leads into it, whatever the host says of paths."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from oban_powertools.web import Console, create_console
from tests.support.by_hand import Hand, by_hand, everybody_may
from tests.support.console import PATIENT, WHO, client_of
from tests.support.django_site.configured import configure

type Host = Callable[[Console], ASGIApp]

PATH = "/ops/jobs"
PAGES = ("/", "/incidents", "/incidents?q=x", "/nowhere")


def under_starlette(console: Console) -> ASGIApp:
    return Starlette(routes=[Mount(PATH, console)])


def under_fastapi(console: Console) -> ASGIApp:
    app = FastAPI()
    app.mount(PATH, console)
    return app


def under_django(console: Console) -> ASGIApp:
    """As docs/how-to/console.md has it."""
    if not django_settings.configured:
        configure()
    pages: Any = get_asgi_application()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{PATH}/"):
            await console({**scope, "root_path": scope.get("root_path", "") + PATH}, receive, send)
        else:
            await pages(scope, receive, send)

    return application


def behind_a_proxy_that_strips(console: Console) -> ASGIApp:
    """uvicorn --root-path: the path comes without what the proxy took away, and is said as a whole."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        whole = {"root_path": PATH, "path": PATH + scope["path"].removeprefix(PATH)}
        await console({**scope, **whole}, receive, send)

    return server


def by_a_server_that_says_only_the_rest(console: Console) -> ASGIApp:
    """Older servers: root_path, and a path without it."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await console({**scope, "root_path": PATH, "path": scope["path"].removeprefix(PATH) or "/"}, receive, send)

    return server


def stripped_without_a_word(console: Console) -> ASGIApp:
    """Litestar: the path is stripped, root_path stays empty, and a slash is added; the console has a base_path."""

    async def host(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(PATH).rstrip("/") + "/"
        await console({**scope, "root_path": "", "path": path}, receive, send)

    return host


HOSTS: dict[str, tuple[Host, dict[str, Any]]] = {
    "starlette": (under_starlette, {}),
    "fastapi": (under_fastapi, {}),
    "django": (under_django, {}),
    "stripping proxy": (behind_a_proxy_that_strips, {}),
    "rest of the path": (by_a_server_that_says_only_the_rest, {}),
    "base_path": (stripped_without_a_word, {"base_path": PATH}),
}

OURS: dict[str, Any] = {"actor": lambda connection: WHO, "authorize": everybody_may, "read_within": PATIENT}


@pytest.fixture
async def hand(dsn: str):
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


def addresses(page: str) -> Iterator[str]:
    yield from re.findall(r'(?:href|src|action|hx-get|data-stream|data-root)="([^"#]+)', page)


@pytest.mark.parametrize("name", HOSTS)
async def test_every_address_of_a_page_leads_into_the_console(hand: Hand, name: str) -> None:
    host, options = HOSTS[name]
    console = create_console(hand.powertools, **{**OURS, **options})

    async with client_of(host(console)) as client:
        pages = {path: await client.get(PATH + path) for path in PAGES}
        style = next(found for found in addresses(pages["/"].text) if found.endswith(".css"))
        fetched = await client.get(style)
    await console.aclose()

    outside = {found for page in pages.values() for found in addresses(page.text) if not found.startswith(PATH)}
    assert {path: page.status_code for path, page in pages.items()} == {**dict.fromkeys(PAGES, 200), "/nowhere": 404}
    assert outside == set()
    assert fetched.status_code == 200


@pytest.mark.parametrize("name", HOSTS)
async def test_an_act_goes_back_into_the_console(hand: Hand, name: str) -> None:
    host, options = HOSTS[name]
    console = create_console(hand.powertools, **{**OURS, **options})

    async with client_of(host(console)) as client:
        answer = await client.post(f"{PATH}/incidents/acknowledge", data={"id": "999"})
    await console.aclose()

    # Nothing was there to acknowledge; the page of that is the console's, too.
    assert (answer.status_code, set(addresses(answer.text)) - {f for f in addresses(answer.text) if PATH in f}) == (
        404,
        set(),
    )


async def test_a_console_alone_has_addresses_of_its_own(hand: Hand) -> None:
    console = create_console(hand.powertools, actor=lambda connection: WHO, read_within=PATIENT)

    async with client_of(console) as client:
        page = await client.get("/incidents/")

    assert (page.status_code, [found for found in addresses(page.text) if found.startswith("//")]) == (200, [])


async def test_a_lifespan_is_not_needed(hand: Hand) -> None:
    console = create_console(hand.powertools, actor=lambda connection: WHO, read_within=PATIENT)
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await console({"type": "lifespan"}, receive, send)

    assert sent == []
