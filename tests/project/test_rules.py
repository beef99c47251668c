"""Every rule has one code with its room, one sentence, a place that keeps it and a test: ``docs/design/rules.md``."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from oban_powertools.upkeep.doctor.oban_defects import DEFECTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "rules.md"
FOLDERS = ("src", "tests", "docs", "ops", "changelog.d")
PLACES = (*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
WRITTEN = {".py", ".sql", ".md", ".yml"}
NOT_OURS_TO_WRITE = {PAGE.name, "database.dump"}  # the page itself, and what a release of before had
TEXTS = {path: path.read_text() for path in PLACES if path.suffix in WRITTEN and path.name not in NOT_OURS_TO_WRITE}

ROW = re.compile(r"^\| `([a-z]+/[A-Z]\d+)` \|(.*)", re.MULTILINE)
NAMED = re.compile(r"\b([a-z]+)/([A-Z]\d+)((?:(?:, | and | to )[A-Z]\d+\b)*)")
BARE = re.compile(r"(?<![\w/.%&#\"-])[ABDEFINOPRSW]\d{1,2}\b(?!\.\d|\")")


def test_each_rule_is_defined_once() -> None:
    times = Counter(code for code, _ in ROW.findall(PAGE.read_text()))

    assert {code: count for code, count in times.items() if count > 1} == {}


def test_each_rule_has_a_sentence_a_place_that_keeps_it_and_a_test() -> None:
    row = re.compile(r" [A-Z`][^|]+[.] \| \[[\w.]+\]\(../../src/[^)]+\) \| \[test_\w+\]\(../../tests/[^)]+\) \|")

    assert [code for code, rest in ROW.findall(PAGE.read_text()) if not row.fullmatch(rest)] == []


def test_every_rule_that_is_named_is_defined() -> None:
    unknown = {code: path.name for path, text in TEXTS.items() for code in _named(text) if code not in _defined()}

    assert unknown == {}


def test_every_rule_that_is_defined_is_named_in_code_or_in_a_test() -> None:
    named = {code for path, text in TEXTS.items() if path.suffix in {".py", ".sql"} for code in _named(text)}
    named |= {f"oban/{defect.id}" for defect in DEFECTS}

    assert _defined() - named == set()


def test_no_rule_is_named_without_its_room() -> None:
    bare = {f"{path.name}: {code}" for path, text in TEXTS.items() for code in BARE.findall(_without_named(text))}

    assert bare == set()


def test_every_defect_of_oban_that_the_doctor_tells_of_is_defined() -> None:
    assert {f"oban/{defect.id}" for defect in DEFECTS} - _defined() == set()


def _defined() -> set[str]:
    return {code for code, _ in ROW.findall(PAGE.read_text())}


def _named(text: str) -> Iterator[str]:
    """Every code of a text, also those of ``events/E1, E3`` and ``property/P6 to P9``."""
    for room, first, others in NAMED.findall(text):
        yield f"{room}/{first}"
        last = int(first[1:])
        for joint, letter, number in re.findall(r"(, | and | to )([A-Z])(\d+)", others):
            begin = last + 1 if joint == " to " else int(number)
            last = int(number)
            yield from (f"{room}/{letter}{code}" for code in range(begin, last + 1))


def _without_named(text: str) -> str:
    return NAMED.sub(" ", text.replace('"""', " "))
