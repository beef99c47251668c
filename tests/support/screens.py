"""The screens of ``docs/reference/screens.md``: what the command line prints of ``furnished``, in 80 columns.

``python -m tests.support.screens`` writes the page anew.
"""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "screens.md"
REMAKE: Final = "REMAKE_SCREENS"
"""The variable that lets the test write the page instead of comparing it."""

SCREENS: Final[dict[str, tuple[str, ...]]] = {
    "Incidents": (
        "powertools incidents list",
        "powertools incidents show 1",
        "powertools incidents show 2",
    ),
    "Repairs": (
        "powertools repair preview job_rescue 6 --incident 1",
        "powertools repair show 1",
        "powertools repair list",
        "powertools bulk preview workflow_cancel --id 3 --id 4",
        "powertools bulk status 1",
    ),
    "Workflows": (
        "powertools workflow list",
        "powertools workflow show 3",
        "powertools workflow show 3 --step pack",
        "powertools workflow explain 3",
        "powertools workflow explain 2",
        "powertools workflow commands 4",
    ),
    "Jobs": (
        "powertools job list",
        "powertools job explain 6",
    ),
    "Signals": (
        "powertools signals list",
        "powertools signals waits",
    ),
    "Executors and queues": (
        "powertools executors list",
        "powertools queues list",
        "powertools queues show mail",
        "powertools queues show default",
    ),
    "Webhooks": (
        "powertools webhooks list",
        "powertools webhooks deliveries 1 --limit 3",
    ),
    "Audit": (
        "powertools audit list",
        "powertools audit show 2",
    ),
    "Records and settings": (
        "powertools retention status",
        "powertools settings list",
        "powertools status",
    ),
}
"""Heading -> commands."""

_INTRODUCTION: Final = """\
# Screens

This page shows what every list, and every page about one thing, looks like in a terminal of 80 columns. A test runs
each command against a real database, a shop at three in the morning, and fails when this page differs from what the
command prints. Tokens, hashes and instants differ from run to run, so fixed ones stand here in their place.

[Forms of an answer](cli.md#forms-of-an-answer) explains how tables are laid out and how to use the commands below
them. To make this page anew, run `python -m tests.support.screens`.
"""

_FIXED: Final = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "TOKEN"),
    (re.compile(r"sha256:[0-9a-f]{8}\b"), "sha256:8d25453f"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "2026-11-21 03:12:40Z"),
    (re.compile(r"(\d+) min \d\d s\b"), r"\1 min 30 s"),
    (re.compile(r"\b\d\d s ago"), "20 s ago"),
    (re.compile(r"\b\d{3} s ago"), "390 s ago"),
    (re.compile(r"\b\d\.\d MiB"), "0.1 MiB"),
    (re.compile(r"powertools_\w+ at \S+"), "shop at db.example:5432"),
    (re.compile(r"version \d+"), "version 24"),
)
"""What differs from run to run, and what stands for it."""


def words_of(command: str) -> list[str]:
    """The arguments of a screen's command."""
    return shlex.split(command)[1:]


def page_of(shown: dict[str, str]) -> str:
    """The page.

    Args:
        shown: Command -> what it printed.
    """
    parts = [_INTRODUCTION]
    for heading, commands in SCREENS.items():
        screens = [f"```text\n$ {command}\n{_fixed(shown[command])}```\n" for command in commands]
        parts += [f"## {heading}\n", *screens]
    return "\n".join(parts)


def _fixed(screen: str) -> str:
    for pattern, text in _FIXED:
        screen = pattern.sub(text, screen)
    return screen


if __name__ == "__main__":
    import pytest

    os.environ[REMAKE] = "yes"
    sys.exit(pytest.main(["-q", "tests/cli/test_screens.py"]))
