"""How Sphinx reads and shows the pages; Sphinx looks for these names."""

import dataclasses
import inspect
import re
from importlib.metadata import version as _version_of
from typing import Any

from pygments.lexers import PostgresLexer
from sphinx.application import Sphinx

project = "Powertools"
author = "the authors of oban-powertools"
version = release = _version_of("oban-powertools")
project_copyright = "the authors of oban-powertools, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["README.md"]
default_role = "code"
suppress_warnings = ["ref.python"]  # a word of a docstring that is the name of several things leads to none

myst_heading_anchors = 4
myst_enable_extensions = ["tasklist"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 90
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries = False

html_theme = "pydata_sphinx_theme"
html_title = "Powertools"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_favicon = "static/logo.svg"
html_copy_source = False
html_show_sourcelink = False
html_sidebars = {"**": ["sidebar-nav-bs"], "index": []}
html_theme_options = {
    "logo": {"text": "Powertools", "image_light": "static/logo.svg", "image_dark": "static/logo-dark.svg"},
    "navbar_align": "left",
    "navbar_center": ["navbar-nav"],
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button-field"],
    "header_links_before_dropdown": 6,
    "search_as_you_type": True,
    "search_bar_text": "Search",
    "show_nav_level": 1,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_prev_next": True,
    "back_to_top_button": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark",
}

copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos"


def mark_code(_app: Sphinx, _what: str, _name: str, _of: Any, _options: Any, lines: list[str]) -> None:
    """Our docstrings indent code without a mark, as Markdown does; reStructuredText wants ``::`` before it."""
    blocks = [block.split("\n") for block in "\n".join(lines).split("\n\n")]
    lines[:] = [line for at, block in enumerate(blocks) for line in _marked(block, blocks[:at])]


def _marked(block: list[str], before: list[list[str]]) -> list[str]:
    indented = block[0].startswith("    ")
    if _is_a_tree(block):
        return ["::", "", *(f"    {line}" for line in block), ""]
    if indented and before and not _in_a_section(before):
        return ["::", "", *block, ""]
    return [*block, ""]


def _is_a_tree(block: list[str]) -> bool:
    """Names under one another, as the tree of errors is drawn."""
    return len(block) > 1 and all(re.fullmatch(r" *\w+", line) for line in block)


def _in_a_section(before: list[list[str]]) -> bool:
    """Whether the nearest line without an indent is a heading such as ``Args:``, an item of a list, or a directive."""
    above = [line for block in before for line in block if line and not line.startswith(" ")]
    return bool(above) and bool(re.match(r"(\w[\w ]*:$|[-*:.]|>>>)", above[-1]))


def leave_out_fields(_app: Sphinx, _what: str, _name: str, of: Any, *_: Any) -> tuple[str, None] | None:
    """The fields of a record are listed below it with their types and defaults; its signature would list them again."""
    return ("", None) if inspect.isclass(of) and dataclasses.is_dataclass(of) else None


def leave_out_types(_app: Sphinx, what: str, _name: str, of: Any, _options: Any, lines: list[str]) -> None:
    """A constant without a docstring has that of its type, which says nothing of it."""
    if what == "data" and "\n".join(lines).strip() == inspect.cleandoc(type(of).__doc__ or "").strip():
        lines.clear()


def setup(app: Sphinx) -> None:
    """Before napoleon, which takes what is indented under a heading."""
    app.connect("autodoc-process-signature", leave_out_fields)
    app.connect("autodoc-process-docstring", leave_out_types, priority=90)
    app.connect("autodoc-process-docstring", mark_code, priority=100)
    app.add_lexer("sql", PostgresLexer)
