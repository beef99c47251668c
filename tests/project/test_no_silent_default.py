"""What tells one word of ours from another names them all: a word that was forgotten is found, not passed over."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import oban_powertools
from oban_powertools.database.functions import functions

SOURCE = Path(oban_powertools.__file__).parent
TEXTS = {file.name: file.read_text() for file in (SOURCE / "database/sql/queries").glob("*.sql")}
TEXTS |= {function.name: function.body for function in functions()}

TOKEN = re.compile(r"'(?:[^']|'')*'|--[^\n]*|\b(?:CASE|WHEN|THEN|ELSE|END)\b(?!\s+(?:IF|LOOP)\b)")
"""What a CASE is made of, and what may hide such words."""

WORDS = re.compile(r"\s*'\w+'\s*")

CAUGHT = {
    "detect_executors": "a title is NOT NULL; what the evidence tells of each class is added, and may be nothing",
    "detect_outside_edits": "a title is NOT NULL",
    "evidence_concerns": "CHECK incident_names has the same words",
    "incidents.sql": "CHECK incident_names: what waits and workflows are is looked up beside it",
    "apply_outcomes_v1": "in these states alone a step is open for an outcome; what is not taken is kept as late",
    "settle": "a change is NOT NULL",
    "complete_steps": "as apply_outcomes_v1 and release_v1",
    "jobs_updated_v1": "in any other state a job moves nothing",
    "incident_word_v1": "as incident_word_v3",
    "incident_word_v3": "CHECK incident_state has the same words",
    "executor_word_v1": "as executor_word_v2",
    "executor_word_v2": "the reader raises at a status that is none",
    "release_v1": "a change is NOT NULL",
    "rescue_these": "a state and an action are NOT NULL; nobody knows the executor where none of the whys is said",
    "retention.sql": "a class that is not counted has no number, which is shown",
    "explain.sql": "only in these states it is asked whether a job is lost",
    "check_invariants_v1": "what is none of these is a violation, which is told",
}
"""Function, or file of queries -> what catches a word that none of its expressions CASE names."""


def cases(text: str) -> Iterator[tuple[list[str], bool, bool]]:
    """Each CASE over words: these, whether it has an ELSE, and whether it is a statement, which raises without one."""
    stack: list[tuple[int, list[tuple[str, int, int]]]] = []
    for token in TOKEN.finditer(text):
        word = token[0]
        if word == "CASE" and not text[: token.start()].endswith("END "):
            stack.append((token.start(), []))
        elif word in {"WHEN", "THEN", "ELSE"} and stack:
            stack[-1][1].append((word, token.start(), token.end()))
        elif word == "END" and stack:
            _, marks = stack.pop()
            spans = pairwise(marks)
            whens = [text[a[2] : b[1]] for a, b in spans if (a[0], b[0]) == ("WHEN", "THEN")]
            statement = text[token.end() :].startswith(" CASE")
            if len(whens) > 1 and all(map(WORDS.fullmatch, whens)):
                yield [when.strip() for when in whens], any(mark[0] == "ELSE" for mark in marks), statement


def silent(text: str) -> list[list[str]]:
    """The words of each CASE that passes over a word which it does not name."""
    return [words for words, has_else, statement in cases(text) if has_else or not statement]


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_case_over_words_raises_at_another_or_it_is_said_what_catches_that(name: str) -> None:
    assert silent(TEXTS[name]) == [] or name in CAUGHT


def test_nothing_is_excused_that_needs_no_excuse() -> None:
    assert {name for name, text in TEXTS.items() if silent(text)} == {*CAUGHT}


def test_a_case_that_passes_over_a_word_is_found() -> None:
    nested = "CASE a WHEN 'x' THEN CASE WHEN b THEN 1 END WHEN 'y' THEN 2 ELSE 3 END"
    statement = "CASE a WHEN 'x' THEN z; WHEN 'y' THEN z; END CASE;"

    assert silent(f"{nested}; {statement}") == [["'x'", "'y'"]]


def loud(body: list[ast.stmt]) -> bool:
    """Whether a default raises, or cannot be met."""
    raises = any(isinstance(part, ast.Raise) for part in ast.walk(ast.Module(body, [])))
    return raises or "assert_never" in ast.unparse(ast.Module(body, []))


def silent_matches(source: str) -> list[str]:
    """The subject of each ``match`` over words of ours whose default says nothing."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Match):
            continue
        patterns = [part for case in node.cases for part in ast.walk(case.pattern)]
        of_words = any(isinstance(part, ast.MatchValue) and isinstance(part.value, ast.Attribute) for part in patterns)
        last = node.cases[-1]
        default = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None
        if of_words and default and not loud(last.body):
            found.append(ast.unparse(node.subject))
    return found


def test_a_match_over_words_has_no_silent_default() -> None:
    found = {str(path.relative_to(SOURCE)): silent_matches(path.read_text()) for path in SOURCE.rglob("*.py")}

    assert {path: subjects for path, subjects in found.items() if subjects} == {
        # what the demo tells of: the other changes are no part of its story
        "demo/story.py": ["(event.step_name, event.change)"]
    }


def test_a_silent_default_of_a_match_is_found() -> None:
    assert silent_matches("match a:\n  case B.C:\n    pass\n  case _:\n    x = 1") == ["a"]
