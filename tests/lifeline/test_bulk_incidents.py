"""A bulk repair for an incident: by whichever door it came, its record, each target's and the timeline say so."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from oban_powertools import Incident
from oban_powertools.acts import IN_BULK
from oban_powertools.web.api.endpoints import ROOT
from tests.support.agents import agent
from tests.support.by_hand import Hand
from tests.support.command import powertools as run_command
from tests.support.console import console_of
from tests.support.repairing import OPERATOR, REASON, preview, repair
from tests.support.troubles import TROUBLES, project

FAILING = TROUBLES["failing_jobs"]
"""What its bulk repair retries: jobs of no workflow, five of them."""


async def by_api(hand: Hand, incident: Incident, action: str, ids: list[str]) -> None:
    shown = await hand.powertools.lifeline.preview_bulk(
        OPERATOR, action, {"ids": ids}, incident_fingerprint=incident.fingerprint
    )
    await hand.powertools.lifeline.execute_bulk(OPERATOR, shown.preview_token, REASON)


async def by_command(hand: Hand, incident: Incident, action: str, ids: list[str]) -> None:
    by = ("--actor", "ada", "--json")
    shown = run_command("bulk", "preview", action, "--incident", str(incident.id), *by, dsn=hand.dsn).json
    run_command("bulk", "execute", shown["bulk"]["preview_token"], "--reason", REASON, *by, dsn=hand.dsn)


async def by_console(hand: Hand, incident: Incident, action: str, ids: list[str]) -> None:
    async with console_of(hand) as (_, client):
        made = await client.post("/bulks", data={"act": action, "id": ids, "incident": str(incident.id)})
        await client.post(f"{made.headers['location']}/execute", data={"reason": REASON, "read": "yes"})


async def by_http(hand: Hand, incident: Incident, action: str, ids: list[str]) -> None:
    async with console_of(hand) as (_, client):
        asked = {"action": action, "filter": {"ids": ids}, "incident_fingerprint": incident.fingerprint}
        made = (await client.post(f"{ROOT}/bulks", json=asked)).json()
        decided = {"preview_token": made["preview_token"], "reason": REASON}
        await client.post(f"{ROOT}/bulks/{made['id']}/execute", json=decided)


DOORS: dict[str, Callable[[Hand, Incident, str, list[str]], Awaitable[None]]] = {
    "api": by_api,
    "http": by_http,
    "cli": by_command,
    "web": by_console,
}

SURFACES = {"http": "api"}


async def failing(hand: Hand) -> Incident:
    await FAILING.happen(hand)
    await project(hand)
    return await hand.powertools.lifeline.get_incident(FAILING.fingerprint)


@pytest.mark.parametrize("door", DOORS)
async def test_a_bulk_and_its_targets_carry_the_incident_by_every_door(hand: Hand, door: str) -> None:
    incident = await failing(hand)
    [bulk] = incident.bulk[:1]

    await DOORS[door](hand, incident, bulk.action, list(bulk.ids))

    recorded = await hand.rows("SELECT action, surface, incident_id FROM powertools.audit ORDER BY id")
    assert [row["action"] for row in recorded] == ["execute_bulk", *[bulk.action] * len(bulk.ids)]
    assert {(row["surface"], row["incident_id"]) for row in recorded} == {(SURFACES.get(door, door), incident.id)}
    timeline = (await hand.powertools.lifeline.get_incident(incident.id)).timeline
    assert [entry.kind for entry in timeline if entry.actor] == ["execute_bulk", *[bulk.action] * len(bulk.ids)]


async def test_what_an_agent_previews_for_an_incident_is_for_it(hand: Hand, tmp_path: Path) -> None:
    incident = await failing(hand)
    [bulk] = incident.bulk[:1]

    async with agent(hand.dsn, tmp_path) as one:
        shown = await one.call("preview_bulk", action=bulk.action, filter={"ids": list(bulk.ids)}, incident=incident.id)

    assert shown["bulk"]["incident_fingerprint"] == incident.fingerprint
    assert await hand.one("SELECT incident_fingerprint FROM powertools.bulks") == incident.fingerprint


async def test_a_target_that_has_drifted_carries_the_incident_too(hand: Hand) -> None:
    incident = await failing(hand)
    [bulk] = incident.bulk[:1]
    shown = await hand.powertools.lifeline.preview_bulk(
        OPERATOR, bulk.action, {"ids": bulk.ids}, incident_fingerprint=incident.fingerprint
    )
    await hand.rows("UPDATE oban_jobs SET attempt = attempt + 1, max_attempts = max_attempts + 1")

    await hand.powertools.lifeline.execute_bulk(OPERATOR, shown.preview_token, REASON)

    recorded = await hand.rows("SELECT incident_id FROM powertools.audit WHERE outcome = 'drifted'")
    assert [row["incident_id"] for row in recorded] == [incident.id] * len(bulk.ids)


async def test_a_bulk_that_was_previewed_for_none_carries_none(hand: Hand) -> None:
    incident = await failing(hand)
    [bulk] = incident.bulk[:1]
    shown = await hand.powertools.lifeline.preview_bulk(OPERATOR, bulk.action, {"ids": bulk.ids})

    await hand.powertools.lifeline.execute_bulk(OPERATOR, shown.preview_token, REASON)

    assert await hand.one("SELECT count(incident_id) FROM powertools.audit") == 0


async def test_the_cause_is_warned_of_exactly_where_work_runs_again(hand: Hand) -> None:
    incident = await failing(hand)
    ids = [str(each) for each in incident.evidence["ids"]]
    more: dict[str, Any] = {"incident_fingerprint": incident.fingerprint}

    warned = {
        act: (await hand.powertools.lifeline.preview_bulk(OPERATOR, act, {"ids": ids}, **more)).warnings
        for act in IN_BULK
        if act.row.targets[0] == "job"
    }

    assert {act: any("the cause is still active" in each for each in told) for act, told in warned.items()} == {
        act: act.row.runs_again for act in warned
    }
    one = await preview(hand, "job_retry", ids[0], **more)
    assert [each for each in one.warnings if "the cause is still active" in each]


async def test_the_act_that_ends_an_incident_stands_before_its_end(hand: Hand) -> None:
    await TROUBLES["late_result"].happen(hand)
    incident = (await project(hand))[TROUBLES["late_result"].fingerprint]

    await repair(
        hand,
        "late_result_dismiss",
        incident.evidence["ids"][0],
        incident_fingerprint=TROUBLES["late_result"].fingerprint,
    )

    timeline = (await hand.powertools.lifeline.get_incident(incident.id)).timeline
    assert [entry.kind for entry in timeline][-2:] == ["late_result_dismiss", "resolved"]
