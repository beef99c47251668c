"""Pages on paper, in Chromium: what was there and when, within the sheet, and nothing that acts."""

import pytest
from playwright.async_api import Page

from tests.support.browser import checked, chromium
from tests.support.console import furnished_console, served
from tests.support.every_page import busy

PAPER = {"width": 718, "height": 1047}
"""Its pixels at 96 an inch, within margins of a centimetre."""

PAGES = (
    "/",
    "/incidents/1",
    "/workflows/7",
    "/workflows/7?tab=steps",
    "/workflows/7?tab=gantt",
    "/previews/1",
    "/audit",
)

CUT = "[...document.querySelectorAll('.canvas')].filter(e => e.scrollWidth > e.clientWidth).length"
CARDS = "[...document.querySelectorAll('table.cards')].filter(e => getComputedStyle(e).display !== 'table').length"
DARK = "getComputedStyle(document.body).backgroundColor !== 'rgb(255, 255, 255)'"
WIDE = "Math.max(0, document.documentElement.scrollWidth - innerWidth)"
TIMES = "[...document.querySelectorAll('.facts time')].map(e => [getComputedStyle(e, '::after').content, e.title])"


async def visible(page: Page, selector: str) -> int:
    """How many of these are drawn."""
    return await page.locator(selector).locator("visible=true").count()


@pytest.mark.timeout(180)
async def test_a_page_on_paper_fits_the_sheet_and_has_nothing_that_acts(dsn: str) -> None:
    wrong: list[tuple[str, list[object]]] = []
    async with (
        furnished_console(dsn) as shop,
        served(shop.console) as origin,
        chromium() as browser,
        checked(browser, origin, viewport=PAPER, color_scheme="dark") as page,
    ):
        await busy(shop)
        for address in PAGES:
            await page.emulate_media(media="screen")
            await page.goto(address)
            await page.emulate_media(media="print")

            found = [await page.evaluate(script) for script in (CUT, CARDS, DARK, WIDE)]
            found.append(await visible(page, "input:not([type=hidden]), textarea, .nav, .tabs, .pager a"))
            wrong += [(address, found)] if any(found) else []

    assert wrong == []


async def test_a_time_on_paper_says_when_and_what_may_be_done_keeps_its_name(dsn: str) -> None:
    async with (
        furnished_console(dsn) as shop,
        served(shop.console) as origin,
        chromium() as browser,
        checked(browser, origin, viewport=PAPER) as page,
    ):
        await page.goto("/incidents/1")
        await page.emulate_media(media="print")

        said = await page.evaluate(TIMES)
        names = await page.locator(".repairs .button").locator("visible=true").all_inner_texts()

    assert said
    assert [content.strip('"') for content, _ in said] == [title for _, title in said]
    assert any("rescue" in name for name in names)
