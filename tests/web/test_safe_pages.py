"""The overview and the list of incidents with payloads in every text that they show."""

import subprocess
import sys

import pytest

from tests.support.console import Shop, furnished_console
from tests.support.markup import COMPUTED, TEMPLATE

PAYLOADS = ('<svg onload="alert(1)">', '"><script>alert(1)</script>', TEMPLATE, "' onmouseover='alert(1)")

SPOIL = """
SET session_replication_role = replica;
UPDATE powertools.incidents SET title = %(text)s, assignee = %(text)s, subject_id = %(text)s,
  fingerprint = class || ':' || id || %(text)s;
UPDATE powertools.executors SET node = left(node || %(text)s, 200), producer_scope = %(text)s;
UPDATE powertools.workflows SET name = %(text)s;
UPDATE powertools.steps SET name = %(text)s || position;
SET session_replication_role = origin
"""
PAGES = ("/", "/incidents", "/incidents?state=acknowledged", "/incidents/chosen?id=1&id=2")


@pytest.fixture
async def shop(dsn: str):
    async with furnished_console(dsn) as shop:
        yield shop


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_what_is_shown_is_text(shop: Shop, payload: str) -> None:
    literal = "'" + payload.replace("'", "''") + "'"
    await shop.hand.rows(SPOIL.replace("%(text)s", literal))

    pages = {path: (await shop.client.get(path)).text for path in PAGES}

    raw = {path for path, page in pages.items() if payload in page and "<" in payload}
    assert raw == set()
    assert [path for path, page in pages.items() if "alert(1)" in page and "onmouseover='alert" in page] == []
    assert [path for path, page in pages.items() if COMPUTED in page] == []


async def test_what_was_asked_for_is_shown_as_text(shop: Shop) -> None:
    page = (await shop.client.get("/incidents", params={"q": PAYLOADS[1]})).text

    assert (PAYLOADS[1] in page, "&lt;script&gt;" in page) == (False, True)


def test_the_console_adds_nothing_to_the_import_of_the_package() -> None:
    program = "import oban_powertools, sys; print({'starlette', 'jinja2', 'oban_powertools.web'} & set(sys.modules))"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert printed == "set()\n"
