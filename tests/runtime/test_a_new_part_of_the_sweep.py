"""A part of the sweep is one row and its functions: what else there is to do fails loudly when it is forgotten."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from oban_powertools.database.functions import body_of, functions
from oban_powertools.sweep_parts import PARTS, SweepPart
from tests.support.by_hand import Hand, by_hand
from tests.support.one_more import copy_sources, insert, run

ROW = """    WAKE_SLEEPY = ("wake_sleepy", PartRow(due_when="sleepy()", swept_by="wake", batch=2))
"""
BY_HALVES = ROW.replace('swept_by="wake", batch=2', 'found_by="longest_asleep", swept_by="wake_these"')
FUNCTIONS = """
CREATE OR REPLACE FUNCTION powertools.sleepy() RETURNS SETOF public.oban_jobs
LANGUAGE sql STABLE
AS $$
  SELECT * FROM public.oban_jobs WHERE state = 'suspended'
$$;

CREATE OR REPLACE FUNCTION powertools.longest_asleep(batch int) RETURNS bigint[]
LANGUAGE sql
AS $$
  SELECT ARRAY(SELECT j.id FROM powertools.sleepy() j ORDER BY j.id LIMIT batch)
$$;

CREATE OR REPLACE FUNCTION powertools.wake_these(ids bigint[]) RETURNS void
LANGUAGE sql
AS $$
  UPDATE public.oban_jobs SET state = 'available' WHERE id = ANY (ids)
$$;

CREATE OR REPLACE FUNCTION powertools.wake(batch int, OUT done int, OUT failed int, OUT more bool)
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM powertools.wake_these(powertools.longest_asleep(batch));
  done := batch;
  failed := 0;
  more := EXISTS (SELECT FROM powertools.sleepy());
END $$;
"""
PROGRAM = """
import asyncio, json, sys
from datetime import timedelta
from oban import Oban
from psycopg_pool import AsyncConnectionPool
from oban_powertools import Powertools, Settings, schema
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session, connect
from oban_powertools.upkeep.doctor import examine

JOB = "INSERT INTO oban_jobs (state, queue, worker, max_attempts) VALUES ('suspended', 'q', 'w', 1)"
AWAKE = "SELECT count(*) FROM oban_jobs WHERE state = 'available'"
SUCCEEDED = "SELECT succeeded_at FROM powertools.sweep_parts WHERE name = 'wake_sleepy'"
LATE = "UPDATE powertools.sweep_parts SET succeeded_at = now() - interval '2 min' WHERE name = 'wake_sleepy'"

async def ask(conn, query):
    return (await (await conn.execute(query)).fetchone())[0]

async def until(conn, query, found):
    async with asyncio.timeout(30):
        while not found(await ask(conn, query)):
            await asyncio.sleep(0.05)

async def main(dsn):
    async with await connect(dsn) as conn:
        await schema.install(conn)
        at_first = await ask(conn, SUCCEEDED)
        for _ in range(5):
            await conn.execute(JOB)
        async with AsyncConnectionPool(dsn, open=False) as pool:
            settings = Settings(sweep_every=timedelta(milliseconds=100))
            async with Powertools(Oban(pool=pool, queues={}), settings=settings):
                await until(conn, AWAKE, lambda count: count == 5)
                await until(conn, SUCCEEDED, lambda at: at is not None)
        await conn.execute(LATE)
        report = await examine(Session(conn, Queries(Names())))
    print(json.dumps({
        "at_first": at_first is None,
        "told": [each.subject for each in report.findings if each.check == "sweep"],
    }))

asyncio.run(main(sys.argv[1]))
"""

FORGOTTEN = """
import asyncio, json
from oban import Oban
from psycopg_pool import AsyncConnectionPool
from oban_powertools import Powertools
from oban_powertools.sweep_parts import SweepPart

async def main():
    powertools = Powertools(Oban(pool=AsyncConnectionPool("", open=False), queues={}))
    try:
        await powertools._carry_out(SweepPart.WAKE_SLEEPY, None, due=True)
    except NotImplementedError as error:
        print(json.dumps({"told": str(error)}))

asyncio.run(main())
"""
DUE = re.compile(r"RETURNS SETOF \S+\s+LANGUAGE sql STABLE\s*$")
TALLY = re.compile(r"batch int, OUT done int, OUT failed int, OUT more bool\)")


@pytest.fixture
async def hand(dsn: str) -> AsyncIterator[Hand]:
    """A database of its own, of which functions are taken away."""
    async with by_hand(dsn, turbo=True) as hand:
        yield hand


@pytest.mark.parametrize("row", [ROW, BY_HALVES])
def test_a_row_and_its_functions_are_swept_and_told(empty_dsn: str, tmp_path: Path, row: str) -> None:
    copy = copy_sources(tmp_path)
    insert(copy / "sweep_parts.py", row, "    row: PartRow")
    insert(copy / "database/sql/functions/due.sql", FUNCTIONS, "-- What is due")

    found = run(PROGRAM, tmp_path, empty_dsn)

    assert found["at_first"]
    assert found["told"] == ["the sweep's part wake_sleepy"]


@pytest.mark.parametrize("part", [part for part in SweepPart if part.row.due_when])
def test_what_says_when_a_part_is_due_is_a_query_that_the_planner_puts_in_its_place(part: SweepPart) -> None:
    name = (part.row.due_when or "").partition("(")[0]

    [head] = [function.head for function in functions() if function.name == name]

    assert DUE.search(head)


@pytest.mark.parametrize("part", [SweepPart(name) for name in PARTS])
def test_every_function_that_a_row_names_exists_and_tells_what_it_did(part: SweepPart) -> None:
    heads = {function.name: function.head for function in functions()}

    if part.row.found_by is None:
        assert TALLY.match(heads[part.row.swept_by or ""].lstrip("("))
    else:
        assert heads[part.row.found_by].startswith("batch int) RETURNS bigint[]")
        assert re.match(r"\w+ bigint\[\]\) RETURNS void", heads[part.row.swept_by or ""])


async def test_a_part_whose_query_is_missing_fails_loudly(hand: Hand) -> None:
    await hand.rows("ALTER FUNCTION powertools.overdue_holds() RENAME TO away")

    with pytest.raises(psycopg.errors.UndefinedFunction, match="overdue_holds"):
        await hand.rows("SELECT powertools.due_parts_v1('5 s', '7 days')")


async def test_a_part_without_a_line_of_its_own_fails_loudly(hand: Hand) -> None:
    with pytest.raises(psycopg.errors.CaseNotFound):
        await hand.rows("SELECT powertools.sweep_part_v1('wake_sleepy', 1)")


def test_a_part_that_nothing_does_fails_loudly(tmp_path: Path) -> None:
    insert(copy_sources(tmp_path) / "sweep_parts.py", ROW.replace('swept_by="wake", ', ""), "    row: PartRow")

    assert run(FORGOTTEN, tmp_path) == {"told": "wake_sleepy"}


def test_each_part_that_is_due_has_its_line_in_the_one_query() -> None:
    lines = re.findall(r"EXISTS \(SELECT FROM powertools\.(.*)\) THEN '(\w+)' END", body_of("due_parts_v1"))

    assert lines == [(part.row.due_when, part.value) for part in SweepPart if part.row.due_when]


@pytest.mark.parametrize("part", [part for part in SweepPart if part.row.swept_by is None])
async def test_a_part_that_no_function_does_is_carried_out_by_python(hand: Hand, part: SweepPart) -> None:
    await hand.powertools._carry_out(part, hand.session, due=True)
