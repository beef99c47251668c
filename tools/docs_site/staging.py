"""Copies the pages to where Sphinx reads them, and adds what only the site needs; not for how pages look (``conf``)."""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import python_api

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
INDEX: Final = DOCS / "index.md"
BESIDE: Final = {
    ROOT / "README.md": "index.md",
    ROOT / "CONTRIBUTING.md": "project/contributing.md",
    ROOT / "SECURITY.md": "project/security.md",
    ROOT / "CHANGELOG.md": "project/changelog.md",
    ROOT / "bench" / "README.md": "project/benchmarks.md",
}
"""Pages outside of ``docs``, and where they are on the site; the readme's is the home page."""

ALL_PAGES: Final = "## All pages\n"
"""Under this heading ``docs/index.md`` lists them: ``###`` is a part, a line that ends in a colon a caption in it."""

API: Final = "- [Python API](reference/api.md): every call, class and field\n"
DOCSTRINGS: Final = "- [Docstrings](reference/python/index.rst): what the source says of every public name\n"
"""Written for the site alone, and listed behind the reference."""

FENCED: Final = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\]\[]|\[[^\]]*\])+)\]\((?P<target>[^)\s]+)\)")
PICTURE: Final = re.compile(r'<picture>.*?<img src="([^"]+)\.light\.(png|svg)" alt="([^"]+)">.*?</picture>', re.DOTALL)
"""A picture in two themes, as a repository shows it: by what the reader's system prefers. The site has a switch."""


@dataclass
class Group:
    """Pages under one caption."""

    caption: str
    lines: list[str] = field(default_factory=list[str])

    def pages(self) -> list[str]:
        """Each page once, as ``Title <path>``."""
        links = [match for line in self.lines if (match := LINK.match(line.removeprefix("- ")))]
        named = {_docname(match["target"]): match["text"] for match in links if "#" not in match["target"]}
        return [f"{text.replace('`', '')} <{name}>" for name, text in named.items()]


@dataclass
class Part:
    """One of the four parts of the documentation."""

    title: str
    about: str = ""
    groups: list[Group] = field(default_factory=list[Group])

    @property
    def name(self) -> str:
        """The name of its own page."""
        return self.title.lower().replace(" ", "-")


def stage(source: Path) -> None:
    """Write everything that Sphinx reads to ``source``, in place of what was there."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(DOCS, source)
    for page in sorted(DOCS.rglob("*.md")):
        _write(source / page.relative_to(DOCS), _with_links(page, page.relative_to(DOCS)))
    for page, place in BESIDE.items():
        if place != "index.md":
            _write(source / place, _with_links(page, Path(place)))
    home, listed = (source / "index.md").read_text().split(ALL_PAGES)
    parts = read_parts(listed.replace(API, API + DOCSTRINGS))
    python_api.write(source / "reference" / "python")
    _link_docstrings(source / "reference")
    for part in parts:
        _write(source / f"{part.name}.md", _part_page(part))
    _write(source / "index.md", f"{home}\n{_toctree('', [f'{part.title} <{part.name}>' for part in parts])}")


def _link_docstrings(reference: Path) -> None:
    """Under the heading of a public name, lead to its docstring."""
    short = {name.rpartition(".")[2]: name for name in python_api.find_homes()}
    for page in sorted(reference.glob("*.md")):
        text = re.sub(
            r"^## (\w+)$",
            lambda title: f"{title[0]}\n\n{{py:obj}}`Docstring <{short[title[1]]}>`" if title[1] in short else title[0],
            page.read_text(),
            flags=re.MULTILINE,
        )
        page.write_text(text)


def read_parts(listed: str) -> list[Part]:
    """The parts of a list of pages, with its links as they stand."""
    parts: list[Part] = []
    for line in listed.splitlines():
        if line.startswith("### "):
            parts.append(Part(line.removeprefix("### ")))
        elif line.endswith(":"):
            parts[-1].groups.append(Group(line.removesuffix(":")))
        elif line.startswith("- "):
            if not parts[-1].groups:
                parts[-1].groups.append(Group(""))
            parts[-1].groups[-1].lines.append(line)
        elif line.startswith("  "):
            parts[-1].groups[-1].lines[-1] += f" {line.strip()}"
        elif line:
            parts[-1].about += f"{line}\n"
    return parts


def _part_page(part: Part) -> str:
    """What a part has, for a person, and again for the navigation."""
    listed = "".join(
        f"{f'## {group.caption}' if group.caption else ''}\n\n" + "\n".join(group.lines) + "\n\n"
        for group in part.groups
    )
    trees = "\n".join(_toctree(group.caption, group.pages()) for group in part.groups)
    return f"# {part.title}\n\n{part.about}\n{listed}\n{trees}"


def _toctree(caption: str, entries: list[str]) -> str:
    return "\n".join(
        ["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *entries, "```\n"]
    )


def _with_links(page: Path, place: Path) -> str:
    """The page's text, its links to what the site lacks reduced to their words.

    Args:
        page: The file.
        place: Where it is on the site.
    """
    linking = _Linking(page, place)
    prose_and_code = FENCED.split(page.read_text())
    return "".join(
        text if at % 2 else PICTURE.sub(_in_both_themes, LINK.sub(linking, text))
        for at, text in enumerate(prose_and_code)
    )


def _in_both_themes(picture: re.Match[str]) -> str:
    path, kind, alt = picture.groups()
    return "\n".join(
        f"```{{image}} {path}.{theme}.{kind}\n:alt: {alt}\n:class: only-{theme}\n```" for theme in ("light", "dark")
    )


class _Linking:
    """Replaces the links of one page."""

    def __init__(self, page: Path, place: Path) -> None:
        self._page = page
        self._place = place

    def __call__(self, link: re.Match[str]) -> str:
        path, mark, anchor = link["target"].partition("#")
        if "://" in path or not path:
            return link[0]
        found = (self._page.parent / path).resolve()
        if found.is_relative_to(DOCS):
            wanted = found.relative_to(DOCS)
        elif found in BESIDE:
            wanted = Path(BESIDE[found])
        else:
            return link["text"]
        return f"{link['image']}[{link['text']}]({os.path.relpath(wanted, self._place.parent)}{mark}{anchor})"


def _docname(target: str) -> str:
    return target.removesuffix(".md").removesuffix(".rst")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
