"""A class of incidents is one row and its query: what else there is to do fails loudly when it is forgotten."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from oban_powertools.acts import REPAIRS, Action, TargetType
from oban_powertools.database.functions import body_of
from oban_powertools.incident_classes import IncidentClass
from tests.support.by_hand import Hand, by_hand
from tests.support.one_more import copy_sources, insert, run
from tests.support.troubles import plain, project

ROOT = Path(__file__).parents[2]
ROW = """    SLEEPY_JOB = (
        "sleepy_job",
        IncidentRow(
            found_by="detect_sleepy", over_because="it woke up", advice="Wake it.", ended_by=((Action.JOB_RETRY,),)
        ),
    )
"""
STORED = """
INSERT INTO powertools.incident_classes (name, found_by, over_because)
VALUES ('sleepy_job', 'detect_sleepy', 'it woke up')
"""
QUERY = """
CREATE OR REPLACE FUNCTION powertools.detect_sleepy(whole bool) RETURNS SETOF powertools.detected
LANGUAGE sql STABLE
AS $$
  SELECT 'sleepy_job', 'sleepy_job:' || j.id, 'job', j.id::text, format('job %s sleeps', j.id), 1::bigint,
    jsonb_build_object('ids', jsonb_build_array(j.id), 'id_type', 'job'), NULL::bigint[], NULL::timestamptz
  FROM public.oban_jobs j WHERE j.state = 'suspended'
$$;
"""
PROGRAM = """
import asyncio, json, sys
from oban_powertools import schema, permissions_policy
from oban_powertools.calls import open_calls
from oban_powertools.cli.incident_commands import incidents
from oban_powertools.database import connect

JOB = "INSERT INTO oban_jobs (state, queue, worker, max_attempts) VALUES ('suspended', 'q', 'w', 1) RETURNING id"

async def main(dsn):
    async with await connect(dsn) as conn:
        await schema.install(conn)
        [job_id] = await (await conn.execute(JOB)).fetchone()
        async with open_calls(conn, authorize=permissions_policy()) as calls:
            [listed] = await calls.lifeline.project_incidents()
            [asked] = await calls.lifeline.list_incidents(incident_class="sleepy_job")
            shown = await calls.lifeline.get_incident(listed.fingerprint)
            explained = await calls.explain.job(job_id)
            gauges = (await calls.metrics.read()).values
            await conn.execute("UPDATE oban_jobs SET state = 'completed', completed_at = now()")
            await calls.lifeline.project_incidents()
            over = await calls.lifeline.get_incident(listed.id)
    [option] = [param for param in incidents.commands["list"].params if param.name == "kind"]
    print(json.dumps({
        "job": str(job_id), "fingerprint": asked.fingerprint, "class": listed.incident_class, "title": listed.title,
        "shown": [[each.action, each.target_id] for each in shown.repairs],
        "explained": [[i.incident_class, *(r.action for r in i.repairs)] for i in explained.incidents],
        "gauge": [gauge.value for gauge in gauges if gauge.word == "sleepy_job"],
        "choice": "sleepy_job" in option.type.choices,
        "state": over.state, "because": over.timeline[-1].detail["because"],
    }))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Hand]:
    """A database of its own, which gets a class more."""
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


async def asleep(hand: Hand) -> int:
    job_id = await plain(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'suspended'")
    return job_id


def test_a_row_and_its_query_open_list_show_explain_suggest_count_and_end_it(empty_dsn: str, tmp_path: Path) -> None:
    copy = copy_sources(tmp_path)
    insert(copy / "incident_classes.py", ROW, "    row: IncidentRow")
    insert(copy / "database/sql/functions/incident_classes.sql", QUERY, "-- The classes of incidents")

    found = run(PROGRAM, tmp_path, empty_dsn)

    job = found["job"]
    assert (found["class"], found["title"]) == ("sleepy_job", f"job {job} sleeps")
    assert found["fingerprint"] == f"sleepy_job:{job}"
    assert found["shown"] == [["job_retry", job]]
    assert found["explained"] == [["sleepy_job", "job_retry"]]
    assert (found["gauge"], found["choice"]) == ([1], True)
    assert (found["state"], found["because"]) == ("resolved", "it woke up")


async def test_a_row_without_its_query_fails_loudly(hand: Hand) -> None:
    await hand.rows(STORED)

    with pytest.raises(psycopg.errors.UndefinedFunction, match="detect_sleepy"):
        await project(hand)


async def test_a_query_that_finds_a_class_without_a_row_fails_loudly(hand: Hand) -> None:
    await hand.rows(STORED.replace("'sleepy_job'", "'drowsy_job'"))
    await hand.rows(QUERY)
    await asleep(hand)

    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await project(hand)


async def test_the_database_has_the_rows_of_the_release(hand: Hand) -> None:
    stored = await hand.rows("SELECT * FROM powertools.incident_classes")

    rows = {name: name.row for name in IncidentClass}
    columns = {"found_by", "holds_by", "concerns_by", "over_because"}
    assert {row["name"]: row for row in stored} == {
        name.value: {"name": name.value, **{column: getattr(row, column) for column in columns}}
        for name, row in rows.items()
    }


async def test_every_function_that_a_row_names_exists(hand: Hand) -> None:
    missing = await hand.rows(
        "SELECT name FROM powertools.incident_classes"
        " WHERE to_regprocedure(format('powertools.%I(bool)', found_by)) IS NULL"
        " OR holds_by IS NOT NULL AND to_regprocedure(format('powertools.%I(powertools.incidents)', holds_by)) IS NULL"
        " OR to_regprocedure(format('powertools.%I(powertools.steps, powertools.workflows, oban_jobs)', concerns_by))"
        " IS NULL"
    )

    assert missing == []


def test_a_class_whose_kinds_differ_says_of_each_kind_what_ends_it() -> None:
    titled = set(re.findall(r"WHEN '(\w+)' THEN '%s", body_of("detect_outside_edits")))

    assert {*IncidentClass.OUTSIDE_EDIT.row.kinds_ended_by} == titled


def test_what_ends_a_class_are_repairs_and_acts_on_a_queue() -> None:
    named = {act for acts in ENDS.values() for act in acts}

    assert named <= {act.value for act in Action if act in REPAIRS or act.row.targets == (TargetType.QUEUE,)}


def test_the_page_names_what_ends_each_class() -> None:
    page = (ROOT / "docs/reference/incidents.md").read_text().partition("## Repairs")[2].partition("## Timeline")[0]
    told = {
        match[1]: set(re.findall(r"`([a-z_]+)`", match[2]))
        for match in re.finditer(r"^\| `([a-z_]+)` \| (.*) \|$", page, re.MULTILINE)
    }

    assert set(told) == {name for name, acts in ENDS.items() if acts}
    assert {name: acts - ENDS[name] for name, acts in told.items() if acts - ENDS[name]} == {}


def _ends(name: IncidentClass) -> set[Action]:
    ways = [name.row.ended_by, *name.row.kinds_ended_by.values()]
    return {act for choices in ways for acts in choices for act in acts}


ENDS = {name.value: {act.value for act in _ends(name)} for name in IncidentClass}
