"""Gathers the fragments of ``changelog.d`` into ``CHANGELOG.md``, with towncrier.

``python -m tools.changelog`` writes what is not released yet; ``--check`` only says whether that is current;
``--release 0.1.0`` moves it under that version and deletes the fragments.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CHANGELOG: Final = ROOT / "CHANGELOG.md"
UNRELEASED: Final = re.compile(r"(?<=^<!-- unreleased)([^\n]*-->\n).*?(?=^<!-- released)", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Returns: the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--check", action="store_true")
    chosen.add_argument("--release", metavar="VERSION")
    arguments = parser.parse_args()
    if arguments.release:
        run_towncrier("--version", arguments.release, "--yes")
    current = CHANGELOG.read_text()
    gathered = gather(current, run_towncrier("--draft", "--version", "Unreleased"))
    if arguments.check:
        if gathered != current:
            sys.stderr.write("error: CHANGELOG.md is older than changelog.d: run `make changelog`\n")
        return int(gathered != current)
    CHANGELOG.write_text(gathered)
    return 0


def gather(changelog: str, unreleased: str) -> str:
    """The changelog with other words about what is not released yet."""
    return UNRELEASED.sub(lambda mark: f"{mark[1]}\n{unreleased.strip()}\n\n", changelog)


def run_towncrier(*arguments: str) -> str:
    """Returns: what it printed: the section, when it is only a draft."""
    command = [sys.executable, "-m", "towncrier", "build", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
