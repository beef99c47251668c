"""A class of incidents is one row and its query: what else there is to do fails loudly when it is forgotten."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from oban_powertools import IncidentClass, IncidentState
from oban_powertools.acts import Action
from oban_powertools.explain import incidents
from oban_powertools.explain.incidents import CLASSES, IncidentRow
from tests.support.by_hand import Hand, by_hand
from tests.support.troubles import plain, project

ROOT = Path(__file__).parents[2]
ROW = """
INSERT INTO powertools.incident_classes (place, name, found_by, holds_by, over_because)
VALUES (99, 'sleepy_job', 'detect_sleepy', NULL, 'somebody woke it')
"""
QUERY = """
CREATE FUNCTION powertools.detect_sleepy(whole bool) RETURNS SETOF powertools.detected LANGUAGE sql STABLE AS $$
  SELECT 'sleepy_job', 'sleepy_job:' || j.id, 'job', j.id::text, format('job %s sleeps', j.id), 1::bigint,
    jsonb_build_object('ids', jsonb_build_array(j.id), 'id_type', 'job'), NULL::bigint[], NULL::timestamptz
  FROM public.oban_jobs j WHERE j.state = 'suspended'
$$
"""


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Hand]:
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


async def asleep(hand: Hand) -> int:
    job_id = await plain(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'suspended'")
    return job_id


async def test_a_row_and_its_query_open_list_show_suggest_count_and_end_it(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hand.rows(ROW)
    await hand.rows(QUERY)
    monkeypatch.setattr(incidents, "CLASSES", {**CLASSES, "sleepy_job": IncidentRow(choices=((Action.JOB_RETRY,),))})
    job_id = await asleep(hand)

    listed = (await project(hand))[f"sleepy_job:{job_id}"]
    shown = await hand.powertools.lifeline.get_incident(f"sleepy_job:{job_id}")
    gauges = (await hand.powertools.metrics.read()).values
    await hand.rows("UPDATE oban_jobs SET state = 'completed', completed_at = now()")
    await project(hand)

    assert (listed.incident_class, listed.title) == ("sleepy_job", f"job {job_id} sleeps")
    assert [(each.action, each.target_id) for each in shown.repairs] == [("job_retry", str(job_id))]
    assert [gauge.value for gauge in gauges if gauge.word == "sleepy_job"] == [1]
    over = await hand.powertools.lifeline.get_incident(listed.id)
    assert (over.state, over.timeline[-1].detail["because"]) == (IncidentState.RESOLVED, "somebody woke it")


async def test_a_row_without_its_query_fails_loudly(hand: Hand) -> None:
    await hand.rows(ROW)

    with pytest.raises(psycopg.errors.UndefinedFunction, match="detect_sleepy"):
        await project(hand)


async def test_a_query_that_finds_a_class_without_a_row_fails_loudly(hand: Hand) -> None:
    await hand.rows(ROW.replace("'sleepy_job'", "'drowsy_job'"))
    await hand.rows(QUERY)
    await asleep(hand)

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await project(hand)


async def test_every_class_of_the_database_is_one_of_the_release_and_has_its_row(hand: Hand) -> None:
    stored = {row["name"] for row in await hand.rows("SELECT name FROM powertools.incident_classes")}

    assert stored == {*IncidentClass}
    assert {*CLASSES} == {*IncidentClass}


async def test_every_function_that_a_row_names_exists(hand: Hand) -> None:
    missing = await hand.rows(
        "SELECT name FROM powertools.incident_classes"
        " WHERE to_regprocedure(format('powertools.%I(bool)', found_by)) IS NULL"
        " OR holds_by IS NOT NULL AND to_regprocedure(format('powertools.%I(powertools.incidents)', holds_by)) IS NULL"
    )

    assert missing == []


def test_the_page_names_what_ends_each_class() -> None:
    page = (ROOT / "docs/reference/incidents.md").read_text().partition("## Repairs")[2].partition("## Timeline")[0]
    told = {
        match[1]: set(re.findall(r"`([a-z_]+)`", match[2]))
        for match in re.finditer(r"^\| `([a-z_]+)` \| (.*) \|$", page, re.MULTILINE)
    }
    rows = {name: {*row.choices, *(c for kind in row.of_kind.values() for c in kind)} for name, row in CLASSES.items()}
    ends = {name: {act.value for choices in row for act in choices} for name, row in rows.items() if row}

    assert set(told) == set(ends)
    assert {name: acts - ends[name] for name, acts in told.items() if acts - ends[name]} == {}
