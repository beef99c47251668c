"""The operations of the JSON API, for whoever writes a program: each with what it takes, its act, and an example."""

from itertools import groupby
from typing import Final

from starlette.responses import Response

from ..api.endpoints import DOCUMENT, ENDPOINTS, ROOT
from ..page import Page, get


async def list_operations(page: Page) -> Response:
    """The page."""
    groups = [(tag, list(rows)) for tag, rows in groupby(ENDPOINTS, key=lambda row: row.tag)]
    return page.render(
        "operations.html",
        title="JSON API",
        crumbs=[("About", page.url("/about"))],
        groups=groups,
        root=ROOT,
        document=DOCUMENT,
        address=str(page.request.base_url).rstrip("/"),
    )


ROUTES: Final = (get("/about/api", list_operations),)
