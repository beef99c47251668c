"""The files that pages load: style sheet, script, icons. Their names hold their hashes, so they are cached for ever.

Everything is read once, when the console is made, and served from memory. The sprite of icons is made of the glyphs
that graphs are drawn with, and of those of the shell.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..graph.glyphs import GLYPHS, symbols
from ..graph.stylesheet import stylesheet

VENDORED: Final = "htmx.min.js"

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HASHED: Final = 12
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticFile:
    """One file."""

    served_as: str
    """Its name in addresses, with its hash: ``console.0a1b2c3d4e5f.css``."""

    content: bytes
    """What is sent."""

    media_type: str
    """Its type."""


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Name -> file."""
    folder = files(__package__ or __name__) / "static"

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    contents = {
        "console.css": read("console.css") + stylesheet(tokens=False),
        "console.js": read("console.js"),
        VENDORED: read(VENDORED),
        "icon.svg": read("icon.svg"),
        "icons.svg": read("icons.svg").replace("</svg>", f"{symbols(GLYPHS)}</svg>"),
    }
    return {name: _file(name, content.encode()) for name, content in contents.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class VendoredFile:
    """A file of others that is served from here."""

    name: str
    """Of the file."""

    package: str
    """What it is of."""

    version: str
    """Which one."""

    licence: str
    """Its SPDX name."""


@cache
def vendored() -> tuple[VendoredFile, ...]:
    """What is served from here and was made by others."""
    text = (files(__package__ or __name__) / "static" / "vendor.toml").read_text(encoding="utf-8")
    names = ("name", "package", "version", "licence")
    return tuple(VendoredFile(**{name: file[name] for name in names}) for file in tomllib.loads(text)["file"])


def answer_file(served_as: str) -> Response:
    """The response with a file.

    Raises:
        HTTPException: 404: there is none of this name and hash.
    """
    file = next((file for file in static_files().values() if file.served_as == served_as), None)
    if file is None:
        raise HTTPException(404)
    return Response(file.content, media_type=file.media_type, headers={"Cache-Control": _FOR_EVER})


def _file(name: str, content: bytes) -> StaticFile:
    stem, _, suffix = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:_HASHED]
    return StaticFile(served_as=f"{stem}.{digest}.{suffix}", content=content, media_type=_TYPES[suffix])
