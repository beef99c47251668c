"""The pages of the console, and the one registry of them.

To add a page: write ``pages/NAME.py`` with one function for each address, and its template ``templates/NAME.html``. Its
name, title and key stand in ``FAMILIES`` below already; nothing else is registered. A page module has

    ROUTES: Final = (get("/queues", list_queues), post("/queues/{name}/pause", pause))
    SAYINGS: Final = {"queue-paused": "The queue is paused."}    # optional: sentences after a redirect

where a function is ``async def list_queues(page: Page) -> Response`` (``page.py`` says what it gets and gives), and its
template is

    {% extends "layout.html" %}
    {% import "components.html" as c with context %}
    {% block main %} ... {% endblock %}

Its macros are on docs/design/console-components.md. A page whose module does not exist is in no menu.
"""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final, cast

from ..page import PageRoute
from ..shell import NavEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A module of pages."""

    name: str
    """Of the module."""

    title: str | None = None
    """In the menu; None for pages that are reached from others."""

    path: str = "/"
    """Where the menu leads."""

    key: str | None = None
    """``g``, then this key, goes there."""


FAMILIES: Final[tuple[tuple[Family, ...], ...]] = (
    (
        Family(name="overview", title="Overview", path="/", key="o"),
        Family(name="incidents", title="Incidents", path="/incidents", key="i"),
        Family(name="incident"),
        Family(name="workflows", title="Workflows", path="/workflows", key="w"),
        Family(name="workflow"),
        Family(name="step"),
        Family(name="jobs", title="Jobs", path="/jobs", key="j"),
        Family(name="queues", title="Queues", path="/queues", key="q"),
        Family(name="signals", title="Signals", path="/signals", key="s"),
        Family(name="executors", title="Executors", path="/executors", key="e"),
    ),
    (
        Family(name="act"),
        Family(name="previews", title="Previews", path="/previews", key="p"),
        Family(name="preview"),
        Family(name="repair"),
        Family(name="reveal"),
        Family(name="bulk"),
        Family(name="audit", title="Audit", path="/audit", key="a"),
        Family(name="retention", title="Retention", path="/retention", key="r"),
        Family(name="webhooks", title="Webhooks", path="/webhooks", key="h"),
    ),
    (Family(name="about", title="About", path="/about", key="b"), Family(name="components"), Family(name="operations")),
)
"""Every page module, in the order of the menu and in its groups."""


def routes() -> Iterator[PageRoute]:
    """Every address of every page that exists; the first one that fits answers."""
    for module in _modules().values():
        yield from cast("tuple[PageRoute, ...]", module.ROUTES)


def sayings() -> Mapping[str, str]:
    """Word -> the sentence that is shown after a redirect."""
    said: dict[str, str] = {}
    for module in _modules().values():
        said |= cast("Mapping[str, str]", getattr(module, "SAYINGS", {}))
    return said


def nav() -> tuple[tuple[NavEntry, ...], ...]:
    """The menu: the pages that exist."""
    return tuple(
        tuple(
            NavEntry(name=family.name, title=family.title, path=family.path, key=family.key)
            for family in group
            if family.title is not None and family.name in _modules()
        )
        for group in FAMILIES
    )


@cache
def _modules() -> Mapping[str, ModuleType]:
    """Name -> module, of those that exist."""
    names = [family.name for group in FAMILIES for family in group]
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names if _exists(name)}


def _exists(name: str) -> bool:
    return importlib.util.find_spec(f"{__name__}.{name}") is not None
