"""The site builds from the pages and the docstrings, without a warning and without anything from elsewhere."""

import fcntl
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import oban_powertools
from tests.support.browser import checked, chromium
from tools.docs_site import links, python_api
from tools.docs_site.staging import BESIDE, DOCS, ROOT
from tools.servers import VERSIONS

PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, also when several processes run the tests."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    output = shared / "docs-site"
    with (shared / "docs-site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (output / "index.html").exists():
            build = [sys.executable, "-m", "tools.docs_site", "--output", str(output)]
            done = subprocess.run(build, cwd=ROOT, check=False, capture_output=True, text=True, timeout=400)
            assert (done.returncode, done.stderr) == (0, "")
    return output


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: its line would be an output of the tests."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site))) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@pytest.mark.timeout(450)
def test_every_page_is_on_the_site(site: Path) -> None:
    pages = [page.relative_to(DOCS) for page in DOCS.rglob("*.md")]
    pages += [Path(place) for place in BESIDE.values()]

    assert [str(page) for page in pages if not (site / page.with_suffix(".html")).exists()] == []


@pytest.mark.timeout(450)
def test_a_browser_loads_nothing_from_elsewhere(site: Path) -> None:
    assert list(links.list_foreign(site)) == []


@pytest.mark.timeout(450)
def test_every_public_name_has_its_docstring_on_the_site(site: Path) -> None:
    pages = "".join(page.read_text() for page in (site / "reference" / "python").glob("*.html"))
    described = set(re.findall(r'<dt class="sig [^"]*" id="([\w.]+)"', pages))

    assert {f"oban_powertools.{name}" for name in oban_powertools.__all__} - described == set()
    assert set(python_api.find_homes()) - described == set()


@pytest.mark.timeout(450)
async def test_the_search_finds_a_page_without_a_network(address: str) -> None:
    async with chromium() as browser, checked(browser, address) as page:
        await page.goto(f"{address}/search.html?q=witness")

        found = page.locator("#search-results ul.search li a").first
        await found.wait_for()

        assert await page.locator("#search-results ul.search li a").count() > 2


@pytest.mark.timeout(450)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["index", "tutorial", "coming-from", "reference/errors", "reference/python/index"])
async def test_no_page_is_wider_than_a_phone(address: str, path: str, scheme: str) -> None:
    async with chromium() as browser, checked(browser, address, viewport=PHONE, color_scheme=scheme) as page:
        await page.goto(f"{address}/{path}.html")

        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_page_of_versions_names_what_is_promised() -> None:
    page = (DOCS / "reference" / "versions.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))

    assert f"| Python | {', '.join(pythons)} |" in page
    assert f"| PostgreSQL | {', '.join(map(str, [*VERSIONS, 18]))} |" in page
