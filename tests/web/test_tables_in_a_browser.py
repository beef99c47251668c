"""Tables in Chromium: what belongs together stays on one line, and a chart's times stand at its marks."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page

from tests.support.browser import checked, chromium, require_chromium
from tests.support.console import furnished_console, served
from tests.support.every_page import busy

LINES = """
found => found.map(it => Math.round(it.getBoundingClientRect().height / parseFloat(getComputedStyle(it).lineHeight)))
"""
"""How many lines each of these takes."""

EDGES = "found => found.map(it => it.getBoundingClientRect()).map(box => [Math.round(box.left), Math.round(box.right)])"


@pytest.fixture
async def page(dsn: str) -> AsyncIterator[Page]:
    require_chromium()
    async with (
        furnished_console(dsn) as shop,
        served(shop.console) as origin,
        chromium() as browser,
        checked(browser, origin, viewport={"width": 1280, "height": 800}) as page,
    ):
        await busy(shop)
        yield page


async def test_ids_and_names_of_a_list_are_not_broken(page: Page) -> None:
    lines: dict[str, set[int]] = {}
    for address, what in (
        ("/jobs", "tbody th a"),
        ("/audit", "td[data-label=Who] .pieces"),
        ("/previews", "td .pieces"),
    ):
        await page.goto(address)
        lines[address] = {*await page.eval_on_selector_all(what, LINES)}

    assert set().union(*lines.values()) == {1}


@pytest.mark.parametrize("address", ["/workflows/7?tab=gantt", "/workflows/3/step?name=pack"])
async def test_the_times_of_a_gantt_chart_stand_over_its_bars(page: Page, address: str) -> None:
    await page.goto(address)
    [axis] = await page.eval_on_selector_all("svg.axis", EDGES)
    bars = await page.eval_on_selector_all("svg.bars", EDGES)

    assert bars != []
    assert [each for each in bars if each != axis] == []
