"""Python and the database hide the same secrets, whatever stands around them and however the session is set."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oban_powertools.privacy.redaction import PATTERNS, redacted
from tests.project.test_repository import SOURCE
from tests.support.by_hand import Hand

CANARY = "hunter2"
SPACES = "\t\x0b\f \x85\xa0\u1680\u2003\u2028\u202f\u205f\u3000"
SAMPLES = {
    0: f"postgresql://app:{CANARY}@db/app",
    1: f"-----BEGIN RSA PRIVATE KEY-----MII{CANARY}==-----END RSA PRIVATE KEY-----",
    2: f"Bearer {CANARY}{CANARY}",
    3: f"password = {CANARY}",
    4: f"AKIA{CANARY.upper()}{CANARY.upper()} sk_live_{CANARY}",
    5: CANARY * 4,
    6: f"Ab1-{CANARY}_{CANARY}-from-token_urlsafe",
}
"""Number of a pattern -> a text that it hides."""

KEYED = [
    f"password{before}{sign}{after}{quoted}"
    for before in ("", " ", "\xa0", "\u2003\u3000", "\u200b")
    for sign in ("=", ":", "=>", ":=", "==", " => ")
    for after in ("", " ", "\x85", "\u2028", "\ufeff")
    for quoted in (CANARY, f'"{CANARY}"', f"'{CANARY}'", f'"a {CANARY}"b', f"x\\{CANARY}")
]
FULL_WIDTH = "".join(chr(ord(letter) + 0xFEE0) for letter in "PASSWORD")
ODD = [
    f'%{{"password" => "{CANARY}"}}',
    f'{{\\"client_secret\\": \\"{CANARY} {CANARY}\\"}}',
    f"x-api-key: {CANARY}",
    f"apikey {CANARY}",
    f"{FULL_WIDTH}={CANARY}",
    f"pa\u017f\u017fword={CANARY}",
    f"to\u212aen={CANARY}",
    f"\u00e9sk_live_{CANARY}{CANARY}",
    f"token={CANARY}\u3000{CANARY}",
    f"(password=[redacted]{CANARY})",
    f'password="a"{CANARY}',
]


@pytest.mark.parametrize("number", range(len(PATTERNS)))
def test_every_pattern_has_a_sample_that_it_hides(number: int) -> None:
    assert CANARY not in redacted(SAMPLES[number]).lower()


async def test_the_database_has_the_same_patterns_one_by_one(hand: Hand) -> None:
    ours = [(p.text.replace(r"\b", r"\y"), p.put, "gi" if p.any_case else "g") for p in PATTERNS]

    theirs = await hand.rows("SELECT pattern, put, flags FROM powertools.secret_patterns()")

    assert [(row["pattern"], row["put"], row["flags"]) for row in theirs] == ours


@pytest.mark.parametrize("text", KEYED)
def test_a_value_is_hidden_whatever_parts_it_from_its_key(text: str) -> None:
    assert CANARY not in redacted(text)


async def test_the_database_hides_what_python_hides(hand: Hand) -> None:
    lines = [*KEYED, *ODD, *SAMPLES.values()]

    kept = await hand.rows("SELECT powertools.redacted(line) AS line FROM unnest(%s::text[]) AS line", lines)

    assert {a: row["line"] for a, row in zip(lines, kept, strict=True) if row["line"] != redacted(a)} == {}


FRAGMENTS = st.sampled_from(
    [
        "password",
        "Token",
        "api_key",
        "://",
        "bearer",
        CANARY,
        "eyJ",
        ".",
        "@",
        "'",
        '"',
        "\\",
        "=",
        ":",
        ">",
        "-",
        "_",
        ",",
        "}",
        "\u00e9",
        "\u017f",
        "[redacted]",
        "-----BEGIN PRIVATE KEY-----",
        *SPACES,
    ]
)
LINES = st.lists(FRAGMENTS, max_size=12).map("".join)


@pytest.fixture
def conn(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(lines=st.lists(LINES, max_size=40))
def test_any_line_looks_the_same_from_both(conn: psycopg.Connection, lines: list[str]) -> None:
    kept = conn.execute("SELECT powertools.redacted(line) FROM unnest(%s::text[]) AS line", [lines]).fetchall()

    assert [line for (line,) in kept] == [redacted(line) for line in lines]


@pytest.mark.parametrize("text", SAMPLES.values())
def test_the_database_hides_it_in_a_session_whose_strings_are_not_standard(conn: psycopg.Connection, text: str) -> None:
    conn.execute("SET standard_conforming_strings = off")

    row = conn.execute("SELECT powertools.redacted(%s), powertools.error_class_v1(%s)", [text, '{"error": "a.B: c"}'])

    assert row.fetchone() == (redacted(text), "a.B")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.sql")), ids=lambda path: path.name)
def test_no_sql_of_ours_depends_on_how_a_session_reads_backslashes(path: Path) -> None:
    text = re.sub("--.*", "", path.read_text())

    assert [s for e, s in re.findall(r"(\b[Ee])?('(?:[^']|'')*')", text) if "\\" in s and not e] == []
