"""The chain: sealed behind everybody's back, whole whatever commits when, and telling of whatever was tampered with."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import psycopg
import pytest

from oban_powertools import Action, Actor, Target, Verification
from oban_powertools.database import Connection, Session, fetch_one
from oban_powertools.operators.audit import Entry, Outcome, seal, verifying, write_entries
from oban_powertools.operators.audit.records import FindingKind
from oban_powertools.privacy.display import DisplayPolicy
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand
from tests.support.command import powertools as command

type Tamper = Callable[[Hand], Coroutine[Any, Any, Any]]

OFF = "ALTER TABLE powertools.{0} DISABLE TRIGGER USER"


@pytest.fixture
async def other(hand: Hand) -> AsyncIterator[Connection]:
    """Another session, whose transactions the test ends."""
    async with await psycopg.AsyncConnection.connect(hand.dsn) as conn:
        yield conn


async def write(hand: Hand, count: int = 1, conn: Connection | None = None) -> list[int]:
    entry = Entry(
        actor=Actor(id="ada"),
        action=Action.WORKFLOW_CANCEL,
        target=Target.of_workflow(WorkflowId(41)),
        outcome=Outcome.EXECUTED,
        before={"state": "running", "open": 1.5},
        details={"ü": "\u2028"},
    )
    return await write_entries(
        hand.session if conn is None else Session(conn, hand.powertools._services.queries),
        DisplayPolicy(),
        [entry] * count,
    )


async def sealed(hand: Hand) -> int:
    return await seal(hand.session) or 0


async def verify(hand: Hand, head: str | None = None) -> Verification:
    return await hand.powertools.audit.verify(head=head)


async def three_seals(hand: Hand) -> None:
    """Seals 1, 2 and 3 with three rows each."""
    for _ in range(3):
        await write(hand, 3)
        await sealed(hand)


async def tamper(hand: Hand, table: str, statement: str) -> None:
    """As a superuser with the triggers switched off, and on again."""
    triggers = await hand.rows(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", f"powertools.{table}"
    )
    on = "; ".join(f"ALTER TABLE powertools.{table} ENABLE ALWAYS TRIGGER {row['tgname']}" for row in triggers)
    await hand.rows(f"{OFF.format(table)}; {statement}; {on}")


async def test_an_empty_audit_is_sound(hand: Hand) -> None:
    found = await verify(hand)

    assert (found.sound, found.rows, found.seals, found.head) == (True, 0, 0, "0:")


async def test_what_was_written_is_sealed_and_verifies(hand: Hand) -> None:
    await three_seals(hand)
    await write(hand)

    found = await verify(hand)

    assert (found.sound, found.rows, found.seals, found.unsealed) == (True, 10, 3, 1)
    newest, *_, oldest = await hand.powertools.audit.list()
    assert (newest.seal_id, oldest.seal_id) == (None, 1)


async def test_the_head_of_each_seal_is_logged(hand: Hand, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "oban_powertools"):
        await three_seals(hand)

    heads = re.findall(r"head (\d+:[0-9a-f]{64})", caplog.text)
    assert [head.split(":")[0] for head in heads] == ["1", "2", "3"]
    assert heads[-1] == (await verify(hand)).head
    assert all([(await verify(hand, head)).sound for head in heads])


async def test_a_row_that_commits_late_is_sealed_late(hand: Hand, other: Connection) -> None:
    [early] = await write(hand, conn=other)
    [late] = await write(hand)
    assert early < late
    assert await sealed(hand) == 1

    await other.commit()

    assert ((await verify(hand)).unsealed, await sealed(hand)) == (1, 1)
    first, second = [await hand.powertools.audit.get(key) for key in (early, late)]
    assert (first.seal_id, second.seal_id) == (2, 1)
    assert (await verify(hand)).sound


async def test_a_row_that_rolls_back_leaves_no_gap_that_looks_like_a_removal(hand: Hand, other: Connection) -> None:
    await write(hand, conn=other)
    await write(hand)
    await other.rollback()
    await sealed(hand)

    assert ((await verify(hand)).sound, (await verify(hand)).rows) == (True, 1)


async def test_fifty_writers_and_two_sealers_leave_one_whole_chain(hand: Hand) -> None:
    async def write_alone(number: int) -> None:
        async with await psycopg.AsyncConnection.connect(hand.dsn) as conn:
            for _ in range(5):
                await write(hand, 2, conn)
                await (conn.rollback() if number % 10 == 0 else conn.commit())

    async def keep_sealing() -> int:
        async with await psycopg.AsyncConnection.connect(hand.dsn, autocommit=True) as conn:
            count = 0
            while not written.is_set():
                count += await seal(Session(conn, hand.powertools._services.queries)) or 0
            return count

    written = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        sealers = [group.create_task(keep_sealing()) for _ in range(2)]
        await asyncio.gather(*map(write_alone, range(50)))
        written.set()

    count = sum(sealer.result() for sealer in sealers) + await sealed(hand)
    found = await verify(hand)
    assert (count, found.rows, found.unsealed, found.findings) == (450, 450, 0, ())
    assert found.seals > 1


async def test_a_writer_does_not_wait_for_a_sealer_nor_a_sealer_for_a_writer(hand: Hand, other: Connection) -> None:
    await write(hand)
    await write(hand, conn=other)
    await hand.rows("SET lock_timeout = '2s'")
    assert await sealed(hand) == 1
    await other.rollback()

    await write(hand)
    await other.execute(hand.powertools._services.queries["seal_audit"], {"batch": 10})
    await write(hand)

    await other.commit()
    assert await sealed(hand) == 1


async def test_while_another_session_seals_nothing_is_sealed_twice(hand: Hand, other: Connection) -> None:
    await write(hand)
    await other.execute(hand.powertools._services.queries["seal_audit"], {"batch": 10})

    assert await sealed(hand) == 0

    await other.rollback()
    assert await sealed(hand) == 1


async def test_the_sweep_seals(hand: Hand) -> None:
    await write(hand, 2)
    hand.powertools._attachment.own_pool = hand.oban._query._pool

    from oban_powertools.runtime.sweep import Swept

    await hand.powertools._sweep(Swept())

    assert (await verify(hand)).unsealed == 0


async def change_a_row(hand: Hand) -> None:
    await tamper(hand, "audit", "UPDATE powertools.audit SET reason = 'harmless' WHERE id = 5")


async def change_a_time(hand: Hand) -> None:
    await tamper(hand, "audit", "UPDATE powertools.audit SET at = at - interval '1 microsecond' WHERE id = 5")


async def change_a_nested_value(hand: Hand) -> None:
    await tamper(hand, "audit", "UPDATE powertools.audit SET before = before || '{\"open\": 1}' WHERE id = 5")


async def remove_a_row(hand: Hand) -> None:
    await tamper(hand, "audit", "DELETE FROM powertools.audit WHERE id = 5")


async def remove_a_row_with_its_link(hand: Hand) -> None:
    await remove_a_row(hand)
    await tamper(hand, "audit_links", "DELETE FROM powertools.audit_links WHERE audit_id = 5")


async def insert_a_row(hand: Hand) -> None:
    await tamper(hand, "audit", SMUGGLED)


SMUGGLED = """
INSERT INTO powertools.audit (id, actor_id, actor_type, action, target_type, target_id, outcome, surface)
OVERRIDING SYSTEM VALUE VALUES (-5, 'kim', 'user', 'workflow_cancel', 'workflow', '41', 'executed', 'api')
"""


async def insert_a_row_into_a_seal(hand: Hand) -> None:
    await hand.rows(SMUGGLED.replace("-5", "500"))
    await tamper(hand, "audit_links", "UPDATE powertools.audit_links SET seal_id = 2 WHERE audit_id = 500")


async def change_a_row_with_its_hash(hand: Hand) -> None:
    await change_a_row(hand)
    await tamper(
        hand,
        "audit_links",
        "UPDATE powertools.audit_links l SET row_hash = powertools.audit_hash_v1(a) FROM powertools.audit a "
        "WHERE a.id = l.audit_id AND a.id = 5",
    )


async def remove_a_seal(hand: Hand) -> None:
    await tamper(hand, "audit_seals", "DELETE FROM powertools.audit_seals WHERE id = 2")


async def change_the_time_of_a_seal(hand: Hand) -> None:
    await tamper(hand, "audit_seals", "UPDATE powertools.audit_seals SET sealed_at = '2020-01-01' WHERE id = 2")


TAMPERING: dict[Tamper, tuple[FindingKind, int | None]] = {
    change_a_row: (FindingKind.CHANGED, 5),
    change_a_time: (FindingKind.CHANGED, 5),
    change_a_nested_value: (FindingKind.CHANGED, 5),
    remove_a_row: (FindingKind.MISSING, 5),
    remove_a_row_with_its_link: (FindingKind.CHAIN_BROKEN, 5),
    insert_a_row: (FindingKind.INSERTED, -5),
    insert_a_row_into_a_seal: (FindingKind.CHAIN_BROKEN, 500),
    change_a_row_with_its_hash: (FindingKind.CHAIN_BROKEN, None),
    remove_a_seal: (FindingKind.CHAIN_BROKEN, None),
    change_the_time_of_a_seal: (FindingKind.CHAIN_BROKEN, None),
}


@pytest.mark.parametrize(
    "change",
    [
        "first_id = first_id - 1",
        "last_id = last_id + 1",
        "count = count + 1",
        "ids = '{[1,99)}'",
        "previous_hash = '\\x00'",
        "hash = '\\x00'",
        "sealed_at = sealed_at + interval '1 us'",
        "kept_until = sealed_at",
        "id = -2",
    ],
)
async def test_a_change_of_anything_in_a_seal_is_found(hand: Hand, change: str) -> None:
    await three_seals(hand)

    await tamper(hand, "audit_seals", f"UPDATE powertools.audit_seals SET {change} WHERE id = 2")

    assert FindingKind.CHAIN_BROKEN in {finding.kind for finding in (await verify(hand)).findings}


@pytest.mark.parametrize("tampering", TAMPERING, ids=lambda tampering: tampering.__name__)
async def test_tampering_behind_the_triggers_is_found_and_named(hand: Hand, tampering: Tamper) -> None:
    await three_seals(hand)

    await tampering(hand)

    found = await verify(hand)
    first = found.findings[0]
    assert (found.sound, first.kind, first.audit_id) == (False, *TAMPERING[tampering])
    ended = command("audit", "verify", dsn=hand.dsn)
    assert (ended.code, ended.out.splitlines()[0]) == (6, f"{first.kind}: {first.message}")


async def test_the_first_of_several_bad_rows_is_told_first(hand: Hand) -> None:
    await three_seals(hand)

    await tamper(hand, "audit", "UPDATE powertools.audit SET reason = 'x' WHERE id IN (8, 3)")
    await tamper(hand, "audit", "DELETE FROM powertools.audit WHERE id = 6")

    assert [(f.audit_id, f.kind) for f in (await verify(hand)).findings] == [
        (3, "changed"),
        (6, "missing"),
        (8, "changed"),
    ]


@pytest.mark.parametrize("page", [1, 2, 4])
async def test_a_verification_in_many_pages_finds_the_same(
    hand: Hand, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await three_seals(hand)
    await write(hand, 2)
    for table, condition in (("audit", "id IN (2, 3, 4, 5, 9)"), ("audit_links", "audit_id IN (4, 7, 8)")):
        await tamper(hand, table, f"DELETE FROM powertools.{table} WHERE {condition}")
    whole = await verify(hand)

    monkeypatch.setattr(verifying, "_ROWS", page)
    monkeypatch.setattr(verifying, "_SEALS", 1)

    assert await verify(hand) == whole
    assert [(f.audit_id, f.kind) for f in whole.findings if f.kind != "chain_broken"] == [
        (2, "missing"),
        (3, "missing"),
        (5, "missing"),
        (7, "inserted"),
        (8, "inserted"),
        (9, "missing"),
    ]
    assert [(f.audit_id, f.seal_id) for f in whole.findings if f.kind == "chain_broken"] == [(4, 2), (7, 3)]


async def test_a_chain_rewritten_from_end_to_end_is_betrayed_by_a_head_that_was_noted(hand: Hand) -> None:
    await three_seals(hand)
    noted = (await verify(hand)).head
    await hand.rows("ALTER TABLE powertools.audit_links DISABLE TRIGGER USER")
    await change_a_row_with_its_hash(hand)
    await tamper(hand, "audit_links", "UPDATE powertools.audit_links SET seal_id = NULL")
    await tamper(hand, "audit_seals", "DELETE FROM powertools.audit_seals")
    await tamper(hand, "audit_chain", "UPDATE powertools.audit_chain SET sealed_to = 0")
    while await hand.one("SELECT sealed FROM powertools.seal_audit_v1(3)"):
        pass

    assert (await verify(hand)).sound
    assert [f.kind for f in (await verify(hand, noted)).findings] == ["head_unknown"]
    assert command("audit", "verify", "--head", noted, dsn=hand.dsn).code == 6


async def test_an_end_that_was_cut_off_with_its_count_is_betrayed_by_a_head_that_was_noted(hand: Hand) -> None:
    await three_seals(hand)
    noted = (await verify(hand)).head

    for table, condition in (("audit", "id > 6"), ("audit_links", "audit_id > 6"), ("audit_seals", "id > 2")):
        await tamper(hand, table, f"DELETE FROM powertools.{table} WHERE {condition}")
    await tamper(hand, "audit_chain", "UPDATE powertools.audit_chain SET sealed_to = 2")

    assert (await verify(hand)).sound
    assert [f.kind for f in (await verify(hand, noted)).findings] == ["head_unknown"]


async def test_a_trigger_that_is_switched_off_is_a_finding(hand: Hand) -> None:
    for change in ("DISABLE TRIGGER audit_guard", "ENABLE TRIGGER audit_guard", "ENABLE REPLICA TRIGGER audit_guard"):
        await hand.rows(f"ALTER TABLE powertools.audit {change}")
        assert [f.kind for f in (await verify(hand)).findings] == ["unguarded"]

    await hand.rows("ALTER TABLE powertools.audit ENABLE ALWAYS TRIGGER audit_guard")
    assert (await verify(hand)).sound


async def test_retention_removes_whole_seals_and_the_chain_goes_on(hand: Hand) -> None:
    await hand.rows("UPDATE powertools.audit_chain SET kept_for_at_least = '0'")
    await three_seals(hand)
    before = (await verify(hand)).head
    oldest = await hand.one("SELECT hash FROM powertools.audit_seals WHERE id = 1")

    assert await hand.one("SELECT powertools.prune_audit_v1('0', 2)") == 6

    found = await verify(hand, before)
    assert (found.sound, found.rows, found.seals, found.head) == (True, 3, 1, before)
    assert (await verify(hand, f"1:{oldest.hex()}")).sound
    await write(hand)
    await sealed(hand)
    assert await hand.one("SELECT powertools.prune_audit_v1('0', 9)") == 4
    await write(hand)
    await sealed(hand)
    assert ((await verify(hand)).sound, (await verify(hand)).head.split(":")[0]) == (True, "5")


async def test_retention_keeps_what_is_younger_than_asked_and_never_less_than_it_must(hand: Hand) -> None:
    await three_seals(hand)

    assert await hand.one("SELECT powertools.prune_audit_v1('90 days', 9)") == 0
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="kept for at least 90 days"):
        await hand.rows("SELECT powertools.prune_audit_v1('89 days', 9)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await hand.rows(
            "UPDATE powertools.audit_chain SET pruned_to = 1, pruned_hash = (SELECT hash FROM powertools.audit_seals "
            "WHERE id = 1)"
        )

    assert (await verify(hand)).rows == 9


async def test_a_verification_reads_what_was_there_at_its_start_whatever_retention_removes_meanwhile(
    hand: Hand, other: Connection
) -> None:
    await hand.rows("UPDATE powertools.audit_chain SET kept_for_at_least = '0'")
    await three_seals(hand)
    queries = hand.powertools._services.queries
    page = {"after": -1, "page": 5000}
    await other.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    before = await fetch_one(other, queries["verify_audit_rows"], page)

    pruned = await hand.one("SELECT powertools.prune_audit_v1('0', 2)")

    assert pruned == 6
    assert await fetch_one(other, queries["verify_audit_rows"], page) == before
    assert (await verify(hand)).sound


async def test_a_session_in_another_time_zone_and_style_verifies_the_same(hand: Hand) -> None:
    await three_seals(hand)
    await hand.rows("SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'German'; SET extra_float_digits = 0")
    await write(hand)
    await sealed(hand)

    assert await hand.one(
        "SELECT bool_and(powertools.audit_hash_v1(a) = l.row_hash) FROM powertools.audit a "
        "JOIN powertools.audit_links l ON l.audit_id = a.id"
    )
    assert (await verify(hand)).sound
