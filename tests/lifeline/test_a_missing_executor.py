"""A missing executor whose jobs were rescued: its incident names the rescues, though nothing is in its hands now."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest_asyncio

from oban_powertools.states import JobId
from tests.support.by_hand import Hand
from tests.support.command import powertools
from tests.support.executing import LONG_AGO, WITNESS, beat, die, heartbeat, rescue, restarted, silent, take, watching
from tests.support.troubles import plain, project


@pytest_asyncio.fixture(autouse=True)
async def _the_server_runs_for_long(hand: Hand) -> AsyncIterator[None]:
    async with restarted(hand, LONG_AGO):
        yield


LATE = timedelta(seconds=1)
MISSING = timedelta(seconds=2)


async def test_what_was_rescued_from_it_stands_in_its_timeline(hand: Hand) -> None:
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p1")
    await die(hand, "p1")
    await rescue(hand, executor_late_after=LATE, executor_missing_after=MISSING)
    # The witness serves the same queue: the executor would count as replaced.
    await hand.rows("DELETE FROM powertools.executors WHERE producer = %s", WITNESS)

    projected = await project(hand, executor_late_after=LATE, executor_missing_after=MISSING)
    [missing] = [one for one in projected.values() if one.incident_class == "executor_missing"]

    incident = await hand.powertools.lifeline.get_incident(missing.id)
    rescued = [entry.detail["job_id"] for entry in incident.timeline if entry.kind == "rescued"]
    assert rescued == [job_id]
    assert f"job {job_id}" in powertools("incidents", "show", str(missing.id), dsn=hand.dsn, COLUMNS="200").out
    assert incident.diagnosis is not None
    assert "1 job was rescued." in [fact.sentence for fact in incident.diagnosis.saw]


# A process that works on several queues is one cause

SAME_PROCESS = "UPDATE powertools.executors SET host = 'h', pid = 7, ticks = 1 WHERE producer = ANY (%s)"


async def process_of_three_queues(hand: Hand) -> None:
    beats = [heartbeat(f"p{n}", producer_scope=queue) for n, queue in enumerate(("mails", "default", "reports"), 1)]
    await hand.powertools.lifeline.refresh_heartbeats(beats)
    await hand.rows(SAME_PROCESS, ["p1", "p2", "p3"])


async def missing_of(hand: Hand) -> dict[str, str]:
    """Fingerprint -> title of the open incidents of missing executors."""
    projected = await project(hand, executor_late_after=LATE, executor_missing_after=MISSING)
    return {name: one.title for name, one in projected.items() if one.incident_class == "executor_missing"}


FIRST = "executor_missing:app:oban:default:node-a:p1"


async def test_a_killed_process_is_one_incident_however_many_queues_it_worked_on(hand: Hand) -> None:
    await process_of_three_queues(hand)
    for producer in ("p1", "p2", "p3"):
        await silent(hand, producer, 300)

    assert await missing_of(hand) == {
        FIRST: "executors on node-a of default, mails, reports are missing, with nothing in hand"
    }


async def test_its_incident_starts_a_process_for_each_of_its_queues(hand: Hand) -> None:
    await process_of_three_queues(hand)
    for producer in ("p1", "p2", "p3"):
        await silent(hand, producer, 300)
    await missing_of(hand)

    incident = await hand.powertools.lifeline.get_incident(FIRST)

    assert incident.commands == ("powertools start --queues default:10,mails:10,reports:10",)


async def test_two_processes_are_two_incidents(hand: Hand) -> None:
    await process_of_three_queues(hand)
    for producer in ("p1", "p2", "p3"):
        await silent(hand, producer, 300)
    await hand.rows("UPDATE powertools.executors SET pid = 8 WHERE producer = 'p3'")

    assert await missing_of(hand) == {
        FIRST: "executors on node-a of default, mails are missing, with nothing in hand",
        "executor_missing:app:oban:default:node-a:p3": "executor on node-a of reports is missing, with nothing in hand",
    }


async def test_it_stays_the_same_incident_when_one_of_its_queues_is_served_again(hand: Hand) -> None:
    await process_of_three_queues(hand)
    for producer in ("p1", "p2", "p3"):
        await silent(hand, producer, 300)
    await missing_of(hand)

    await hand.powertools.lifeline.refresh_heartbeats([heartbeat("p4", producer_scope="mails")])

    assert await missing_of(hand) == {
        FIRST: "executors on node-a of default, reports are missing, with nothing in hand"
    }


async def test_a_blocked_process_is_one_incident_with_the_jobs_of_all_its_queues(hand: Hand) -> None:
    await process_of_three_queues(hand)
    jobs = [await plain(hand, max_attempts=3) for _ in range(2)]
    await take(hand, jobs[0], "p1")
    await take(hand, jobs[1], "p3")
    await hand.rows("UPDATE powertools.executors SET loop_beat_at = now() - interval '10 s'")

    projected = await project(hand, executor_late_after=timedelta(seconds=2))

    [late] = projected.values()
    assert late.title == "executors on node-a of default, mails, reports are late: their event loop is blocked"
    assert (late.fingerprint, late.count, late.evidence["ids"]) == (FIRST.replace("missing", "late"), 2, jobs)
    for job_id in jobs:
        explained = await hand.powertools.explain.job(JobId(job_id))
        assert [one.fingerprint for one in explained.incidents] == [late.fingerprint]


async def test_what_any_of_its_executors_had_in_hand_stands_in_its_timeline(hand: Hand) -> None:
    await process_of_three_queues(hand)
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p3")
    for producer in ("p1", "p2", "p3"):
        await silent(hand, producer, 300)
    await watching(hand, 300)
    await rescue(hand, executor_late_after=LATE, executor_missing_after=MISSING)
    await hand.rows("DELETE FROM powertools.executors WHERE producer = %s", WITNESS)
    await missing_of(hand)

    incident = await hand.powertools.lifeline.get_incident(FIRST)

    assert [entry.detail["job_id"] for entry in incident.timeline if entry.kind == "rescued"] == [job_id]


# Nobody lives


async def everybody_died(hand: Hand, *, in_hand: int) -> None:
    await beat(hand, "p1", "p2")
    await project(hand)
    for _ in range(in_hand):
        await take(hand, await plain(hand, max_attempts=3), "p1")
    await hand.rows("UPDATE powertools.executors SET died_at = now(), died_seen_by = 'h'")


async def test_lists_say_at_once_that_nobody_is_left_who_finds_incidents(hand: Hand) -> None:
    await everybody_died(hand, in_hand=1)

    listed = powertools("incidents", "list", dsn=hand.dsn)
    watched = powertools("watch", dsn=hand.dsn, COLUMNS="200")

    assert "nobody is alive to look for incidents, the last look was" in listed.err
    assert "0 incidents; nobody is alive to look for incidents" in watched.out


async def test_as_long_as_one_process_lives_they_do_not(hand: Hand) -> None:
    await everybody_died(hand, in_hand=1)
    await beat(hand, "p2")

    assert "nobody is alive" not in powertools("incidents", "list", dsn=hand.dsn).err
    assert "powertools incidents list" in powertools("executors", "list", dsn=hand.dsn).out


async def test_the_list_of_executors_leads_to_what_helps_when_nobody_lives(hand: Hand) -> None:
    await everybody_died(hand, in_hand=1)

    listed = powertools("executors", "list", dsn=hand.dsn, COLUMNS="200").out

    assert "next: powertools start --queues default:10" in listed
    assert "or: powertools repair preview executor_rescue_all app:oban:default:node-a:p1" in listed
    assert "incidents list" not in listed


async def test_replaced_executors_stand_behind_those_that_matter(hand: Hand) -> None:
    await beat(hand, "p1")
    await silent(hand, "p1", 300)
    await beat(hand, "p2", "p3")

    told = powertools("executors", "list", "--json", dsn=hand.dsn).json["executors"]

    assert [each["executor_id"].rpartition(":")[2] for each in told] == ["p2", "p3", "p1"]
