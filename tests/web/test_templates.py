"""Rules of templates, style sheet and script that a machine can check."""

import re
from pathlib import Path

import pytest

from oban_powertools.web.rendering import environment
from oban_powertools.web.static_files import static_files

WEB = Path(__file__).parents[2] / "src" / "oban_powertools" / "web"
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
STYLE = (WEB / "static" / "console.css").read_text()
SCRIPT = (WEB / "static" / "console.js").read_text()
PAGE = Path(__file__).parents[2] / "docs" / "design" / "console-components.md"

MAY_MAKE_MARKUP = {"rendering.py", "drawing.py", "drawings.py", "workflow.py", "step.py"}
"""Where an SVG of ``graph``, which escapes by itself, is let through."""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_can_be_read(path: Path) -> None:
    environment().get_template(path.relative_to(WEB / "templates").as_posix())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline(path: Path) -> None:
    inline = re.compile(r"<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)", re.IGNORECASE)

    assert inline.findall(path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_escapes_everything(path: Path) -> None:
    assert re.findall(r"\|\s*safe\b|autoescape\s+false", path.read_text()) == []


def test_markup_is_made_in_one_place() -> None:
    made = {path.name for path in WEB.rglob("*.py") if re.search(r"\bMarkup\b", path.read_text())}

    assert made <= MAY_MAKE_MARKUP
    assert len(made) <= 1


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_asks_nobody_else(path: Path) -> None:
    assert re.findall(r'(?:src|href|action)="(?:https?:)?//', path.read_text()) == []


def test_every_macro_is_on_the_page_of_components() -> None:
    macros = set(re.findall(r"\{% macro (\w+)\(", (WEB / "templates" / "components.html").read_text()))

    assert macros - set(re.findall(r"`c\.(\w+)\(", PAGE.read_text())) == set()


def test_components_use_the_tokens_and_no_literal_colour() -> None:
    after_tokens = STYLE.partition("/* ---- Page ---- */")[2]
    literal = re.findall(r"#[0-9a-f]{3,8}\b|rgb\([^)]*\)", after_tokens.partition("/* ---- Paper ---- */")[0])

    assert set(literal) <= {"rgb(0 0 0 / 35%)"}


def test_every_token_that_is_used_is_defined() -> None:
    style = static_files()["console.css"].content.decode()

    assert set(re.findall(r"var\((--[\w-]+)\)", style)) - set(re.findall(r"(--[\w-]+):", style)) == set()


def test_the_script_makes_no_markup_of_what_it_reads() -> None:
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", SCRIPT) == []


def test_the_script_stays_small() -> None:
    assert len(SCRIPT.splitlines()) < 300
