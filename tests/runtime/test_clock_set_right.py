"""A server's clock that was ahead and is set right switches nothing off (executors/R6)."""

from datetime import timedelta

from tests.support.by_hand import Hand
from tests.support.executing import LONG_AGO, beat, gone, rescue, restarted, silent, stop, take, watching
from tests.support.troubles import TROUBLES, plain, project


async def test_a_server_that_started_by_a_clock_ahead_has_witnesses(hand: Hand) -> None:
    await watching(hand, 60)
    await beat(hand, "p1")
    await silent(hand, "p1", 30)

    async with restarted(hand, "'-infinity'::timestamptz"):
        assert await gone(hand) == {"p1": "gone"}


async def test_a_start_in_the_future_says_nothing(hand: Hand) -> None:
    body: str = await hand.one("SELECT prosrc FROM pg_proc WHERE proname = 'server_started_at'")
    ahead = body.replace("pg_postmaster_start_time()", "(now() + interval '1 h')")

    assert await hand.one("SELECT powertools.server_started_at() = pg_postmaster_start_time()")
    assert await hand.one(f"SELECT ({ahead}) = '-infinity'")


async def ahead(hand: Hand, producer: str) -> None:
    await hand.rows(
        "UPDATE powertools.executors SET started_at = started_at + d, beat_at = beat_at + d,"
        " loop_beat_at = loop_beat_at + d, beating_since = beating_since + d"
        " FROM (SELECT interval '1 h') AS t (d) WHERE producer = %s",
        producer,
    )


async def test_who_beat_last_by_a_clock_ahead_is_gone_when_a_witness_has_beaten_long_enough_since(hand: Hand) -> None:
    await beat(hand, "p1", "witness")
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p1")
    await ahead(hand, "p1")
    await ahead(hand, "witness")
    await beat(hand, "witness")
    reset = await hand.one("SELECT beating_since = beat_at FROM powertools.executors WHERE producer = 'witness'")
    due = await hand.one("SELECT 'rescue' = ANY (powertools.due_parts_v1('1 h', '1 h'))")
    first = await rescue(hand)
    dated = await hand.one(
        "SELECT max(greatest(started_at, beat_at, beating_since)) <= now() FROM powertools.executors"
    )
    await silent(hand, "p1", 16)
    await watching(hand, 16)

    assert (reset, due, first, dated) == (True, True, 0, True)
    assert (await gone(hand), await rescue(hand)) == ({"p1": "gone"}, 1)


async def test_a_projection_dated_ahead_is_no_reason_not_to_project(hand: Hand) -> None:
    await project(hand)
    await hand.rows("UPDATE powertools.incident_projection SET projected_at = now() + interval '1 h'")

    assert await hand.one("SELECT 'project_incidents' = ANY (powertools.due_parts_v1('1 h', '1 h'))")
    assert await hand.one("SELECT powertools.sweep_incidents_v1('1 h')")


async def test_a_settle_fault_dated_ahead_is_tried_again(hand: Hand) -> None:
    await TROUBLES["bookkeeping_fault"].happen(hand)
    await hand.rows("UPDATE powertools.settle_faults SET last_fault_at = now() + interval '1 h'")

    assert (await hand.sweep())[0] == 1


async def test_an_attempt_dated_ahead_of_nobody_is_rescued_when_a_witness_has_watched(hand: Hand) -> None:
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "nobody", ago=-3600)
    await watching(hand, 30)
    async with restarted(hand, LONG_AGO):
        early = await rescue(hand, thorough=True, rescue_unknown_after=timedelta(minutes=2))
        await watching(hand, 180)
        late = await rescue(hand, thorough=True, rescue_unknown_after=timedelta(minutes=2))

    assert (early, late) == (0, 1)


async def test_a_stop_is_still_a_stop(hand: Hand) -> None:
    await beat(hand, "p1")
    await stop(hand, "p1")
    await hand.rows("UPDATE powertools.executors SET stopped_at = stopped_at + interval '1 h'")
    await rescue(hand)

    assert await hand.one("SELECT stopped_at <= now() FROM powertools.executors")
    assert await gone(hand) == {"p1": "stopped"}
