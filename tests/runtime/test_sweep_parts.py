"""Each part of the sweep has a row: taken by one node at a time, by nobody without rights, with its last success."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

import oban_powertools
from oban_powertools import schema
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session, connect
from oban_powertools.database.migrations import migrations
from oban_powertools.runtime.pulse import Pulse
from oban_powertools.runtime.sweep import Swept
from oban_powertools.schema import install, status
from oban_powertools.sweep_parts import ALL_PARTS
from oban_powertools.upkeep.doctor import examine
from oban_powertools.upkeep.retention.schedule import RetentionSweep
from tests.runtime.test_idle import TROUBLES, sweeping
from tests.support.by_hand import Hand, chain

LOCKS = re.compile(r"pg_(try_)?advisory\w*lock")


@pytest.fixture
async def holder(hand: Hand) -> AsyncIterator[psycopg.AsyncConnection]:
    """Another session, in a transaction that stays open."""
    async with await psycopg.AsyncConnection.connect(hand.dsn) as conn:
        yield conn
        await conn.rollback()


def test_nothing_of_ours_takes_an_advisory_lock_which_any_role_could_hold() -> None:
    sources = [schema.sql()]
    sources += [file.read_text() for file in files("oban_powertools.database.sql").joinpath("queries").iterdir()]
    ours = Path(oban_powertools.__file__).parent
    # A server for tests has no strangers: oban_powertools.testing makes one template there for several processes.
    sources += [file.read_text() for file in ours.rglob("*.py") if ours / "testing" not in file.parents]

    assert [found for source in sources for found in LOCKS.findall(source)] == []


async def test_every_part_has_its_row_from_the_start(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        rows = await (await conn.execute("SELECT name, succeeded_at FROM powertools.sweep_parts")).fetchall()

    assert {*rows} == {(name, None) for name in ALL_PARTS | {"retention"}}


@pytest.mark.parametrize("part", sorted(ALL_PARTS | {"retention"}))
async def test_a_part_is_taken_by_one_session_and_passed_over_by_others(
    hand: Hand, holder: psycopg.AsyncConnection, part: str
) -> None:
    take_part = "SELECT powertools.take_part_v2(%s)"

    first = await (await holder.execute(take_part, (part,))).fetchone()
    second = await hand.one(take_part, part)
    await holder.rollback()
    third = await hand.one(take_part, part)

    assert (first, second, third) == ((True,), False, True)


async def test_a_role_that_may_only_connect_takes_no_part(hand: Hand) -> None:
    await hand.rows("CREATE ROLE powertools_nobody; GRANT USAGE ON SCHEMA powertools TO powertools_nobody")
    try:
        await hand.rows("SET ROLE powertools_nobody")
        for query in ("SELECT powertools.take_part_v2('rescue')", "SELECT FROM powertools.sweep_parts FOR UPDATE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await hand.rows(query)
    finally:
        await hand.rows("RESET ROLE; DROP OWNED BY powertools_nobody; DROP ROLE powertools_nobody")


async def test_a_role_that_reads_takes_no_part(hand: Hand) -> None:
    await hand.rows("CREATE ROLE powertools_looks; GRANT USAGE ON SCHEMA powertools TO powertools_looks")
    await hand.rows("GRANT SELECT ON ALL TABLES IN SCHEMA powertools TO powertools_looks")
    try:
        await hand.rows("SET ROLE powertools_looks")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await hand.rows("SELECT powertools.take_part_v2('rescue')")
    finally:
        await hand.rows("RESET ROLE; DROP OWNED BY powertools_looks; DROP ROLE powertools_looks")


@asynccontextmanager
async def everything_due(hand: Hand) -> AsyncIterator[None]:
    """Every part is tried, because what is due cannot be read, and has something to do."""
    await hand.insert(chain(1))
    await hand.rows("TRUNCATE oban_jobs")
    for part in ("seal_audit", "dispatch_webhooks"):
        await hand.rows(TROUBLES[part])
    await hand.rows("ALTER FUNCTION powertools.due_parts_v1(interval, interval) RENAME TO away")
    try:
        yield
    finally:
        await hand.rows("ALTER FUNCTION powertools.away(interval, interval) RENAME TO due_parts_v1")
        await hand.rows("DELETE FROM powertools.webhook_endpoints")


async def settle_the_rest(hand: Hand, holder: psycopg.AsyncConnection | None = None) -> None:
    if holder is not None:
        await holder.rollback()
    await hand.sweep()


async def sweep_afresh(hand: Hand) -> set[str]:
    """One sweep of a process that has just started; which parts succeeded."""
    await hand.rows("UPDATE powertools.sweep_parts SET succeeded_at = NULL")
    await hand.rows("UPDATE powertools.incident_projection SET projected_at = '-infinity'")
    hand.powertools._pulse = Pulse()
    async with sweeping(hand):
        await hand.powertools._sweep(Swept())
        await hand.powertools._pulse.beat(hand.session)
    hand.powertools._pulse.every.hurry()
    await hand.powertools._pulse.beat(hand.session)
    rows = await hand.rows("SELECT name FROM powertools.sweep_parts WHERE succeeded_at IS NOT NULL")
    return {row["name"] for row in rows}


async def test_what_is_not_due_has_succeeded_too(hand: Hand) -> None:
    assert await sweep_afresh(hand) == ALL_PARTS


async def test_every_part_that_does_its_work_has_succeeded(hand: Hand) -> None:
    async with everything_due(hand):
        assert await sweep_afresh(hand) == ALL_PARTS


@pytest.mark.parametrize("part", sorted(ALL_PARTS - {"keep_events"}))
async def test_a_part_that_another_session_holds_has_not_succeeded_and_all_others_have(
    hand: Hand, holder: psycopg.AsyncConnection, part: str
) -> None:
    async with everything_due(hand):
        await hand.rows("SELECT powertools.take_part_v2(%s)", part)
        await holder.execute("SELECT powertools.take_part_v2(%s)", (part,))
        held = await sweep_afresh_beside(hand, holder)
    await settle_the_rest(hand, holder)

    assert held == ALL_PARTS - {part}


async def sweep_afresh_beside(hand: Hand, holder: psycopg.AsyncConnection) -> set[str]:
    """As ``sweep_afresh``; what is held keeps what it had, which is nothing."""
    hand.powertools._pulse = Pulse()
    async with sweeping(hand):
        await hand.powertools._sweep(Swept())
    hand.powertools._pulse.every.hurry()
    await hand.powertools._pulse.beat(hand.session)
    rows = await hand.rows("SELECT name FROM powertools.sweep_parts WHERE succeeded_at IS NOT NULL")
    return {row["name"] for row in rows}


BREAK = {
    "expire_waits": "sweep_part_v1(text, int)",
    "reconcile": "reconcile_v1(bigint, int, int)",
    "rescue": "rescue_v1(jsonb, int, interval)",
    "project_incidents": "detect_orphans(bool)",
    "keep_events": "place_events_v1(bool)",
    "seal_audit": "seal_audit_v1(int)",
    "dispatch_webhooks": "take_part_v2(text)",
}
"""Part -> the function that it cannot do without."""


@pytest.mark.parametrize("part", BREAK)
async def test_a_part_that_fails_has_not_succeeded(hand: Hand, part: str) -> None:
    name, _, arguments = BREAK[part].partition("(")
    async with everything_due(hand):
        await hand.rows(f"ALTER FUNCTION powertools.{BREAK[part]} RENAME TO broken")
        try:
            succeeded = await sweep_afresh(hand)
        finally:
            await hand.rows(f"ALTER FUNCTION powertools.broken({arguments} RENAME TO {name}")
    await settle_the_rest(hand)

    assert part not in succeeded


async def test_retention_has_succeeded_when_a_run_has_ended_that_nobody_kept_from_pruning(
    hand: Hand, holder: psycopg.AsyncConnection
) -> None:
    sweep = RetentionSweep(first_after=timedelta(0))
    again = RetentionSweep(first_after=timedelta(0))
    await hand.rows("SELECT powertools.take_part_v2('retention')")
    await holder.execute("SELECT powertools.take_part_v2('retention')")

    await sweep.sweep(hand.session)
    held = sweep.ended_well
    await holder.rollback()
    await again.sweep(hand.session)
    freed = again.ended_well
    await again.sweep(hand.session)

    assert (held, freed, again.ended_well) == (False, True, False)


async def test_a_success_is_written_once_in_five_seconds_and_in_place(hand: Hand) -> None:
    for _ in range(100):
        await hand.rows("SELECT powertools.parts_succeeded_v1(%s)", [*ALL_PARTS])
    once = await hand.one("SELECT count(DISTINCT succeeded_at) FROM powertools.sweep_parts WHERE name = 'rescue'")
    for _ in range(500):
        await hand.rows("UPDATE powertools.sweep_parts SET succeeded_at = succeeded_at - interval '1 min'")
        await hand.rows("SELECT powertools.parts_succeeded_v1(%s)", [*ALL_PARTS])

    assert once == 1
    assert await hand.one("SELECT pg_relation_size('powertools.sweep_parts_pkey')") <= 16384


async def test_a_success_that_a_clock_ahead_wrote_is_written_again(hand: Hand) -> None:
    await hand.rows("SELECT powertools.parts_succeeded_v1('{rescue}')")
    await hand.rows("UPDATE powertools.sweep_parts SET succeeded_at = now() + interval '1 h'")

    await hand.rows("SELECT powertools.parts_succeeded_v1('{rescue}')")

    assert await hand.one("SELECT succeeded_at <= now() FROM powertools.sweep_parts WHERE name = 'rescue'")


async def test_the_doctor_names_a_part_that_a_session_holds(hand: Hand, holder: psycopg.AsyncConnection) -> None:
    await hand.rows("UPDATE powertools.sweep_parts SET succeeded_at = now() - interval '2 min'")
    await holder.execute("SELECT powertools.take_part_v2('rescue')")
    await hand.rows("SELECT powertools.parts_succeeded_v1(%s)", [*ALL_PARTS])

    async with await connect(hand.dsn) as conn:
        report = await examine(Session(conn, Queries(Names())))

    assert [found.subject for found in report.findings if found.check == "sweep"] == ["the sweep's part rescue"]


async def test_installs_at_once_install_once(empty_dsn: str) -> None:
    conns = [await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) for _ in range(4)]
    try:
        applied = await asyncio.gather(*(install(conn) for conn in conns))
        found = await status(conns[0])
    finally:
        for conn in conns:
            await conn.close()

    assert sorted(name for names in applied for name in names) == sorted(m.name for m in migrations())
    assert found.pending == ()


async def test_an_install_waits_for_no_advisory_lock(empty_dsn: str) -> None:
    async with (
        await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as holder,
        await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn,
    ):
        await holder.execute("SELECT pg_advisory_lock(hashtextextended('powertools.migrate', 0))")

        async with asyncio.timeout(30):
            assert len(await install(conn)) == len(migrations())
