"""Journeys through the code are as short as the page says, and lead through the files that it lists."""

import re
from pathlib import Path

import pytest

from tests.support.by_hand import Hand
from tools.journeys import JOURNEYS

PAGE = Path(__file__).parents[2] / "docs" / "design" / "where-is-what.md"

MOST_STAYS = {"insert": 10, "result": 14, "repair": 14, "event": 7}
"""Journey -> the stays that it may have. An event is noticed by the listener, or by the feed, which may look before."""


def files_on_the_page(title: str) -> set[str]:
    """The files that a journey's list names."""
    _, _, rest = PAGE.read_text().partition(f"### {title}\n")
    return set(re.findall(r"`([\w/]+\.py)`", rest.partition("\n###")[0]))


@pytest.mark.parametrize("name", JOURNEYS)
async def test_a_journey_is_as_short_as_the_page_says_and_leads_through_files_that_it_lists(
    hand: Hand, name: str
) -> None:
    title = (JOURNEYS[name].__doc__ or "").replace("``", "`").rstrip(".")

    walk = await JOURNEYS[name](hand)

    assert len(walk.stays) <= MOST_STAYS[name], [step.name for step in walk.steps]
    assert set(walk.files) - files_on_the_page(title) == set()
