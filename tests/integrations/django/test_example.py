"""The example is true: its tests pass, and its servers do what its page says."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import expect

from tests.support.browser import chromium, opened
from tests.support.django_example import FOLDER, Shop

GLUE = ("shop/asgi.py", "shop/urls.py", "shop/views.py")


@pytest.fixture
def shop(empty_dsn: str, tmp_path: Path) -> Shop:
    return Shop(empty_dsn, tmp_path)


@pytest.mark.timeout(180)
def test_its_own_tests_pass(shop: Shop) -> None:
    assert "Ran 3 tests" in shop.manage("test")


@pytest.mark.timeout(180)
def test_its_migrations_are_complete(shop: Shop) -> None:
    shop.manage("migrate")

    assert "No changes detected" in shop.manage("makemigrations", "--check", "--dry-run")
    assert "no issues" in shop.manage("check", "--database", "default", "--fail-level", "WARNING")


@pytest.mark.timeout(180)
async def test_an_order_is_worked_on_and_the_console_opens_after_djangos_login(shop: Shop) -> None:
    shop.manage("migrate")
    shop.manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@shop.example")
    with shop.running() as address:
        async with chromium() as browser, opened(browser, address) as watched:
            page = watched.page
            order = place_order(address)

            await page.goto("/ops/jobs/")
            assert urlsplit(page.url).path == "/admin/login/"
            await page.fill("[name=username]", "ada")
            await page.fill("[name=password]", "correct horse")
            await page.click("[type=submit]")

            assert urlsplit(page.url).path == "/ops/jobs/"
            await expect(page.locator("body")).to_contain_text("ada")
            await page.goto(f"/ops/jobs/workflows/{order['workflow']}")
            await expect(page.locator("body")).to_contain_text("order is completed", timeout=30_000)
            await page.goto("/admin/powertools/listedworkflow/")
            await page.click("text=Open in the console")
            assert urlsplit(page.url).path == f"/ops/jobs/workflows/{order['workflow']}"
        assert state_of(address, order["order"]) == "shipped"


def place_order(address: str) -> dict[str, int]:
    return httpx.post(f"{address}/orders/", data={"amount": "12"}, timeout=30).json()


def state_of(address: str, order: int) -> str:
    return httpx.get(f"{address}/orders/{order}/", timeout=30).json()["state"]


def test_its_glue_is_short() -> None:
    lines = [line for file in GLUE for line in (FOLDER / file).read_text().splitlines() if line.strip()]

    assert len(lines) < 60


def test_the_code_on_the_page_is_that_of_the_example() -> None:
    page = (FOLDER.parents[1] / "docs" / "how-to" / "use-with-django.md").read_text()
    blocks = re.findall(r"^```py\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    strange = [
        (file, part)
        for file, text in blocks
        for part in text.strip().split("\n\n\n")
        if part not in (FOLDER / file).read_text()
    ]
    assert len(blocks) == page.count("```py\n") > 3
    assert strange == []
