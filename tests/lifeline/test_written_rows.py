"""How a repair's own rows are told from everybody else's: by the number of the transaction that wrote them.

Rules: repairs/P2.
"""

from typing import Any

import pytest

from tests.support.by_hand import Hand, chain
from tests.support.repairing import execute, preview

TURN = 2**32
"""After so many transactions a row's 32 bits begin again; the server's own count has 64."""

SINCE = "SELECT powertools.is_since(%s::text::xid, %s)"
OURS = "SELECT powertools.is_ours(%s::text::xid, %s)"


@pytest.mark.parametrize("marker", [1000, TURN - 3, TURN, TURN + 3, 5 * TURN - 1, 5 * TURN + 2**31])
@pytest.mark.parametrize(
    ("after", "since"),
    [(0, True), (1, True), (7, True), (2**31 - 1, True), (-1, False), (-7, False), (-(2**31), False)],
)
async def test_a_number_at_or_after_the_mark_is_known_on_both_sides_of_the_turn(
    hand: Hand, marker: int, after: int, since: bool
) -> None:
    written = marker + after
    if written % TURN < 3:  # these three are given to no transaction
        since = False

    assert await hand.one(SINCE, str(written % TURN), marker) is since


@pytest.mark.parametrize("special", [0, 1, 2])
async def test_the_numbers_of_no_transaction_are_never_since(hand: Hand, special: int) -> None:
    for marker in (3, TURN - 2, TURN, 7 * TURN + special):
        assert await hand.one(SINCE, str(special), marker) is False


async def test_only_a_transaction_in_progress_is_ours(hand: Hand) -> None:
    ended = int(await hand.one("SELECT pg_current_xact_id()::text") or 0)
    async with hand.conn.transaction(), hand.conn.transaction():
        top = int(await hand.one("SELECT pg_current_xact_id()::text") or 0)
        await hand.rows("CREATE TEMPORARY TABLE ours AS SELECT 1")
        inner = int(await hand.one("SELECT xmin::text FROM ours") or 0)

        assert inner != top
        assert [await hand.one(OURS, str(number % TURN), ended) for number in (ended, top, inner)] == [
            False,
            True,
            True,
        ]


@pytest.mark.parametrize("ahead", [10**6, 2**31 - 1])
async def test_a_number_that_is_not_given_out_yet_is_of_long_ago(hand: Hand, ahead: int) -> None:
    now = int(await hand.one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text") or 0)

    assert await hand.one(SINCE, str((now + ahead) % TURN), now) is True
    assert await hand.one(OURS, str((now + ahead) % TURN), now) is False


async def _cancelled(hand: Hand) -> tuple[Any, dict[str, set[str]]]:
    """The preview of a cancelled first job of a chain of three: kind -> ids that would change."""
    workflow_id = await hand.insert(chain(3))
    shown = await preview(hand, "job_cancel", (await hand.job(workflow_id, "s0")).id)
    kinds = {change.source for change in shown.changes}
    return shown, {kind: {c.id for c in shown.changes if c.source == kind} for kind in kinds}


async def test_rows_written_inside_exception_blocks_are_seen(hand: Hand) -> None:
    shown, changes = await _cancelled(hand)
    await execute(hand, shown)

    assert {kind: len(ids) for kind, ids in changes.items()} == {"job": 1, "step": 3, "workflow": 1}
    [job] = await hand.rows("SELECT xmin::text FROM oban_jobs")
    [steps] = await hand.rows("SELECT array_agg(DISTINCT xmin::text) AS xmins FROM powertools.steps")
    assert job["xmin"] not in steps["xmins"]  # settle's exception block is a subtransaction of its own


@pytest.mark.parametrize(
    ("known", "left"),
    [
        ("row_xmin = (pg_current_xact_id()::text::bigint & 4294967295)::text::xid", {}),
        ("row_xmin = (SELECT j.xmin FROM public.oban_jobs j)", {"job": 1}),
    ],
    ids=["the transaction alone", "the savepoint alone"],
)
async def test_without_the_numbers_of_subtransactions_they_would_be_missed(
    hand: Hand, known: str, left: dict[str, int]
) -> None:
    as_it_is = await hand.one("SELECT pg_get_functiondef('powertools.is_ours'::regproc)")
    await hand.rows(
        "CREATE OR REPLACE FUNCTION powertools.is_ours(row_xmin xid, marker bigint) RETURNS bool"
        f" LANGUAGE sql STABLE AS $$ SELECT {known} $$"
    )

    try:
        _, changes = await _cancelled(hand)
    finally:
        await hand.rows(str(as_it_is))

    assert {kind: len(ids) for kind, ids in changes.items()} == left
