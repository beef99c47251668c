"""Every page of the console in Chromium: in light, in dark, in forced colours and on a small screen.

A picture of each is written to ``build/screenshots``, to be looked at by eye.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser

from oban_powertools.web import pages
from tests.support.axe import violations
from tests.support.browser import Watched, chromium, opened, require_chromium
from tests.support.console import Shop, furnished_console, served
from tests.support.every_page import ADDRESSES, ANSWERS_OTHERWISE, addresses, busy, file_name

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"

LARGE: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce"}
SMALL: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "reduced_motion": "reduce", "has_touch": True}
"""Nothing moves, so that nothing is looked at half-way from one colour to another."""

LOOKS: dict[str, tuple[dict[str, Any], tuple[str, ...] | None]] = {
    "light": ({**LARGE, "color_scheme": "light"}, ()),
    "360": ({**SMALL, "color_scheme": "light"}, ()),
    # The same elements in the same places: only what is seen of them differs.
    "dark": ({**LARGE, "color_scheme": "dark"}, ("color-contrast", "link-in-text-block")),
    # What forced colours become is the system's choice, so contrast says nothing there.
    "forced": ({**LARGE, "forced_colors": "active"}, None),
}
"""A name -> the browser's context, and the rules of axe: all when there are none, none of them with None."""

EXPECTED = {"/workflows/999999": 404}
"""Address -> status, where it is not 200."""

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Walk:
    """What was found on every page."""

    statuses: dict[str, int] = field(default_factory=dict[str, int])
    faults: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Address -> errors in its console, violations of its policy, requests elsewhere."""

    violations: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Address -> what axe says against it."""

    too_wide: dict[str, int] = field(default_factory=dict[str, int])
    """Address -> pixels by which it is wider than the screen."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium(require_chromium()) as browser:
        yield browser


@pytest.fixture
async def shop(dsn: str) -> AsyncIterator[Shop]:
    async with furnished_console(dsn, environment="Production") as shop:
        await busy(shop)
        yield shop


async def visit(watched: Watched, address: str, walk: Walk, look: str) -> None:
    page, (_, rules) = watched.page, LOOKS[look]
    answer = await page.goto(address)
    status = walk.statuses[address] = answer.status if answer else 0
    walk.too_wide[address] = await page.evaluate(WIDER)
    walk.violations[address] = [] if rules is None else await violations(page, *rules)
    await page.screenshot(path=PICTURES / f"{file_name(address)}.{look}.png", full_page=True)
    walk.faults[address] = [fault for fault in watched.faults if not said_of_a_status(fault, status)]
    watched.faults.clear()


def said_of_a_status(fault: str, status: int) -> bool:
    """Whether Chromium only says that a page has the status that it should have."""
    return status >= 400 and f"status of {status}" in fault


def test_every_page_of_the_registry_is_visited() -> None:
    routes = {route.path for route in pages.routes() if route.method == "GET"}

    assert set(ADDRESSES) | ANSWERS_OTHERWISE == routes


@pytest.mark.timeout(400)
@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_is_well_when_it_is_looked_at(shop: Shop, browser: Browser, look: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    walk, (context, _) = Walk(), LOOKS[look]

    async with served(shop.console) as origin, opened(browser, origin, **context) as watched:
        for address in addresses():
            await visit(watched, address, walk, look)

    assert walk.statuses == {address: EXPECTED.get(address, 200) for address in addresses()}
    assert {address: pixels for address, pixels in walk.too_wide.items() if pixels > 0} == {}
    assert {address: found for address, found in walk.faults.items() if found} == {}
    assert {address: found for address, found in walk.violations.items() if found} == {}
