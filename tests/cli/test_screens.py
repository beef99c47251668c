"""The page of screens is what the command line prints, fits into 80 columns, and has every list."""

import asyncio
import os
import re

import pytest

from oban_powertools.cli import text
from tests.cli.test_cli_reference import COMMANDS
from tests.support.command import powertools
from tests.support.furnished import DEAD, furnished, set_ages
from tests.support.screens import PAGE, REMAKE, SCREENS, page_of, words_of

ALL = [command for commands in SCREENS.values() for command in commands]
LOOKING = {"list", "show", "status", "explain", "commands", "deliveries", "preview", "waits"}
"""``workflow history`` is not among them: its times are to the millisecond, of what really happened."""


@pytest.mark.timeout(300)
async def test_the_page_of_screens_is_what_the_command_line_prints(dsn: str) -> None:
    shown: dict[str, str] = {}
    async with furnished(dsn) as hand:
        for command in ALL:
            await set_ages(hand)
            ended = await asyncio.to_thread(powertools, *words_of(command), dsn=dsn, POWERTOOLS_ACTOR="ada")
            shown[command] = re.sub(r"\d\.\d MiB", "0.1 MiB", ended.out + ended.err)  # it depends on vacuum
    page = page_of(shown)
    if os.environ.get(REMAKE):
        PAGE.write_text(page)

    assert page == PAGE.read_text(), "the page is out of date: python -m tests.support.screens"


def test_every_screen_fits_into_80_columns_but_for_what_is_copied() -> None:
    lines = "".join(PAGE.read_text().split("```")[1::2]).splitlines()
    wide = [line for line in lines if text.width(line) > 80]

    assert [line for line in wide if not line.startswith(("next: ", "  or: ", "warning: ")) and DEAD not in line] == []


def test_every_command_that_lists_or_shows_has_a_screen() -> None:
    looking = {path for path in COMMANDS if path[-1] in LOOKING}
    shown = {path for path in COMMANDS for command in ALL if tuple(words_of(command)[: len(path)]) == path}

    assert looking - shown == set()
