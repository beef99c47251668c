"""From the overview to a repaired incident in Chromium: in six interactions, by keyboard, and without a script."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from oban_powertools import IncidentState
from tests.support.browser import checked, chromium, require_chromium
from tests.support.console import Shop, furnished_console, served
from tests.support.furnished import DEAD

FINGERPRINT = f"dead_executor:{DEAD}"
REASON = "node drained, ticket 5512"
TITLE = "executor on node-a of default is gone with 1 job in hand"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium(require_chromium()) as browser:
        yield browser


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn) as shop:
        yield shop


async def state_of(shop: Shop) -> IncidentState:
    return (await shop.hand.powertools.lifeline.get_incident(FINGERPRINT)).state


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False}], ids=["script", "no-script"])
async def test_an_incident_is_repaired_in_six_interactions_from_the_overview(
    shop: Shop, browser: Browser, options: dict[str, Any]
) -> None:
    async with served(shop.console) as origin, checked(browser, origin, **options) as page:
        await page.goto("/")
        await page.get_by_role("link", name=TITLE).first.click()  # 1
        await page.get_by_role("button", name="Preview: rescue job 6").click()  # 2
        await page.get_by_label("Reason").fill(REASON)  # 3
        await page.get_by_role("button", name="Rescue job 6").click()  # 4

        await page.wait_for_url("**/repairs/*")
        heading = await page.get_by_role("heading", level=1).inner_text()

    assert heading == "Done: rescue job 6"
    assert await state_of(shop) is IncidentState.RESOLVED


async def test_an_incident_is_repaired_by_keyboard_alone_from_overview_to_audit(shop: Shop, browser: Browser) -> None:
    async with served(shop.console) as origin, checked(browser, origin) as page:
        await page.goto("/")
        await press_to(page, TITLE)
        await press_to(page, "Preview: rescue job 6")
        await tab_to(page, "reason")
        await page.keyboard.type(REASON)
        await press_to(page, "Rescue job 6")
        await page.wait_for_url("**/repairs/*")
        await press_to(page, "Audit record")
        await page.wait_for_url("**/audit/*")

    assert await state_of(shop) is IncidentState.RESOLVED


async def test_going_back_after_an_execution_executes_nothing_again(shop: Shop, browser: Browser) -> None:
    async with served(shop.console) as origin, checked(browser, origin) as page:
        await page.goto(f"/incidents/by-fingerprint/{FINGERPRINT}")
        await page.get_by_role("button", name="Preview: rescue job 6").click()
        await page.get_by_label("Reason").fill(REASON)
        await page.get_by_role("button", name="Rescue job 6").click()
        await page.wait_for_url("**/repairs/*")
        await page.go_back()
        said = await page.locator("main").inner_text()
        buttons = await page.locator("form.decide").count()

    assert "It was executed" in said
    assert buttons == 0
    assert len(await shop.hand.powertools.audit.list(action="job_rescue")) == 1


FOCUSED = "(document.activeElement.innerText || document.activeElement.id || '').trim()"


async def tab_to(page: Page, name: str) -> None:
    """Press the tabulator until what it leads to has this text, or this id."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        if name.lower() in (await page.evaluate(FOCUSED)).lower():
            return
    raise AssertionError(f"the tabulator leads to no {name}")


async def press_to(page: Page, name: str) -> None:
    """Go there by the tabulator, and press Enter."""
    await tab_to(page, name)
    before = page.url
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: url != before)
