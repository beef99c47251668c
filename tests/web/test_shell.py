"""What every answer of the console has."""

import re

import pytest

from tests.support.console import Shop, furnished_console


@pytest.fixture
async def shop(dsn: str):
    async with furnished_console(dsn, environment="Production") as shop:
        yield shop


async def test_the_overview_names_the_installation_and_who_looks(shop: Shop) -> None:
    page = (await shop.client.get("/")).text

    assert re.search(r'<span class="name">shop</span>\s*<span class="env">Production</span>', page)
    assert ">Ada Lovelace</p>" in page


async def test_every_page_has_one_heading(shop: Shop) -> None:
    page = (await shop.client.get("/")).text

    assert page.count("<h1") == 1


async def test_the_files_of_a_page_are_kept_for_ever(shop: Shop) -> None:
    page = (await shop.client.get("/")).text
    [style] = re.findall(r'rel="stylesheet" href="([^"]+)"', page)

    answer = await shop.client.get(style)

    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_page_is_kept_by_nobody(shop: Shop) -> None:
    answer = await shop.client.get("/")

    assert answer.headers["cache-control"] == "no-store"


async def test_an_address_without_a_page_is_answered_with_a_page(shop: Shop) -> None:
    answer = await shop.client.get("/nowhere")

    assert (answer.status_code, "Nothing is here" in answer.text) == (404, True)


async def test_somebody_unknown_sees_no_menu(dsn: str) -> None:
    async with furnished_console(dsn, actor=lambda connection: None) as shop:
        answer = await shop.client.get("/")

    assert (answer.status_code, "<nav" in answer.text) == (401, False)


async def test_a_chosen_theme_is_in_the_first_byte(shop: Shop) -> None:
    page = (await shop.client.get("/", headers={"Cookie": "powertools_theme=dark"})).text

    assert '<html lang="en" data-theme="dark">' in page
