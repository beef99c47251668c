"""A missing executor whose jobs were rescued: its incident names the rescues, though nothing is in its hands now."""

from datetime import timedelta

from tests.support.by_hand import Hand
from tests.support.command import powertools
from tests.support.executing import WITNESS, die, rescue, take
from tests.support.troubles import plain, project

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
