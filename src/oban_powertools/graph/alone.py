"""Make a file of a drawing that is understood without the console: with its colours, its title and its key.

No I/O beyond the package's own stylesheets. Light or dark is what its reader's system is.
"""

from typing import Final

from ..workflows.drawing import as_label
from .markup import number, text
from .place import Picture
from .stylesheet import stylesheet
from .svg import MARGIN, Surroundings, elements, moved, opening
from .text_width import shorten_middle, text_width

_HEAD: Final = 56.0
_FOOT: Final = 34.0
_LEAST_WIDTH: Final = 420.0
_SWATCH: Final = 28.0

_KEY: Final = (
    ("", "a failure cancels the child"),
    (" continue", "the child continues after a failure"),
    (" on-path", "up to the root causes"),
    (" cut", "an edge too long to draw"),
)


def draw_alone(picture: Picture, page: Surroundings) -> str:
    """The drawing as an SVG file."""
    definitions, body = elements(picture, page)
    key = _key(picture)
    key_width = sum(_SWATCH + 24 + text_width(words, 11) for _, words in key)
    width = max(_LEAST_WIDTH, picture.width, key_width) + 2 * MARGIN
    height = _HEAD + picture.height + MARGIN + (_FOOT if key else 0.0)
    parts = [
        opening(page, width, height, f"graph graph-{picture.size}"),
        f"<style>{stylesheet()}</style>{definitions}",
        '<rect class="ground" width="100%" height="100%"/>',
        _head(page, width - 2 * MARGIN),
        moved(body, MARGIN, _HEAD),
    ]
    if key:
        parts.append(moved(_foot(key), MARGIN, height - _FOOT / 2))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{"".join(parts)}</svg>\n'


def _head(page: Surroundings, width: float) -> str:
    title = shorten_middle(as_label(page.title), width, 16)
    words = shorten_middle(as_label(page.description), width, 11)
    return (
        f'<text class="title" x="{number(MARGIN)}" y="24">{text(title)}</text>'
        f'<text class="say" x="{number(MARGIN)}" y="42">{text(words)}</text>'
    )


def _key(picture: Picture) -> list[tuple[str, str]]:
    """The kinds of lines that the picture has; nothing where there is only the plainest."""
    looks = set[str]()
    for part in _all_parts(picture):
        for stroke in part.strokes:
            looks.add(" on-path" if stroke.on_path else " cut" if stroke.is_cut else "")
            if stroke.is_dashed:
                looks.add(" continue")
    return [entry for entry in _KEY if entry[0] in looks] if looks - {""} else []


def _all_parts(picture: Picture) -> list[Picture]:
    inner = [part for placed in picture.boxes if placed.inside is not None for part in _all_parts(placed.inside)]
    return [picture, *inner]


def _foot(key: list[tuple[str, str]]) -> str:
    parts: list[str] = []
    x = 0.0
    for look, words in key:
        parts.append(f'<path class="edge{look}" d="M{number(x)} 0h{number(_SWATCH if look != " cut" else 10)}"/>')
        if look == " cut":
            parts.append(f'<circle class="end" cx="{number(x + 12)}" cy="0" r="2.5"/>')
        parts.append(f'<text class="say" x="{number(x + _SWATCH + 8)}" y="4">{text(words)}</text>')
        x += _SWATCH + 24 + text_width(words, 11)
    return "".join(parts)
