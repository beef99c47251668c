"""About this console: versions, the schema, what the doctor finds, what the actor may do, settings, keys, licences."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Final

from starlette.responses import Response

from ...acts import Action
from ...operators.authorization import Target
from ...upkeep.settings import spell
from ..page import Page, get
from ..static_files import vendored

_PACKAGES: Final = ("oban-powertools", "oban", "psycopg", "starlette", "jinja2")


async def about(page: Page) -> Response:
    """The page."""
    schema, settings = await page.parts(page.calls.schema_status(), page.calls.shared_settings.list_settings())
    return page.render(
        "about.html",
        title="About",
        versions=[*((name, _version(name)) for name in _PACKAGES), ("Python", python_version())],
        schema=schema,
        settings=settings,
        spell=spell,
        permissions=await _permissions(page),
        vendored=vendored(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


async def _permissions(page: Page) -> Sequence[tuple[str, Sequence[tuple[Action, str | None]]]]:
    """Permission -> its acts with why the actor may not do them, asked of no target in particular."""
    found: dict[str, list[tuple[Action, str | None]]] = {}
    for action in Action:
        target = Target(type=action.row.targets[0], id="*")
        found.setdefault(action.row.permission, []).append((action, await page.refusal(action, target)))
    return sorted(found.items())


async def examine(page: Page) -> Response:
    """What the doctor finds."""
    report = await page.part(page.calls.examine())
    return page.render(
        "doctor.html", title="Doctor", crumbs=[("About", page.url("/about"))], report=report, levels=LEVELS
    )


LEVELS: Final[Mapping[str, tuple[str, str]]] = {
    "error": ("needs-review", "act"),
    "warning": ("waiting", "hold"),
    "note": ("open", ""),
}
"""Level -> its glyph and tone."""


ROUTES: Final = (get("/about", about), get("/about/doctor", examine))
