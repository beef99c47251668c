"""Every text that ends in an index is bounded at its door: an entry of an index holds 2,704 bytes."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from oban_powertools import Powertools, Settings
from oban_powertools.errors import InvalidArgumentError, InvalidSettingError, PowertoolsError
from oban_powertools.integrations.sse import StreamLimits
from oban_powertools.operators.authorization import Actor
from tests.support.by_hand import Hand, step

LONG: Final = {
    "letters": secrets.token_hex(4000),  # a text that compresses well would fit
    "four bytes a character": "".join(chr(0x1F300 + byte % 200) for byte in secrets.token_bytes(1353)),
}

INDEXED: Final = {
    "settings.name": "a row is written by migrations, none is added by a call",
    "incident_classes.name": "a row is written by an upgrade",
    "archive.class": "a word of ours",
    "audit.action": "a word of ours",
    "audit.actor_id": "kept distinct, 200 characters: test_a_long_actor_and_target_are_recorded",
    "audit.target_id": "kept distinct, 500 characters: test_a_long_actor_and_target_are_recorded",
    "audit.target_type": "a word of ours",
    "bulks.token_hash": "a hash",
    "executors.executor_id": "test_a_heartbeat_with_a_long_name_is_refused, test_executors_of_oban_have_short_ids",
    "incidents.class": "a word of ours",
    "incidents.fingerprint": "test_an_incident_of_a_long_name_is_kept_and_found",
    "notices.subject_id": "an id: of an executor as executors.executor_id, else a number",
    "notices.topic": "a word of ours",
    "previews.actor_id": "kept distinct, as audit.actor_id",
    "previews.plan_hash": "a hash",
    "previews.token_hash": "a hash",
    "signals.correlation_key": "tests/workflows/test_bounds.py",
    "signals.dedupe_key": "tests/workflows/test_bounds.py",
    "signals.signal": "tests/workflows/test_bounds.py",
    "steps.name": "tests/workflows/test_bounds.py",
    "sweep_parts.name": "a word of ours",
    "waits.correlation_key": "tests/workflows/test_bounds.py",
    "waits.signal": "tests/workflows/test_bounds.py",
    "webhook_deliveries.state": "a word of ours",
    "workflows.idempotency_key": "tests/workflows/test_bounds.py",
    "workflows.name": "tests/workflows/test_bounds.py",
    "workflows.state": "a word of ours",
    "workflows.tags": "tests/workflows/test_bounds.py",
    "steps.to_tsvector": "words of at most 2 kB each, from an error of at most 2,000 characters",
}
"""Column of a varying length in an index of ours -> what bounds it."""


async def test_every_text_in_an_index_has_its_bound(hand: Hand) -> None:
    rows = await hand.rows(
        "SELECT DISTINCT c.relname || '.' || a.attname AS name FROM pg_index x "
        "JOIN pg_class c ON c.oid = x.indrelid JOIN pg_attribute a ON a.attrelid = x.indexrelid "
        "JOIN pg_type t ON t.oid = a.atttypid WHERE c.relnamespace = 'powertools'::regnamespace AND t.typlen = -1"
    )

    assert {row["name"] for row in rows} == set(INDEXED)


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
@pytest.mark.parametrize("name", ["executor_id", "node", "producer", "producer_scope"])
async def test_a_heartbeat_with_a_long_name_is_refused(hand: Hand, name: str, long: str) -> None:
    beat = {"executor_id": "mine:1", "node": "n", "producer_scope": "default", name: long}

    with pytest.raises(InvalidArgumentError, match="text of 1 to 500 characters"):
        await hand.powertools.lifeline.refresh_heartbeats([beat])


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
async def test_executors_of_oban_have_short_ids(dsn: str, hand: Hand, long: str) -> None:
    async with Powertools.open(dsn, queues={"default": 1}, node=long) as powertools:
        [executor] = powertools._attachment.executors()

    assert (len(executor.executor_id), executor.node) == (500, long)


@pytest.mark.parametrize("given", [lambda text: text, lambda text: {"id": text}, lambda text: Actor(id=text)])
@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
async def test_a_long_actor_and_target_are_recorded(hand: Hand, long: str, given: Any) -> None:
    with pytest.raises(PowertoolsError):
        await hand.powertools.lifeline.preview_repair(
            given(long), action="executor_rescue_all", target_type="executor", target_id=long
        )

    [row] = await hand.rows("SELECT length(actor_id) AS actor, length(target_id) AS target FROM powertools.audit")
    assert (row["actor"], row["target"] <= 500) == (200, True)


@pytest.mark.parametrize("long", LONG.values(), ids=LONG)
async def test_an_incident_of_a_long_name_is_kept_and_found(hand: Hand, long: str) -> None:
    """Oban bounds neither workers nor nodes."""
    job = await hand.oban.enqueue(step())
    await hand.rows(
        "UPDATE oban_jobs SET worker = %s, state = 'executing', attempt = 1, attempted_by = ARRAY[%s, 'x'], "
        "attempted_at = timezone('UTC', now()) - interval '1 day'",
        long,
        long,
    )
    await hand.powertools.lifeline.project_incidents()
    await hand.powertools.lifeline.project_incidents()

    [incident] = await hand.powertools.lifeline.list_incidents()
    explained = await hand.powertools.explain.job(str(job.id))
    assert incident.fingerprint.startswith(f"orphaned_jobs:{long[:100]}")
    assert [found.fingerprint for found in explained.incidents] == [incident.fingerprint]
    assert (await hand.powertools.lifeline.get_incident(incident.fingerprint)).id == incident.id


FAR: Final = [datetime.max.replace(tzinfo=UTC), datetime.now(UTC) + timedelta(days=36_526)]


@pytest.mark.parametrize("until", FAR, ids=["the last", "over a century"])
async def test_an_incident_is_muted_for_a_hundred_years_at_most(hand: Hand, until: datetime) -> None:
    with pytest.raises(InvalidArgumentError, match="within 100 years"):
        await hand.powertools.lifeline.mute_incident(1, until=until, reason="because of a test", actor="ada")


NO_SPANS: Final = [timedelta.max, timedelta(days=36_526), timedelta.min, 3.2e9, "1h"]


@pytest.mark.parametrize("span", NO_SPANS, ids=str)
@pytest.mark.parametrize("name", ["lasts_for", "authorize_every", "heartbeat_every", "send_within"])
def test_a_stream_has_spans_that_can_be_counted(name: str, span: Any) -> None:
    with pytest.raises(InvalidSettingError):
        StreamLimits(**{name: span})


@pytest.mark.parametrize("span", NO_SPANS, ids=str)
def test_records_are_kept_for_a_span_that_can_be_counted(span: Any) -> None:
    with pytest.raises(InvalidSettingError, match=r"retention\.workflows"):
        Settings(retention={"workflows": span})


@pytest.mark.parametrize("span", NO_SPANS, ids=str)
@pytest.mark.parametrize(
    "name",
    [name for name, field in Settings.__dataclass_fields__.items() if field.type in (timedelta, timedelta | None)],
)
def test_every_setting_that_is_a_span_can_be_counted(name: str, span: Any) -> None:
    with pytest.raises(InvalidSettingError):
        Settings(**{name: span})
