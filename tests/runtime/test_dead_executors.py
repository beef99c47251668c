"""A dead executor as its incident tells it: what is wrong, what can be done, and what was done, until the last job."""

import pytest

from oban_powertools.errors import IllegalRepairError
from tests.support.by_hand import Hand
from tests.support.executing import beat, die, rescue, silent, take, watching
from tests.support.repairing import preview, repair
from tests.support.troubles import plain, project


async def test_an_executor_that_is_gone_is_missing_at_once_and_named_by_what_it_left(hand: Hand) -> None:
    await watching(hand, 60)
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p1")
    await beat(hand, "p1")
    await silent(hand, "p1", 16)

    [dead] = (await project(hand)).values()
    [one, _] = await hand.powertools.lifeline.list_executor_health()
    await rescue(hand)
    rescued = await project(hand)

    assert (one.state, one.process_alive, one.loop_responsive) == ("missing", False, False)
    assert (dead.incident_class, dead.title) == (
        "dead_executor",
        "executor on node-a of default is gone with 1 job in hand",
    )
    assert (dead.evidence["process_alive"], dead.evidence["loop_responsive"]) == (False, False)
    # with nothing in hand it is still missing
    assert [*rescued] == [f"executor_missing:{one.executor_id}"]


async def test_one_of_several_orphans_is_rescued_and_the_incident_stays_until_the_last(hand: Hand) -> None:
    jobs = [await plain(hand, max_attempts=3) for _ in range(3)]
    for job_id in jobs:
        await take(hand, job_id, "p1")
    await die(hand, "p1")
    opened = [await project(hand, rescue={"*": "operator"})]
    [incident] = opened[0].values()
    suggested = [(each.action, each.target_id) for each in incident.repairs]

    for job_id in jobs:
        await repair(hand, "job_rescue", job_id, incident_fingerprint=incident.fingerprint)
        opened.append({each.fingerprint: each for each in await hand.powertools.lifeline.list_incidents()})

    assert suggested == [("executor_rescue_all", incident.subject_id), *[("job_rescue", str(job)) for job in jobs]]
    assert [[(each.id, each.count) for each in found.values()] for found in opened] == [
        [(incident.id, 3)],
        [(incident.id, 2)],
        [(incident.id, 1)],
        [],
    ]
    resolved = await hand.powertools.lifeline.get_incident(incident.id)
    assert (resolved.state, resolved.repairs) == ("resolved", ())
    operators = [(entry.kind, entry.actor) for entry in resolved.timeline if entry.actor]
    assert operators == [("job_rescue", "ops-1")] * 3


async def test_what_is_left_to_an_operator_is_not_told_as_rescued(hand: Hand) -> None:
    job_id = await plain(hand, max_attempts=3)
    await take(hand, job_id, "p1")
    await die(hand, "p1")
    [incident] = (await project(hand)).values()
    await rescue(hand, rescue={"*": "operator"})

    with pytest.raises(IllegalRepairError):
        await preview(hand, "job_retry", job_id, incident_fingerprint=incident.fingerprint)

    timeline = (await hand.powertools.lifeline.get_incident(incident.id)).timeline
    assert [(entry.kind, entry.detail.get("outcome")) for entry in timeline] == [
        ("detected", None),
        ("left", None),
        ("preview_repair", "refused"),
    ]
