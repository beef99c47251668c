"""Executors as rows: beats, health, and who is gone (executors/R1, R2)."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import ExecutorState, Settings
from oban_powertools.errors import InvalidSettingError
from tests.support.by_hand import Hand
from tests.support.command import powertools as run_command
from tests.support.executing import LONG_AGO, beat, gone, health, heartbeat, restarted, silent, stop, take, watching
from tests.support.troubles import plain


async def test_a_heartbeat_twice_for_one_executor_is_one_row_with_the_later_time(hand: Hand) -> None:
    await beat(hand, "p1")
    [first] = await hand.powertools.lifeline.list_executor_health()

    await beat(hand, "p1")

    [second] = await hand.powertools.lifeline.list_executor_health()
    assert (second.executor_id, second.node, second.producer_scope) == (first.executor_id, "node-a", "default")
    assert second.beat_at > first.beat_at
    assert second.started_at == first.started_at


@pytest.mark.parametrize(
    "wrong",
    [
        {"executor_id": "x"},
        heartbeat(unknown=1),
        {**heartbeat(), "node": ""},
        {**heartbeat(), "node": 7},
        {**heartbeat(), "producer_scope": "\0"},
        heartbeat(gone_after=3),
        heartbeat(gone_after=timedelta(0)),
        heartbeat("p1"),
    ],
)
async def test_one_heartbeat_that_cannot_be_stored_keeps_all_from_being_stored(hand: Hand, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|keys of a heartbeat"):
        await hand.powertools.lifeline.refresh_heartbeats([heartbeat("p1"), wrong])

    assert await hand.powertools.lifeline.list_executor_health() == []


async def test_several_heartbeats_are_one_statement(hand: Hand) -> None:
    assert await hand.powertools.lifeline.refresh_heartbeats([heartbeat(f"p{n}") for n in range(50)]) == 50
    assert await hand.powertools.lifeline.refresh_heartbeats([]) == 0
    assert await hand.one("SELECT count(DISTINCT beat_at) FROM powertools.executors") == 1


async def test_beats_update_rows_in_place(hand: Hand) -> None:
    for _ in range(300):
        await beat(hand, *[f"p{n}" for n in range(20)])

    assert await hand.one("SELECT pg_relation_size('powertools.executors_pkey')") <= 16384
    assert await hand.one("SELECT pg_relation_size('powertools.executors')") <= 65536


@pytest.mark.parametrize(
    ("seconds", "state"), [(0, "healthy"), (14.999, "healthy"), (15, "late"), (119.999, "late"), (120, "missing")]
)
async def test_the_age_of_the_last_beat_is_the_health(hand: Hand, seconds: float, state: str) -> None:
    await beat(hand, "p1")
    beat_at = (await health(hand))["p1"].beat_at

    found = (await health(hand, beat_at + timedelta(seconds=seconds)))["p1"]

    assert (found.state, found.process_alive) == (state, state == "healthy")


async def test_ages_of_your_own_apply(hand: Hand) -> None:
    await beat(hand, "p1")
    at = (await health(hand))["p1"].beat_at + timedelta(seconds=3)
    late, missing = timedelta(seconds=2), timedelta(seconds=3)

    assert (await health(hand, at, executor_late_after=late))["p1"].state == "late"
    assert (await health(hand, at, executor_late_after=late, executor_missing_after=missing))["p1"].state == "missing"


@pytest.mark.parametrize(
    "settings",
    [
        {"executor_late_after": timedelta(minutes=3)},
        {"executor_late_after": timedelta(0)},
        {"executor_gone_after": timedelta(seconds=0.9)},
        {"rescue_unknown_after": timedelta(0)},
        {"rescue": {"default": "never"}},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Any) -> None:
    with pytest.raises(InvalidSettingError):
        Settings(**settings)


async def test_a_blocked_loop_in_a_living_process_is_late_and_never_missing(hand: Hand) -> None:
    await beat(hand, "p1")
    await hand.rows("UPDATE powertools.executors SET loop_beat_at = loop_beat_at - interval '1 hour'")
    at = (await health(hand))["p1"].beat_at + timedelta(days=1)  # so that the server's start is long ago
    await hand.rows("UPDATE powertools.executors SET beat_at = %s", at)

    found = (await health(hand, at))["p1"]

    assert (found.state, found.process_alive, found.loop_responsive) == ("late", True, False)
    assert await gone(hand) == {}


async def test_one_that_stopped_says_so_and_one_that_beats_again_has_not(hand: Hand) -> None:
    await beat(hand, "p1")
    await stop(hand, "p1")
    stopped = (await health(hand))["p1"]

    await beat(hand, "p1")

    assert (stopped.state, stopped.process_alive, stopped.stopped_at is not None) == (
        ExecutorState.STOPPED,
        False,
        True,
    )
    assert (await health(hand))["p1"].state == "healthy"


async def test_the_health_tells_how_many_jobs_are_in_hand_and_who_runs_comes_first(hand: Hand) -> None:
    await beat(hand, "a", "b")
    await stop(hand, "a")
    jobs = await hand.oban.enqueue_many(*[_plain() for _ in range(3)])
    for job in jobs[:2]:
        await take(hand, job.id, "b")

    found = await health(hand)

    assert [(producer, executor.executing) for producer, executor in found.items()] == [("b", 2), ("a", 0)]


async def test_ages_count_from_the_servers_start(hand: Hand) -> None:
    await beat(hand, "p1")
    started_at = await hand.one("SELECT pg_postmaster_start_time()")
    await hand.rows(
        "UPDATE powertools.executors SET beat_at = %s, loop_beat_at = %s", *[started_at - timedelta(days=1)] * 2
    )

    assert (await health(hand, started_at + timedelta(seconds=14)))["p1"].state == "healthy"
    assert (await health(hand, started_at + timedelta(seconds=120)))["p1"].state == "missing"


async def test_after_a_pause_of_everybody_the_first_who_beats_again_makes_nobody_missing(hand: Hand) -> None:
    await beat(hand, "a", "b")
    for producer in ("a", "b"):
        await silent(hand, producer, 3600)
    await beat(hand, "a")
    at = await hand.one("SELECT beat_at FROM powertools.executors WHERE producer = 'a'")
    await hand.rows("UPDATE powertools.executors SET started_at = started_at - interval '1 day'")

    found = await health(hand, at)
    later = await health(hand, at + timedelta(seconds=60))

    assert {producer: executor.state for producer, executor in found.items()} == {"a": "healthy", "b": "healthy"}
    assert later["b"].state != "healthy"


# Who is gone


async def test_one_that_is_silent_while_another_beats_is_gone(hand: Hand) -> None:
    await watching(hand, 16)
    await beat(hand, "p1", "p2")
    await silent(hand, "p1", 15.5)
    await silent(hand, "p2", 14)

    assert await gone(hand) == {"p1": "gone"}


async def test_without_a_witness_nobody_is_gone(hand: Hand) -> None:
    await beat(hand, "p1", "p2")
    for producer in ("p1", "p2"):
        await silent(hand, producer, 3600)

    assert await gone(hand) == {}


async def test_a_witness_must_have_been_beating_as_long_as_the_other_was_silent(hand: Hand) -> None:
    await watching(hand, 14)
    await beat(hand, "p1")
    await silent(hand, "p1", 3600)
    before = await gone(hand)

    await watching(hand, 15.5)

    assert (before, await gone(hand)) == ({}, {"p1": "gone"})


@pytest.mark.parametrize(("pause", "witness"), [(0.5, True), (1.1, False)])
async def test_a_gap_of_half_its_time_resets_a_witness(hand: Hand, pause: float, witness: bool) -> None:
    await watching(hand, 60, gone_after=2)
    await silent(hand, "witness", pause)
    await beat(hand, "witness", gone_after=2)
    await beat(hand, "p1")
    await silent(hand, "p1", 30)

    assert ("p1" in await gone(hand)) == witness


async def test_a_restart_of_the_server_resets_every_witness(hand: Hand) -> None:
    await watching(hand, 60)
    await beat(hand, "p1")
    await silent(hand, "p1", 30)
    # whose last beat came before the server's start, though a moment ago
    await hand.rows(
        "UPDATE powertools.executors SET gone_after = '10 days', beat_at = pg_postmaster_start_time() - interval '1 ms'"
        " WHERE producer = 'witness'"
    )
    before = await gone(hand)

    await beat(hand, "witness")

    assert (before, await gone(hand)) == ({}, {})
    assert await hand.one("SELECT beating_since = beat_at FROM powertools.executors WHERE producer = 'witness'")


async def test_different_promises_are_compared_by_the_longer_one(hand: Hand) -> None:
    await watching(hand, 60, gone_after=15)
    await beat(hand, "quick", gone_after=2)
    await beat(hand, "slow", gone_after=100)
    await silent(hand, "quick", 14)
    await silent(hand, "slow", 30)
    before = await gone(hand)

    await silent(hand, "quick", 2)

    assert (before, await gone(hand)) == ({}, {"quick": "gone"})


async def test_one_that_stopped_is_gone_at_once_and_needs_no_witness(hand: Hand) -> None:
    await beat(hand, "p1")
    await stop(hand, "p1")

    assert await gone(hand) == {"p1": "stopped"}


async def test_the_command_lists_them(hand: Hand) -> None:
    await beat(hand, "p1", "p2")
    await stop(hand, "p2")

    listed = run_command("executors", "list", dsn=hand.dsn)
    answer = run_command("executors", "list", "--json", dsn=hand.dsn).json

    assert listed.code == 0
    rows = [line.split() for line in listed.out.splitlines() if not line.startswith(" ")]
    assert [row[0] for row in rows] == ["STATUS", "Healthy", "Stopped"]
    assert [executor["state"] for executor in answer["executors"]] == ["healthy", "stopped"]


def _plain() -> Any:
    from tests.support.by_hand import step

    return step(max_attempts=3)


@pytest.mark.parametrize(("successor", "replaced"), [("default", True), ("mail", False), (None, False)])
async def test_a_missing_executor_is_replaced_once_another_serves_its_queue(
    hand: Hand, successor: str | None, *, replaced: bool
) -> None:
    await beat(hand, "p1")
    await silent(hand, "p1", 3600)
    if successor is not None:
        await hand.powertools.lifeline.refresh_heartbeats([heartbeat("p2", producer_scope=successor)])

    async with restarted(hand, LONG_AGO):
        everyone = await hand.powertools.lifeline.list_executor_health()

    p1 = heartbeat("p1")["executor_id"]
    assert {executor.executor_id for executor in everyone if executor.replaced} == ({p1} if replaced else set())


async def test_one_that_has_a_job_in_hand_is_not_replaced(hand: Hand) -> None:
    await beat(hand, "p1")
    await take(hand, await plain(hand), "p1")
    await silent(hand, "p1", 3600)
    await beat(hand, "p2")

    async with restarted(hand, LONG_AGO):
        everyone = await hand.powertools.lifeline.list_executor_health()

    assert [executor.state for executor in everyone if executor.executing] == ["missing"]
    assert not any(executor.replaced for executor in everyone)


async def test_a_replaced_executor_is_not_watched_and_leads_nowhere(hand: Hand) -> None:
    await beat(hand, "p1")
    await silent(hand, "p1", 3600)
    await beat(hand, "p2")

    async with restarted(hand, LONG_AGO):
        listed = run_command("executors", "list", dsn=hand.dsn)
        watched = run_command("watch", dsn=hand.dsn)

    assert "replaced" in listed.out
    assert "next:" not in listed.out
    assert "1 executor\n" in watched.out
