"""Writes the site; see the package."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Final

from sphinx.cmd.build import build_main

from . import links
from .staging import ROOT, stage

HERE: Final = Path(__file__).parent


def main() -> int:
    """Returns: the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "docs")
    output: Path = parser.parse_args().output.absolute()
    source = output.with_name(f"{output.name}-source")
    shutil.rmtree(output, ignore_errors=True)
    stage(source)
    options = ["--quiet", "--fail-on-warning", "--jobs", "2", "--doctree-dir", str(source / ".doctrees")]
    failed = build_main([*options, "--conf-dir", str(HERE), "--builder", "html", str(source), str(output)])
    if failed:
        return failed
    dead = links.find_dead(output)
    sys.stderr.writelines(f"error: {page} links to {target}, which is not there\n" for page, target in dead)
    return int(bool(dead))


if __name__ == "__main__":
    sys.exit(main())
