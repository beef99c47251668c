"""What an incident's evidence looks like in a terminal."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from oban_powertools.cli.incident_text import _evidence
from oban_powertools.times import instant


@given(at=st.datetimes(timezones=st.just(UTC)), decimals=st.integers(0, 6))
def test_an_instant_in_evidence_reads_as_on_every_other_screen(at: datetime, decimals: int) -> None:
    """PostgreSQL writes as many decimals into JSON as it needs."""
    at -= timedelta(microseconds=at.microsecond % 10 ** (6 - decimals))
    stored = at.replace(tzinfo=None).isoformat(timespec="microseconds").rstrip("0").rstrip(".")
    assert [*_evidence({"last_seen_at": f"{stored}+00:00"})] == [f"last seen at {instant(at)}"]
