"""Whatever an incident suggests, its preview accepts, and it changes something; also after a cancel."""

from collections.abc import Awaitable, Callable

import pytest

from oban_powertools import Incident
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand
from tests.support.troubles import ADA, TROUBLES, project


async def as_it_is(hand: Hand) -> None:
    """Nobody has done anything yet."""


async def cancelled(hand: Hand) -> None:
    """Every workflow was cancelled meanwhile."""
    for row in await hand.rows("SELECT id FROM powertools.workflows WHERE state = 'running'"):
        await hand.workflows.request_cancel(WorkflowId(row["id"]), **ADA)


async def asked_to_stop(hand: Hand) -> None:
    """Every executing step was asked to stop, and has not yet."""
    for row in await hand.rows("SELECT workflow_id, name FROM powertools.step_states WHERE state = 'executing'"):
        await hand.workflows.recover(WorkflowId(row["workflow_id"]), row["name"], "cancel", **ADA)


async def preview_all(hand: Hand, incident: Incident) -> list[str]:
    """Preview what it suggests; returns what would change nothing."""
    idle: list[str] = []
    for repair in incident.repairs:
        if repair.target_type == "queue":
            continue
        preview = await hand.powertools.lifeline.preview_repair(
            "ada",
            action=repair.action,
            target_type=repair.target_type,
            target_id=repair.target_id,
            to=repair.to,
            incident_fingerprint=incident.fingerprint,
        )
        told = any("told to stop" in warning for warning in preview.warnings)
        idle += [] if preview.total_changes or told else [f"{repair.action} {repair.target_id}"]
    return idle


@pytest.mark.parametrize("meanwhile", [as_it_is, cancelled, asked_to_stop], ids=lambda each: each.__name__)
@pytest.mark.parametrize("name", TROUBLES)
async def test_what_an_incident_suggests_is_accepted_and_changes_something(
    hand: Hand, name: str, meanwhile: Callable[[Hand], Awaitable[None]]
) -> None:
    trouble = TROUBLES[name]
    await trouble.happen(hand)
    await project(hand, **trouble.settings)
    await meanwhile(hand)

    for incident in await hand.powertools.lifeline.list_incidents(limit=1000):
        whole = await hand.powertools.lifeline.get_incident(incident.id)
        assert await preview_all(hand, whole) == [], incident.fingerprint
