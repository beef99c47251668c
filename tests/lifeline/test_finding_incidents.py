"""Which incidents a list has, and how many there are."""

from datetime import UTC, datetime, timedelta

import pytest

from oban_powertools.lifeline import Incident, IncidentCounts
from tests.support.by_hand import Hand

SEEN = """
INSERT INTO powertools.incidents (
  fingerprint, class, state, title, subject_type, subject_id, count, evidence, waiting_workflows, waiting_steps,
  first_detected_at, opened_at, last_detected_at, resolved_at, acknowledged_by, acknowledged_at, muted_until
)
SELECT class || ':' || subject, class, state, subject, 'queue', subject, 1, '{}', 1, 3, at, at, at,
  CASE state WHEN 'resolved' THEN at + interval '1 minute' END,
  CASE state WHEN 'acknowledged' THEN 'ada' END, CASE state WHEN 'acknowledged' THEN at END,
  CASE WHEN muted THEN now() + interval '1 day' END
FROM (VALUES
  ('executor_missing', 'one', 'active', false, now() - interval '3 hours'),
  ('executor_missing', 'two', 'active', false, now() - interval '2 hours'),
  ('failing_jobs', 'shop.Mail', 'active', false, now() - interval '1 hour'),
  ('failing_jobs', 'quiet', 'active', true, now() - interval '50 minutes'),
  ('workflow_stuck', 'seen', 'acknowledged', false, now() - interval '40 minutes'),
  ('workflow_stuck', 'late', 'resolved', false, now() - interval '30 minutes'),
  ('workflow_stuck', 'old', 'resolved', false, now() - interval '3 days')
) AS s (class, subject, state, muted, at)
"""


@pytest.fixture
async def seen(hand: Hand) -> Hand:
    await hand.rows(SEEN)
    return hand


def subjects(incidents: list[Incident]) -> list[str]:
    return [incident.subject_id for incident in incidents]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({}, ["seen", "quiet", "shop.Mail", "two", "one"]),
        ({"status": "Needs Review"}, ["shop.Mail", "two", "one"]),
        ({"status": "Acknowledged"}, ["seen"]),
        ({"status": "Muted"}, ["quiet"]),
        ({"status": "Resolved"}, ["late", "old"]),
        ({"status": "Muted", "state": "resolved"}, []),
        ({"text": "MAIL"}, ["shop.Mail"]),
        ({"text": "executor_missing:t"}, ["two"]),
        ({"text": "%"}, []),
        ({"but_not": ["executor_missing", "failing_jobs"]}, ["seen"]),
        ({"status": "Needs Review", "but_not": ["failing_jobs"], "limit": 1}, ["two"]),
    ],
    ids=str,
)
async def test_a_list_has_what_fits_everything_that_is_given(seen: Hand, only: dict, expected: list[str]) -> None:
    assert subjects(await seen.powertools.lifeline.list_incidents(**only)) == expected


async def test_a_list_begins_where_it_is_told_to(seen: Hand) -> None:
    at = datetime.now(UTC) - timedelta(minutes=55)

    assert subjects(await seen.powertools.lifeline.list_incidents(opened_from=at)) == ["seen", "quiet"]


async def test_a_list_finds_whose_an_incident_is(seen: Hand) -> None:
    await seen.powertools.lifeline.assign_incident("executor_missing:one", "Grace", actor="ada")

    assert subjects(await seen.powertools.lifeline.list_incidents(text="grace")) == ["one"]


async def test_incidents_are_counted_by_their_words(seen: Hand) -> None:
    counts = await seen.powertools.lifeline.count_incidents()

    assert counts == IncidentCounts(
        needs_review=3,
        acknowledged=1,
        muted=1,
        resolved=2,
        resolved_lately=1,
        last_resolved_at=counts.last_resolved_at,
        oldest_at=counts.oldest_at,
        waiting_steps=9,
        waiting_workflows=3,
        by_class={"executor_missing": 2, "failing_jobs": 1},
    )


async def test_the_instants_of_the_counts_are_the_oldest_and_the_last(seen: Hand) -> None:
    counts = await seen.powertools.lifeline.count_incidents()
    by_subject = {
        incident.subject_id: incident
        for state in ("active", "resolved")
        for incident in await seen.powertools.lifeline.list_incidents(state=state)
    }

    assert counts.oldest_at == by_subject["one"].opened_at
    assert counts.last_resolved_at == by_subject["late"].resolved_at


async def test_nothing_is_counted_where_nothing_was_ever_wrong(hand: Hand) -> None:
    counts = await hand.powertools.lifeline.count_incidents()

    assert (counts.needs_review, counts.oldest_at, counts.last_resolved_at, counts.by_class) == (0, None, None, {})
