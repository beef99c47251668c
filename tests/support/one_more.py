"""The sources with one more of what has a registry, and what a program says that runs with them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import oban_powertools

SOURCE = Path(oban_powertools.__file__).parent


def copy_sources(folder: Path) -> Path:
    """Copy the package into a folder."""
    copy = folder / "oban_powertools"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def insert(path: Path, text: str, behind: str) -> None:
    """Insert a text behind the one line that begins so."""
    [line] = [line for line in path.read_text().splitlines(keepends=True) if line.startswith(behind)]
    path.write_text(path.read_text().replace(line, line + text))


def run(program: str, folder: Path, *args: str) -> dict[str, Any]:
    """What the program says, as JSON, run with the sources in the folder."""
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
