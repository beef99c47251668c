"""axe-core in a page of Chromium: what it says against a page, as sentences."""

from functools import cache
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.async_api import Page

RUN = """
(rules) => axe.run(document, {
  resultTypes: ["violations"], elementRef: false, ...(rules.length ? {runOnly: {type: "rule", values: rules}} : {}),
})
"""


@cache
def _script() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


async def violations(page: Page, *rules: str) -> list[str]:
    """Rule, number of elements, and the first of them, of each rule that the page breaks.

    Args:
        rules: Only these; without any, all.
    """
    # Evaluated, not added to the page: its policy lets no script in.
    await page.evaluate(_script())
    found: dict[str, Any] = await page.evaluate(RUN, list(rules))
    return [
        f"{rule['id']}: {rule['help']} ({len(rule['nodes'])}, first {rule['nodes'][0]['html'][:200]}:"
        f" {rule['nodes'][0]['failureSummary']})"
        for rule in found["violations"]
    ]
