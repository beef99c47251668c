"""Without ``atomic``, an insert of many workflows commits slice by slice: what is stored runs, what failed is told."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from oban_powertools import Workflow
from oban_powertools.errors import (
    IdempotencyConflictError,
    InvalidArgumentError,
    InvalidWorkflowError,
    PartlyInsertedError,
)
from tests.support.by_hand import Hand, chain, step

SLICE = 1000
"""Steps that fill a slice."""

STORED = "SELECT count(*) FROM powertools.workflows"


def slices(count: int, *, first: int = 0) -> list[Workflow]:
    """As many workflows as slices, each with a key of its own."""
    return [chain(SLICE, idempotency_key=f"k{place}") for place in range(first, first + count)]


async def conflicting(hand: Hand, key: str) -> None:
    """Another definition has this key."""
    await hand.insert(chain(1, idempotency_key=key))


async def test_all_are_stored_and_their_handles_come_in_the_order_given(hand: Hand) -> None:
    given = [chain(2, idempotency_key="small"), *slices(2), chain(3, idempotency_key="last")]

    handles = await hand.workflows.insert_many(given, atomic=False)

    stored = await hand.rows("SELECT id, idempotency_key, total FROM powertools.workflows ORDER BY id")
    assert [(row["id"], row["idempotency_key"], row["total"]) for row in stored] == [
        (handle.id, workflow.idempotency_key, len(workflow.steps))
        for handle, workflow in zip(handles, given, strict=True)
    ]
    assert await hand.one("SELECT count(*) FROM oban_jobs") == len(given)


async def test_the_first_run_while_the_last_is_not_stored_yet(hand: Hand) -> None:
    async with await AsyncConnection.connect(hand.dsn) as other:
        await hand.powertools.workflows.insert(chain(1, idempotency_key="k2"), conn=other)
        given = [chain(1, idempotency_key="quick"), *slices(3)]
        inserting = asyncio.create_task(hand.workflows.insert_many(given, atomic=False))
        await hand.until_waiting(1)

        [first] = await hand.rows("SELECT id FROM powertools.workflows WHERE idempotency_key = 'quick'")
        await hand.run_all(first["id"])
        ended = (await hand.workflows.get(first["id"])).state
        await other.rollback()
    handles = await inserting

    assert ended == "completed"
    assert handles[0].id == first["id"]


async def test_a_failure_in_the_third_slice_leaves_two_and_names_them(hand: Hand) -> None:
    await conflicting(hand, "k2")

    with pytest.raises(PartlyInsertedError, match="the first 2 of 4 workflows are stored") as raised:
        await hand.workflows.insert_many(slices(4), atomic=False)

    stored = await hand.rows("SELECT id FROM powertools.workflows WHERE idempotency_key IN ('k0', 'k1') ORDER BY id")
    assert list(raised.value.workflow_ids) == [row["id"] for row in stored]
    assert isinstance(raised.value.__cause__, IdempotencyConflictError)
    assert await hand.one(STORED) == 3


async def test_a_repeat_with_idempotency_keys_stores_what_is_missing_and_nothing_twice(hand: Hand) -> None:
    await hand.conn.execute("CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END'")
    await hand.conn.execute(
        "CREATE TRIGGER full_ BEFORE INSERT ON powertools.workflows FOR EACH ROW WHEN (new.idempotency_key = 'k2') "
        "EXECUTE FUNCTION full_()"
    )
    try:
        with pytest.raises(PartlyInsertedError) as raised:
            await hand.workflows.insert_many(slices(4), atomic=False)
    finally:
        await hand.conn.execute("DROP FUNCTION full_ CASCADE")

    handles = await hand.workflows.insert_many(slices(4), atomic=False)

    assert isinstance(raised.value.__cause__, psycopg.errors.DiskFull)
    assert [handle.id for handle in handles[:2]] == list(raised.value.workflow_ids)
    assert [handle.inserted for handle in handles] == [False, False, True, True]
    assert await hand.one("SELECT count(*) FROM oban_jobs") == await hand.one(STORED) == 4


async def test_a_failure_in_the_first_slice_is_raised_as_it_is(hand: Hand) -> None:
    await conflicting(hand, "k0")

    with pytest.raises(IdempotencyConflictError):
        await hand.workflows.insert_many(slices(2), atomic=False)

    assert await hand.one(STORED) == 1


async def test_a_faulty_definition_at_the_end_writes_nothing_of_the_slices_before(hand: Hand) -> None:
    faulty = Workflow("faulty")
    faulty.add("a", step(), deps=["nowhere"])

    with pytest.raises(InvalidWorkflowError):
        await hand.workflows.insert_many([*slices(2), faulty], atomic=False)

    assert await hand.one(STORED) == 0


@pytest.mark.parametrize("conn", [object(), None])
@pytest.mark.parametrize("atomic", [False, "no"])
async def test_atomic_is_a_flag_and_false_needs_a_transaction_of_our_own(hand: Hand, conn: Any, atomic: Any) -> None:
    if conn is None and atomic is False:
        assert await hand.workflows.insert_many([], atomic=atomic) == []
        return

    with pytest.raises(InvalidArgumentError, match="atomic is"):
        await hand.workflows.insert_many(slices(1), atomic=atomic, conn=conn)


async def test_the_steps_of_nested_workflows_fill_a_slice_too(hand: Hand) -> None:
    outer = Workflow("outer", idempotency_key="outer")
    outer.add_workflow("inner", chain(SLICE))
    await conflicting(hand, "k0")

    with pytest.raises(PartlyInsertedError, match="the first 1 of 2"):
        await hand.workflows.insert_many([outer, *slices(1)], atomic=False)
