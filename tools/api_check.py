"""Says which changes since the last released version break the code of users, as griffe sees it in the public names.

Public is what ``__all__`` names in a module that the documentation names. Ends with 1 when something breaks: each break
wants a line in ``changelog.d`` that says what to do.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = "oban_powertools"


def main() -> int:
    """Returns: the exit code."""
    tag = find_last_tag()
    if tag is None:
        print("nothing is released yet: there is no tag v* to compare with")
        return 0
    griffe: Any = importlib.import_module("griffe")  # of the extra `release`, which `make check` does without
    then = griffe.load_git(PACKAGE, ref=tag, repo=ROOT, search_paths=["src"])
    now = griffe.load(PACKAGE, search_paths=[ROOT / "src"])
    public = {path for tree in (then, now) for path in find_public(tree, find_documented())}
    breaks = [each for each in griffe.find_breaking_changes(then, now) if _is_of(public, each.obj.path)]
    for each in breaks:
        print(each.explain(griffe.ExplanationStyle.ONE_LINE))
    print(f"{len(breaks)} breaks since {tag}")
    return int(bool(breaks))


def find_last_tag() -> str | None:
    """The tag of the newest released version that leads to where we are."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() or None


def find_documented() -> set[str]:
    """Every module that the documentation for users names, and what it names in them."""
    pages = [ROOT / "README.md", *(ROOT / "docs" / "reference").glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")]
    return {name for page in pages for name in re.findall(rf"\b{PACKAGE}(?:\.[a-z_]+)*", page.read_text())}


def find_public(module: Any, documented: set[str]) -> Iterator[str]:
    """Where each public name of this module, and of those below it, is at home."""
    if module.path in documented:
        for name in module.exports or ():
            if (member := module.members.get(str(name))) is not None:
                yield member.target_path if member.is_alias else member.path
    for below in module.modules.values():
        if not below.is_alias:
            yield from find_public(below, documented)


def _is_of(public: set[str], path: str) -> bool:
    """Whether an object is one of these, or a member of one."""
    parts = path.split(".")
    return any(".".join(parts[:length]) in public for length in range(1, len(parts) + 1))


if __name__ == "__main__":
    sys.exit(main())
