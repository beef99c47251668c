"""The files that pages load."""

import base64
import hashlib
import tomllib
from pathlib import Path

from oban_powertools.graph.glyphs import GLYPHS
from oban_powertools.web.static_files import static_files

STATIC = Path(__file__).parents[2] / "src" / "oban_powertools" / "web" / "static"
VENDORED = tomllib.loads((STATIC / "vendor.toml").read_text())["file"]


def test_a_vendored_file_is_what_its_entry_says() -> None:
    hashes = {
        file["name"]: base64.b64encode(hashlib.sha384((STATIC / file["name"]).read_bytes()).digest()).decode()
        for file in VENDORED
    }

    assert hashes == {file["name"]: file["sha384"] for file in VENDORED}


def test_a_vendored_file_has_its_licence_beside_it() -> None:
    assert [file["name"] for file in VENDORED if not (STATIC / file["licence_file"]).read_text()] == []


def test_every_script_and_style_sheet_is_ours_or_vendored() -> None:
    vendored = {file["name"] for file in VENDORED}

    assert {path.name for path in STATIC.glob("*.[jc]s*")} - vendored == {"console.js", "console.css"}


def test_a_file_is_named_after_its_content() -> None:
    file = static_files()["console.css"]

    assert hashlib.sha256(file.content).hexdigest()[:12] in file.served_as


def test_the_sprite_has_every_glyph_of_graphs() -> None:
    sprite = static_files()["icons.svg"].content.decode()

    assert [name for name in GLYPHS if f'id="{name}"' not in sprite] == []
