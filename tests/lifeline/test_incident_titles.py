"""The titles of incidents: a sentence for one, and one for several."""

import re
from pathlib import Path

import pytest

import oban_powertools
from tests.support.by_hand import Hand

CLASSES = (Path(oban_powertools.__file__).parent / "database/sql/functions/incident_classes.sql").read_text()
SENTENCES = re.findall(r"'([^'\n]*\{[^'\n]*\|[^'\n]*)'", CLASSES.partition("$$;")[2])


@pytest.mark.parametrize(
    ("number", "title"),
    [
        (0, "0 jobs wait for their turn"),
        (1, "1 job waits for its turn"),
        (2, "2 jobs wait for their turn"),
        (1000, "1000 jobs wait for their turn"),
    ],
)
async def test_a_title_agrees_with_its_number(hand: Hand, number: int, title: str) -> None:
    sentence = "%s {job waits|jobs wait} for {its|their} turn"

    assert await hand.one("SELECT format(powertools.numbered(%s, %s), %s::text)", number, sentence, number) == title


def test_no_title_counts_things_without_a_sentence_for_one() -> None:
    things = r"%s (?:on_finished )?(?:jobs|steps|workflows|waits|results|executors|open steps)\b"
    uncounted = [re.sub(r"\{[^{}]*\}", "", sentence) for sentence in re.findall(r"'([^'\n]*%s[^'\n]*)'", CLASSES)]

    assert [sentence for sentence in uncounted if re.search(things, sentence)] == []
    assert len(SENTENCES) > 12
