"""Durations as text: PostgreSQL reads what was meant, whatever the session's style, and every version takes it."""

import re
from datetime import timedelta
from typing import Final

import pytest
from psycopg.adapt import PyFormat

from oban_powertools.arguments import LONGEST
from oban_powertools.database.values import ADAPTERS
from tests.support.by_hand import Hand

SPANS: Final = [
    timedelta(0),
    timedelta(microseconds=1),
    timedelta(microseconds=-1),
    timedelta(seconds=-59, microseconds=999_999),
    timedelta(hours=1),
    timedelta(days=182, hours=1, microseconds=1),
    LONGEST,
    -LONGEST,
]


def as_text(span: timedelta) -> str:
    dumper = ADAPTERS.get_dumper(timedelta, PyFormat.TEXT)(timedelta)
    return bytes(dumper.dump(span) or b"").decode()


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_no_number_of_a_duration_is_greater_than_postgresql_14_takes(span: timedelta) -> None:
    assert max(map(int, re.findall(r"\d+", as_text(span)))) < 2**31


@pytest.mark.parametrize("style", ["postgres", "postgres_verbose", "sql_standard", "iso_8601"])
async def test_postgresql_reads_the_duration_that_was_meant_in_every_style(hand: Hand, style: str) -> None:
    await hand.rows(f"SET intervalstyle = {style}")

    read = [await hand.one("SELECT extract(epoch FROM %s::text::interval) * 1000000", as_text(span)) for span in SPANS]

    assert read == [span // timedelta(microseconds=1) for span in SPANS]
