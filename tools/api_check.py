"""Says which changes since the last released version break the code of users, as griffe sees it in the public names.

Ends with 1 when there are some: each wants a fragment in ``changelog.d`` that says what to do.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def main() -> int:
    """Returns: the exit code."""
    tag = find_last_tag()
    if tag is None:
        print("nothing is released yet: there is no tag v* to compare with")
        return 0
    print(f"compared with {tag}:", flush=True)
    command = [sys.executable, "-m", "griffe", "check", "oban_powertools", "--search", "src", "--against", tag]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def find_last_tag() -> str | None:
    """The tag of the newest released version that leads to where we are."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
