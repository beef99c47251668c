"""Chromium, by Playwright: whatever the machine has. Without one, tests are skipped with a sentence; CI refuses to.

Each page counts what must never happen: a violation of the content security policy, an error in its console, a request
to another origin. ``checked`` fails when one did.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ENVIRONMENT = "POWERTOOLS_TEST_CHROMIUM"
"""Names another one."""

WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


def find_chromium() -> str | None:
    """The program; None when there is none."""
    return os.environ.get(ENVIRONMENT) or next(filter(None, map(shutil.which, NAMES)), None)


def require_chromium() -> str:
    """The program; skips the test when there is none, and fails in CI."""
    program = find_chromium()
    if program is None:
        message = f"no Chromium on this machine: install chromium, or set {ENVIRONMENT}"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return program


@dataclass
class Watched:
    """A page, and what went wrong in it."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(message.text)

    def check_origin(self, url: str, origin: str) -> None:
        if _origin(url) != _origin(origin):
            self.faults.append(f"asked {url}")


@asynccontextmanager
async def chromium(program: str | None = None) -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program or require_chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(browser: Browser, origin: str, **options) -> AsyncIterator[Watched]:
    """A page of a browser that nobody used before, watched.

    Args:
        origin: The only one it may ask.
        options: Of a Playwright context: ``viewport``, ``color_scheme``, ``forced_colors``, ``java_script_enabled``.
    """
    context = await browser.new_context(base_url=origin, **options)
    page = await context.new_page()
    watched = Watched(page)
    await page.add_init_script(WATCH)
    page.on("console", watched.hear)
    page.on("pageerror", lambda error: watched.faults.append(str(error)))
    page.on("request", lambda request: watched.check_origin(request.url, origin))
    try:
        yield watched
    finally:
        await context.close()


@asynccontextmanager
async def checked(browser: Browser, origin: str, **options) -> AsyncIterator[Page]:
    """As ``opened``; at its end nothing may have gone wrong in the page."""
    async with opened(browser, origin, **options) as watched:
        yield watched.page
    assert watched.faults == []


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
