"""Pages in Chromium: they stay current without moving, and keys lead through them without doing anything."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from oban_powertools.lifeline import Lifeline
from tests.support.browser import checked, chromium, require_chromium
from tests.support.console import Shop, furnished_console, served

WIDE = {"width": 1280, "height": 800}


@asynccontextmanager
async def looking(dsn: str, path: str = "/", **options) -> AsyncIterator[tuple[Shop, Page, Browser]]:
    """A page of the shop in Chromium, on which nothing may go wrong."""
    require_chromium()
    context = {"viewport": WIDE, **options}
    async with (
        furnished_console(dsn) as shop,
        served(shop.console) as origin,
        chromium() as browser,
        checked(browser, origin, **context) as page,
    ):
        await page.goto(path)
        yield shop, page, browser
        await page.goto("about:blank")  # ends its stream


async def test_a_row_that_changed_says_so_in_its_place(dsn: str) -> None:
    async with looking(dsn) as (shop, page, _):
        row = page.locator('[data-row="incident-1"]')
        before = await row.bounding_box()

        await shop.hand.powertools.lifeline.assign_incident(1, "grace", actor="ada")

        await expect(row).to_contain_text("grace", timeout=10_000)
        assert await row.bounding_box() == before


async def test_a_paused_page_stays_as_it_is_until_it_goes_on(dsn: str) -> None:
    async with looking(dsn) as (shop, page, _):
        await page.keyboard.press("r")
        await shop.hand.powertools.lifeline.assign_incident(1, "grace", actor="ada")
        await expect(page.locator("[data-live-word]")).to_have_text("Paused at")

        await page.keyboard.press("r")

        await expect(page.locator('[data-row="incident-1"]')).to_contain_text("grace", timeout=10_000)


async def test_keys_lead_through_the_rows_and_the_menu(dsn: str) -> None:
    async with looking(dsn) as (_, page, _):
        await page.keyboard.press("j")
        await page.keyboard.press("j")
        at = await page.evaluate("document.activeElement.closest('[data-row]').dataset.row")
        rows = await page.locator("[data-row]").evaluate_all("rows => rows.map(row => row.dataset.row)")

        await page.keyboard.press("g")
        await page.keyboard.press("i")

        await expect(page).to_have_url(re.compile(r"/incidents$"))
        assert at == rows[1]


async def test_the_theme_is_chosen_by_a_key_and_stays(dsn: str) -> None:
    async with looking(dsn) as (_, page, _):
        await page.keyboard.press("t")
        await page.keyboard.press("t")

        await page.reload()

        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_keys_are_left_alone_while_somebody_types_or_has_turned_them_off(dsn: str) -> None:
    async with looking(dsn) as (_, page, _):
        await page.keyboard.press("?")
        await page.get_by_label("Turn these keys off").check()
        await page.keyboard.press("Escape")

        await page.keyboard.press("t")

        assert await page.evaluate("document.documentElement.dataset.theme ?? null") is None


async def test_a_page_is_whole_without_a_script(dsn: str) -> None:
    async with looking(dsn, java_script_enabled=False) as (_, page, _):
        await expect(page.locator("h1")).to_be_visible()
        await expect(page.locator("[data-theme-button]")).to_be_hidden()
        await expect(page.locator("[data-pause]")).to_be_hidden()


async def test_a_part_that_failed_is_asked_for_alone(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: Lifeline, **__: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as failing:
        failing.setattr(Lifeline, "list_executor_health", fail)
        async with looking(dsn) as (_, page, _):
            await page.evaluate("document.body.dataset.same = 'yes'")
            failing.undo()

            await page.get_by_role("link", name="Ask again").click()

            await expect(page.locator(".beats")).to_contain_text("node-a")
            assert await page.evaluate("document.body.dataset.same") == "yes"
