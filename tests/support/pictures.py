"""The pictures of the console in the README and in ``docs/how-to/console.md``: ``python -m tests.support.pictures``.

Each is taken of the shop of ``every_page``, in light and in dark, and written to ``docs/images``.
"""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser

from oban_powertools import schema
from oban_powertools.database import connect
from oban_powertools.embedded import start_embedded
from tests.support.browser import checked, chromium, find_chromium
from tests.support.console import furnished_console, served
from tests.support.every_page import busy

TARGET: Final = Path(__file__).parents[2] / "docs" / "images"

PICTURES: Final[Mapping[str, tuple[str, int]]] = {
    "overview": ("/", 760),
    "incident": ("/incidents/1", 900),
    "workflow": ("/workflows/7?step=merge_prices", 1000),
    "preview": ("/previews/1", 1000),
}
"""Name -> address, and the height of the picture in pixels."""

MOST: Final = 200_000
"""Bytes of one picture."""


async def take(browser: Browser, origin: str, name: str, scheme: Any) -> None:
    """Write one picture."""
    address, height = PICTURES[name]
    options = {"viewport": {"width": 1200, "height": height}, "color_scheme": scheme, "reduced_motion": "reduce"}
    async with checked(browser, origin, **options) as page:
        await page.goto(address)
        file = TARGET / f"console-{name}.{scheme}.png"
        await page.screenshot(path=file)
    print(f"{file.relative_to(TARGET.parents[1])}: {file.stat().st_size:,} bytes")
    assert file.stat().st_size < MOST, "too large for a page"


async def main() -> None:
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="powertools-pictures-") as directory:
        Path(directory).chmod(0o755)
        server = start_embedded(Path(directory) / "data")
        try:
            async with await connect(server.dsn) as conn:
                await schema.install(conn)
            async with furnished_console(server.dsn, environment="Production") as shop:
                await busy(shop)
                async with served(shop.console) as origin, chromium(find_chromium()) as browser:
                    for name in PICTURES:
                        for scheme in ("light", "dark"):
                            await take(browser, origin, name, scheme)
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main())
