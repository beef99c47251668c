"""Screenshots of the console's pages, to be looked at by eye.

    python -m tests.support.look / /incidents '/workflows?status=blocked'
    python -m tests.support.look --serve          # prints an address, and leaves with Ctrl+C
    python -m tests.support.look --read-only --nobody-may /incidents/1

writes each page of the furnished shop in light, in dark and at 360 px into ``build/look``.
"""

import argparse
import asyncio
import contextlib
import re
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from oban_powertools import schema
from oban_powertools.database import connect
from oban_powertools.embedded import start_embedded
from tests.support.browser import chromium, find_chromium, opened
from tests.support.by_hand import everybody_may
from tests.support.console import furnished_console, served

TARGET = Path(__file__).parents[2] / "build" / "look"
FORMS = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "360": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light", "device_scale_factor": 2},
}


async def look(browser: Browser, origin: str, path: str) -> None:
    """Write the screenshots of one page."""
    name = re.sub(r"[^\w-]+", "-", path).strip("-") or "overview"
    for form, options in FORMS.items():
        async with opened(browser, origin, **options) as watched:
            answer = await watched.page.goto(origin + path, wait_until="load")
            file = TARGET / f"{name}.{form}.png"
            await watched.page.screenshot(path=file, full_page=True)
            status = answer.status if answer else "no answer"
            print(f"{status} {path} {form}: {file.relative_to(TARGET.parents[1])}", *watched.faults, sep="\n  ")
            wide = await watched.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                print(f"  it is {wide} px wider than the screen")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--read-only", action="store_true")
    parser.add_argument("--nobody-may", action="store_true")
    arguments = parser.parse_args()
    TARGET.mkdir(parents=True, exist_ok=True)
    policy = (lambda *_: False) if arguments.nobody_may else everybody_may
    options = {"environment": "Production", "read_only": arguments.read_only, "authorize": policy}
    with tempfile.TemporaryDirectory(prefix="powertools-look-") as directory:
        Path(directory).chmod(0o755)
        server = start_embedded(Path(directory) / "data")
        try:
            async with await connect(server.dsn) as conn:
                await schema.install(conn)
            async with furnished_console(server.dsn, **options) as shop, served(shop.console) as origin:
                if arguments.serve:
                    print(origin, flush=True)
                    await asyncio.Event().wait()
                async with chromium(find_chromium()) as browser:
                    for path in arguments.paths or ["/"]:
                        await look(browser, origin, path)
        finally:
            server.stop()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
