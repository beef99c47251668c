"""The diagnosis of an incident: what was seen, what it means, what nobody knows, and what happens if nobody acts."""

import pytest

from oban_powertools import Incident, IncidentClass
from oban_powertools.incident_classes import find_row
from tests.support.by_hand import Hand
from tests.support.troubles import TROUBLES, project

SENTENCES = ("means", "unknown", "unattended")


@pytest.mark.parametrize("name", [name.value for name in IncidentClass])
def test_every_class_says_what_it_means_what_nobody_knows_and_what_is_to_come(name: str) -> None:
    row = find_row(name)

    said = [getattr(row, field) for field in SENTENCES]
    assert [text for text in said if not text.endswith(".")] == []


async def read_open(hand: Hand, name: str) -> Incident:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    [opened, *_] = (await project(hand, trouble.fingerprint, **trouble.settings)).values()
    return await hand.powertools.lifeline.get_incident(opened.id)


@pytest.mark.parametrize("name", TROUBLES)
async def test_every_incident_says_what_was_seen_and_what_it_affects(hand: Hand, name: str) -> None:
    incident = await read_open(hand, name)

    assert incident.diagnosis is not None
    seen = [fact for fact in incident.diagnosis.saw if fact.sentence and fact.source]
    assert seen
    assert [fact for fact in seen if "{" in fact.sentence] == []
    named = {repair for affected in incident.affected for repair in affected.repairs}
    assert {repair for repair in incident.repairs if repair.target_type not in ("queue", "executor")} <= named


@pytest.mark.parametrize("name", TROUBLES)
async def test_an_incident_that_is_over_says_nothing_of_what_is_to_come(hand: Hand, name: str) -> None:
    opened = await read_open(hand, name)
    await TROUBLES[name].end(hand)
    await project(hand, TROUBLES[name].fingerprint, **TROUBLES[name].settings)

    over = await hand.powertools.lifeline.get_incident(opened.id)

    assert over.diagnosis is not None
    assert over.diagnosis.unattended == ""
    assert over.diagnosis.means != ""
    assert over.affected == ()


async def test_a_list_has_neither_diagnosis_nor_what_is_affected(hand: Hand) -> None:
    await read_open(hand, "dead_executor")

    [listed] = await hand.powertools.lifeline.list_incidents()

    assert (listed.diagnosis, listed.affected) == (None, ())


async def test_a_repair_that_does_not_fit_says_why(hand: Hand) -> None:
    incident = await read_open(hand, "orphaned_jobs")
    [affected, *_] = incident.affected
    await hand.rows("UPDATE oban_jobs SET state = 'completed', completed_at = now()")

    [ended, *_] = (await hand.powertools.lifeline.get_incident(incident.id)).affected

    assert "job_rescue" in {repair.action for repair in affected.repairs}
    assert [refused.reason for refused in ended.refused if refused.name == "job_rescue"] == [
        f"cannot job_rescue job {ended.target_id}: it is completed"
    ]
