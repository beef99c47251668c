"""Finds links of the built site that lead nowhere: those of our pages, of docstrings and of the theme alike."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

ATTRIBUTES: Final = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "object": "data"}


class _Page(HTMLParser):
    """What one page links to, and what can be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids |= {value for value in (named.get("id"), named.get("name")) if value}
        if target := named.get(ATTRIBUTES.get(tag, "")):
            self.targets.append(target)


def find_dead(site: Path) -> list[tuple[str, str]]:
    """Returns: the page and the target of each dead link, in the order of the pages."""
    pages = {path: _Page(path.read_text()) for path in list_pages(site)}
    return [
        (str(path.relative_to(site)), target)
        for path, page in pages.items()
        for target in page.targets
        if not _is_foreign(target) and not _exists(path, target, pages)
    ]


def list_pages(site: Path) -> list[Path]:
    """The site's pages; the theme's own templates are among its static files."""
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.relative_to(site).parts]


def list_foreign(site: Path) -> Iterator[tuple[str, str]]:
    """The page and the address of each thing that a browser would load from elsewhere; links are not loaded."""
    for path in list_pages(site):
        loaded = _Loaded(path.read_text())
        yield from ((str(path.relative_to(site)), target) for target in loaded.targets if _is_foreign(target))


class _Loaded(_Page):
    """What a browser loads with the page."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            super().handle_starttag(tag, attrs)


def _is_foreign(target: str) -> bool:
    return bool(urlsplit(target).scheme or urlsplit(target).netloc)


def _exists(page: Path, target: str, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(target)
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if path not in pages:
        return path.is_file()
    return unquote(parts.fragment) in pages[path].ids
