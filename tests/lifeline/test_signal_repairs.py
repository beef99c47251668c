"""A signal that no wait took is given to the wait that was meant, or given up: repairs like any other."""

import asyncio
import re
import shlex
from typing import Any

import pytest

from oban_powertools import Incident, SignalStatus, Workflow
from oban_powertools.config import Names
from oban_powertools.database import Queries, Session
from oban_powertools.errors import (
    IllegalRepairError,
    IncidentMismatchError,
    NotAuthorizedError,
    PreviewDriftedError,
    TargetNotFoundError,
    UnsupportedTargetError,
)
from oban_powertools.lifeline.repairs.repairs import Repairs
from oban_powertools.operators.authorization import Guard, Target
from oban_powertools.states import WorkflowId
from oban_powertools.upkeep.doctor import examine
from tests.support.by_hand import Hand, step
from tests.support.command import powertools
from tests.support.repairing import everything, execute, fields, outcomes, preview, repair
from tests.support.troubles import project

MISSPELT = "Order 7"
PAID = {"paid": 30}
OLD = "UPDATE powertools.signals SET inserted_at = inserted_at - interval '2 h'"
FINGERPRINT = "unclaimed_signal:payment"
STATUS = "SELECT status FROM powertools.signals WHERE id = %s"


async def waiting(hand: Hand, key: str = "order-7", signal: str = "payment") -> WorkflowId:
    workflow = Workflow("order")
    workflow.await_signal("paid", signal=signal, correlation_key=key)
    workflow.add("ship", step(), deps=["paid"])
    return await hand.insert(workflow)


async def sent(hand: Hand, key: str = MISSPELT, signal: str = "payment", **options: Any) -> int:
    delivered = await hand.workflows.signal(signal, key, PAID, **options)
    await hand.rows(OLD)
    return delivered.id


async def the_incident(hand: Hand, fingerprint: str = FINGERPRINT) -> Incident:
    await project(hand)
    return await hand.powertools.lifeline.get_incident(fingerprint)


# Redirected


