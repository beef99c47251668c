"""What keeps an incident open and until when: said by each open one, also when nothing of it is left to repair."""

from datetime import UTC, datetime, timedelta

import pytest

from oban_powertools.incident_classes import IncidentClass
from oban_powertools.lifeline.incidents.reading import read
from oban_powertools.privacy.display import DisplayPolicy
from tests.support.by_hand import Hand
from tests.support.command import powertools as run_command
from tests.support.repairing import OPERATOR, REASON
from tests.support.troubles import TROUBLES, project

FAILING = TROUBLES["failing_jobs"]


@pytest.mark.parametrize("name", sorted(TROUBLES))
async def test_every_open_incident_says_what_ends_it(hand: Hand, name: str) -> None:
    await TROUBLES[name].happen(hand)

    incident = (await project(hand, **TROUBLES[name].settings))[TROUBLES[name].fingerprint]

    assert isinstance(incident.incident_class, IncidentClass)
    assert f"open until {incident.incident_class.row.over_because}" in incident.kept_open


async def test_with_nothing_left_it_says_so_and_until_when_and_asks_for_nothing(hand: Hand) -> None:
    await FAILING.happen(hand)
    before = (await project(hand))[FAILING.fingerprint]
    [bulk] = before.bulk[:1]
    shown = await hand.powertools.lifeline.preview_bulk(
        OPERATOR, bulk.action, {"ids": bulk.ids}, incident_fingerprint=FAILING.fingerprint
    )

    await hand.powertools.lifeline.execute_bulk(OPERATOR, shown.preview_token, REASON)

    after = await hand.powertools.lifeline.get_incident(FAILING.fingerprint)
    assert (after.state, after.count, after.advice) == ("active", 0, "")
    assert after.holds_until is not None
    assert after.holds_until <= datetime.now(UTC) + timedelta(minutes=10)
    assert after.kept_open.startswith("nothing of it is left to repair; open until no job has failed like this")
    assert f"{after.holds_until.astimezone(UTC):%Y-%m-%d %H:%M:%SZ} at the earliest" in after.kept_open
    printed = run_command("incidents", "show", FAILING.fingerprint, dsn=hand.dsn, COLUMNS="300").out
    assert after.kept_open in printed
    assert "look first" not in printed


async def test_one_that_is_over_is_kept_open_by_nothing(hand: Hand) -> None:
    await FAILING.happen(hand)
    await project(hand)
    await hand.rows("UPDATE powertools.incidents SET state = 'resolved', resolved_at = now(), holds_until = NULL")
    [row] = await hand.rows("SELECT i.class AS incident_class, 'Resolved' AS status, i.* FROM powertools.incidents i")

    assert read(row, DisplayPolicy()).kept_open == ""
