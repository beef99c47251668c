"""Write SVG elements: everything that comes from outside is escaped here, and nowhere else.

The rule that must never break: text is never markup, and no element has an inline style or a handler.
"""

from html import escape
from typing import Final

from ..workflows.drawing import as_label

_ALLOWED: Final = ("https:", "http:", "/", "?", "#", "./", "../")


def text(value: str) -> str:
    """A text between tags, on one line, without characters that no document may have."""
    return escape(as_label(value), quote=False)


def attribute(value: str) -> str:
    """A text between the quotes of an attribute."""
    return escape(as_label(value))


def reference(href: str) -> str:
    """The target of a link, for an attribute.

    Raises:
        ValueError: It could run code: it is no path, query, fragment, or address of the web.
    """
    if href.startswith(_ALLOWED) and href.isprintable():
        return escape(href)
    raise ValueError(f"a link leads to {href[:40]!r}; it must begin with one of {' '.join(_ALLOWED)}")


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel.

    >>> number(12.0), number(0.25)
    ('12', '0.2')
    """
    rounded = f"{value:.1f}"
    return rounded.removesuffix(".0")