async def test_a_redirected_signal_is_the_result_of_the_step_that_was_meant(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)

    await repair(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    assert await hand.states(workflow_id) == {"paid": "completed", "ship": "available"}
    assert await hand.workflows.results(workflow_id) == {"paid": PAID}
    [signal] = await hand.rows("SELECT * FROM powertools.signals")
    assert (signal["status"], signal["correlation_key"]) == (SignalStatus.CONSUMED, MISSPELT)
    assert signal["wait_id"] == await hand.one("SELECT id FROM powertools.waits")


async def test_the_doctor_finds_a_redirected_signal_sound(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)

    await repair(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    report = await examine(Session(hand.conn, Queries(Names())), deep=True)
    assert [finding for finding in report.findings if finding.check == "invariants"] == []


async def test_a_preview_of_a_redirection_shows_signal_wait_and_steps_and_leaves_nothing_behind(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    before = await everything(hand)

    shown = await preview(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    assert fields(shown.changes, "signal") == {
        str(signal_id): {"status": "consumed", "wait_id": 1, "consumed_at": "now"}
    }
    assert fields(shown.changes, "wait")["1"]["state"] == "consumed"
    assert {key: row["state"] for key, row in fields(shown.changes, "step").items()} == {
        f"{workflow_id}/0": "completed",
        f"{workflow_id}/1": "available",
    }
    assert shown.warnings == ["the signal's key is Order 7, the wait's order-7"]
    assert await everything(hand) == before


async def test_a_repair_for_its_incident_ends_it_and_both_are_in_the_audit(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    incident = await the_incident(hand)

    shown = await preview(
        hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid", incident_fingerprint=FINGERPRINT
    )
    done = await execute(hand, shown)

    assert (await hand.powertools.lifeline.get_incident(incident.id)).state == "resolved"
    record = await hand.powertools.audit.get(done.audit_id)
    assert (record.action, record.target_type, record.target_id) == ("signal_redirect", "signal", str(signal_id))
    assert (record.workflow_id, record.step, record.incident_id) == (workflow_id, "paid", incident.id)
    assert record.details["arguments"] == {"to": f"{workflow_id}/paid"}


async def test_one_that_was_not_for_any_incident_ends_it_too(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    await the_incident(hand)

    await repair(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    assert await project(hand) == {}


async def test_one_of_several_waits_of_workflows_takes_what_was_ambiguous(hand: Hand) -> None:
    first, second = await waiting(hand), await waiting(hand)
    signal_id = await sent(hand, "order-7")

    await repair(hand, "signal_redirect", signal_id, to=f"{second}/paid")

    assert (await hand.states(first))["paid"] == "awaiting_signal"
    assert (await hand.states(second))["paid"] == "completed"


async def test_what_a_redirection_passes_over_is_a_warning(hand: Hand) -> None:
    workflow_id, other = await waiting(hand), await waiting(hand, "order-8")
    signal_id = await sent(hand, signal="paid", workflow_id=other)
    await hand.rows("UPDATE powertools.signals SET expires_at = now() - interval '1 min'")

    shown = await preview(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    assert shown.warnings == [
        "the signal's name is paid, the wait's payment",
        "the signal's key is Order 7, the wait's order-7",
        f"it was sent to workflow {other}",
        "its sender wanted nobody to take it any more by now",
    ]


# Given up


async def test_a_discarded_signal_is_taken_by_no_wait_that_comes(hand: Hand) -> None:
    signal_id = await sent(hand)

    shown = await repair(hand, "signal_discard", signal_id)

    assert fields(shown.changes, "signal") == {str(signal_id): {"status": "late"}}
    assert shown.total_changes == 1
    assert await hand.states(await waiting(hand, MISSPELT)) == {"paid": "awaiting_signal", "ship": "pending"}
    assert await project(hand) == {}


async def test_a_signal_that_was_given_up_can_still_be_redirected(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    await repair(hand, "signal_discard", signal_id)

    await repair(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    assert (await hand.states(workflow_id))["paid"] == "completed"


async def test_a_repeat_of_a_discarded_signal_changes_nothing(hand: Hand) -> None:
    signal_id = await sent(hand, dedupe_key="bank-1")
    await repair(hand, "signal_discard", signal_id)

    again = await hand.workflows.signal("payment", MISSPELT, PAID, dedupe_key="bank-1")

    assert again.status is SignalStatus.DUPLICATE
    assert await hand.one(STATUS, signal_id) == "late"


async def test_many_of_one_name_are_discarded_at_once(hand: Hand) -> None:
    ids = [await sent(hand, f"k{number}") for number in range(3)]
    other = await sent(hand, signal="approval")
    lifeline = hand.powertools.lifeline

    listed = await lifeline.preview_bulk("ops-1", "signal_discard", {"signal": "payment"})
    done = await lifeline.execute_bulk("ops-1", listed.preview_token, "nobody waits for these")

    assert listed.target_ids == [str(one) for one in ids]
    assert done.outcomes == {"done": 3}
    assert await hand.one(STATUS, other) == "stored"


# What is legal


MADE = {
    "consumed": "UPDATE powertools.signals SET status = 'consumed', wait_id = 0, consumed_at = now() WHERE id = %s",
    "stored": "UPDATE powertools.signals SET status = 'stored' WHERE id = %s",
    "late": "UPDATE powertools.signals SET status = 'late' WHERE id = %s",
    "ambiguous": "UPDATE powertools.signals SET status = 'ambiguous' WHERE id = %s",
    "duplicate": "UPDATE powertools.signals SET status = 'duplicate', duplicate_of = 0 WHERE id = %s",
}
LEGAL = {
    "consumed": set[str](),
    "stored": {"signal_redirect", "signal_discard"},
    "late": {"signal_redirect"},
    "ambiguous": {"signal_redirect"},
    "duplicate": set[str](),
}


@pytest.mark.parametrize("status", SignalStatus)
@pytest.mark.parametrize("action", ["signal_redirect", "signal_discard"])
async def test_what_may_be_done_to_a_signal_depends_on_what_became_of_it(
    hand: Hand, status: SignalStatus, action: str
) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    await hand.rows(MADE[status], signal_id)
    to = {"to": f"{workflow_id}/paid"} if action == "signal_redirect" else {}

    [shown] = await asyncio.gather(preview(hand, action, signal_id, **to), return_exceptions=True)

    assert isinstance(shown, IllegalRepairError) == (action not in LEGAL[status])


@pytest.mark.parametrize("name", ["paid", "ship"])
async def test_a_step_that_does_not_wait_takes_nothing(hand: Hand, name: str) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    await hand.workflows.signal("payment", "order-7", PAID)

    with pytest.raises(IllegalRepairError, match=f"step {workflow_id}/{name} does not wait for a signal"):
        await preview(hand, "signal_redirect", signal_id, to=f"{workflow_id}/{name}")


@pytest.mark.parametrize(
    ("action", "arguments"),
    [("signal_redirect", {}), ("signal_discard", {"to": "1/paid"}), ("job_retry", {"to": "1/paid"})],
)
async def test_only_a_redirection_says_to_whom(hand: Hand, action: str, arguments: dict[str, str]) -> None:
    with pytest.raises(UnsupportedTargetError):
        await preview(hand, action, await sent(hand), **arguments)


@pytest.mark.parametrize("to", ["1", "paid", "1/", "x/paid", "1/\x00"])
async def test_what_a_redirection_names_is_a_step(hand: Hand, to: str) -> None:
    with pytest.raises(UnsupportedTargetError):
        await preview(hand, "signal_redirect", await sent(hand), to=to)


async def test_a_step_or_a_signal_that_is_not_there_is_not_found(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)

    with pytest.raises(TargetNotFoundError):
        await preview(hand, "signal_redirect", signal_id, to=f"{workflow_id}/unknown")
    with pytest.raises(TargetNotFoundError):
        await preview(hand, "signal_discard", 4100)


async def test_a_signal_of_another_name_is_not_the_incidents(hand: Hand) -> None:
    await sent(hand)
    other = await sent(hand, signal="approval")
    await the_incident(hand)

    with pytest.raises(IncidentMismatchError):
        await preview(hand, "signal_discard", other, incident_fingerprint=FINGERPRINT)


async def test_the_hosts_policy_knows_the_step_that_takes_it_and_the_workflow_that_it_was_sent_to(hand: Hand) -> None:
    asked: list[Target] = []

    def nobody_may(_: object, __: object, target: Target) -> bool:
        asked.append(target)
        return False

    meant, named = await waiting(hand), await waiting(hand, "order-8")
    signal_id = await sent(hand, workflow_id=named)
    repairs = Repairs(hand.services(guard=Guard(nobody_may)))

    for action, to in (("signal_redirect", f"{meant}/paid"), ("signal_discard", None)):
        with pytest.raises(NotAuthorizedError):
            await repairs.preview_repair("ops-1", action=action, target_type="signal", target_id=signal_id, to=to)

    assert [(one.id, one.workflow_id, one.workflow_name, one.step) for one in asked] == [
        (str(signal_id), meant, "order", "paid"),
        (str(signal_id), named, "order", None),
    ]


# Others at the same time


async def test_a_signal_that_was_taken_since_the_preview_is_drift(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    shown = await preview(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")
    taker = await waiting(hand, MISSPELT)

    with pytest.raises(PreviewDriftedError, match="it is consumed"):
        await execute(hand, shown)

    assert (await hand.states(workflow_id))["paid"] == "awaiting_signal"
    assert (await hand.states(taker))["paid"] == "completed"
    assert await outcomes(hand) == [("signal_redirect", "drifted", "preview_drifted")]


async def test_a_wait_that_ended_since_the_preview_is_drift(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    shown = await preview(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")
    await hand.workflows.signal("payment", "order-7", None)

    with pytest.raises(PreviewDriftedError, match="does not wait"):
        await execute(hand, shown)

    assert await hand.one(STATUS, signal_id) == "stored"


async def test_of_two_waits_that_are_given_one_signal_one_takes_it(hand: Hand) -> None:
    waits, signal_id = [await waiting(hand), await waiting(hand, "order-8")], await sent(hand)
    shown = [await preview(hand, "signal_redirect", signal_id, to=f"{one}/paid") for one in waits]

    ended = await asyncio.gather(*(execute(hand, each) for each in shown), return_exceptions=True)

    assert sorted(isinstance(each, PreviewDriftedError) for each in ended) == [False, True]
    assert sorted([(await hand.states(one))["paid"] for one in waits]) == ["awaiting_signal", "completed"]


# What the incident suggests


async def test_an_incident_suggests_the_wait_that_spells_it_differently_and_to_give_it_up(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)

    incident = await the_incident(hand)

    assert [(each.action, each.target_type, each.target_id, each.to) for each in incident.repairs] == [
        ("signal_redirect", "signal", str(signal_id), f"{workflow_id}/paid"),
        ("signal_discard", "signal", str(signal_id), None),
    ]


async def test_a_wait_with_a_key_of_its_own_is_named_but_not_suggested(hand: Hand) -> None:
    await waiting(hand, "order-8")
    await sent(hand)

    incident = await the_incident(hand)

    assert [alike["correlation_key"] for alike in incident.evidence["alike"]] == ["order-8"]
    assert [each.action for each in incident.repairs] == ["signal_discard"]


async def test_of_several_signals_each_wait_is_given_the_likeliest(hand: Hand) -> None:
    seven, eight = await waiting(hand), await waiting(hand, "order-8")
    ids = {key: await sent(hand, key) for key in ("order_7", "order_8", "order_9")}

    incident = await the_incident(hand)

    redirected = {each.to: int(each.target_id) for each in incident.repairs if each.to is not None}
    assert redirected == {f"{seven}/paid": ids["order_7"], f"{eight}/paid": ids["order_8"]}
    assert [(bulk.action, bulk.ids) for bulk in incident.bulk] == [
        ("signal_discard", tuple(str(one) for one in ids.values()))
    ]


async def test_the_explanation_of_the_step_that_waits_suggests_it_too(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    await project(hand)

    explanation = await hand.powertools.explain.workflow_step(workflow_id, "paid")

    [incident] = explanation.incidents
    assert [(each.action, each.target_id, each.to) for each in incident.repairs] == [
        ("signal_redirect", str(signal_id), f"{workflow_id}/paid"),
        ("signal_discard", str(signal_id), None),
    ]


async def test_what_has_been_done_since_the_last_look_is_suggested_no_more(hand: Hand) -> None:
    workflow_id, signal_id = await waiting(hand), await sent(hand)
    await the_incident(hand)
    await repair(hand, "signal_redirect", signal_id, to=f"{workflow_id}/paid")

    incident = await hand.powertools.lifeline.get_incident(FINGERPRINT)

    assert (incident.state, incident.repairs) == ("active", ())


async def test_from_the_incident_to_its_end_each_command_is_copied_from_the_one_before(hand: Hand) -> None:
    workflow_id = await waiting(hand)
    await sent(hand)
    incident = await the_incident(hand)

    shown = powertools("incidents", "show", str(incident.id), dsn=hand.dsn)
    [suggested] = re.findall("powertools (repair preview signal_redirect .*)", shown.out)
    previewed = powertools(*shlex.split(suggested), "--json", dsn=hand.dsn)
    token = previewed.json["preview"]["preview_token"]
    done = powertools("repair", "execute", token, "--reason", "the bank spells it so", dsn=hand.dsn)

    assert (shown.code, previewed.code, done.code) == (0, 0, 0)
    assert (await hand.states(workflow_id))["paid"] == "completed"
    assert (await hand.powertools.lifeline.get_incident(incident.id)).state == "resolved"
