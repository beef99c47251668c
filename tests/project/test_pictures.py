"""The pictures in the README and the docs are there, are small, and are in no distribution."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.peers import plots
from tests.support.pictures import MOST, PICTURES, TARGET

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "how-to" / "console.md",
    ROOT / "docs" / "design" / "performance.md",
)
NAMES = {f"console-{name}.{scheme}.png" for name in PICTURES for scheme in ("light", "dark")} | {
    f"{name}.{scheme}.svg" for name in plots.PICTURES for scheme in plots.THEMES
}


def test_every_picture_is_there_and_no_other() -> None:
    assert {path.name for path in TARGET.iterdir()} == NAMES, "python -m tests.support.pictures or bench.peers.publish"


def test_every_picture_is_shown_in_light_and_in_dark() -> None:
    shown = {
        (page.parent / source).resolve()
        for page in PAGES
        for source in re.findall(r'src(?:set)?="([^"]+)"', page.read_text())
    }

    assert shown == {TARGET / name for name in NAMES}


def test_no_picture_is_large() -> None:
    assert {path.name: path.stat().st_size for path in TARGET.iterdir() if path.stat().st_size >= MOST} == {}


def test_no_distribution_carries_them_or_names_them(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)

    [archive] = tmp_path.iterdir()
    with tarfile.open(archive) as packed:
        names = packed.getnames()
        [info] = [name for name in names if name.endswith("PKG-INFO")]
        file = packed.extractfile(info)
        assert file is not None
        described = file.read().decode()
    assert [name for name in names if name.endswith(".png") or "/docs/images/" in name] == []
    assert "<picture>" not in described
