"""What nobody takes is an incident: due jobs of a queue, deliveries of a webhook, signals and similar waits."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import Incident, Workflow
from tests.support.by_hand import Hand, chain
from tests.support.executing import beat
from tests.support.troubles import TROUBLES, plain, project

OLD = "UPDATE oban_jobs SET scheduled_at = scheduled_at - interval '10 min'"
STORED = "UPDATE powertools.signals SET inserted_at = inserted_at - %s"


async def waiting(hand: Hand, signal: str, key: str) -> int:
    workflow = Workflow("order")
    workflow.await_signal("w", signal=signal, correlation_key=key)
    return await hand.insert(workflow)


async def unclaimed(hand: Hand, signal: str, key: str, ago: timedelta = timedelta(hours=2)) -> dict[str, Incident]:
    await hand.powertools.workflows.signal(signal, key, None)
    await hand.rows(STORED, ago)
    return await project(hand)


# Queues


async def test_a_queue_with_due_jobs_that_nobody_serves_is_an_incident_without_any_step(hand: Hand) -> None:
    job_ids = [await plain(hand) for _ in range(3)]
    await hand.rows(OLD)

    [incident] = (await project(hand)).values()

    assert (incident.fingerprint, incident.count) == ("workflow_stuck:queue:default", 3)
    assert incident.title == "3 jobs cannot start: no executor works on queue default"
    assert incident.evidence["ids"] == job_ids
    assert incident.waiting_workflows == 0


async def test_jobs_and_steps_of_one_queue_are_one_incident(hand: Hand) -> None:
    await plain(hand)
    await hand.insert(chain(1))
    await hand.rows(OLD)

    [incident] = (await project(hand)).values()

    assert incident.title == "2 jobs cannot start: no executor works on queue default"
    assert incident.waiting_workflows == 1


async def test_a_queue_of_steps_alone_is_told_as_steps(hand: Hand) -> None:
    await hand.insert(chain(1))
    await hand.rows(OLD)

    [incident] = (await project(hand)).values()

    assert incident.title == "1 step cannot start: no executor works on queue default"


async def test_a_queue_that_somebody_serves_is_none_however_long_its_jobs_wait(hand: Hand) -> None:
    await beat(hand, "p1")
    await plain(hand)
    await hand.rows(OLD)

    assert await project(hand) == {}


# Webhooks


async def test_deliveries_that_nobody_works_on_are_one_incident_of_their_endpoint(hand: Hand) -> None:
    await TROUBLES["webhook_unserved"].happen(hand)

    [incident] = (await project(hand)).values()

    assert incident.fingerprint == "webhook_unserved:1"
    assert incident.title == "1 delivery of webhook 1 cannot be sent: nobody works on queue powertools_webhooks"
    assert "example.com" not in str(incident)


async def test_deliveries_whose_queue_is_paused_say_so_and_suggest_to_resume_it(hand: Hand) -> None:
    await TROUBLES["webhook_unserved"].happen(hand)
    await hand.rows(
        "INSERT INTO oban_producers (uuid, node, queue, meta) VALUES"
        " (gen_random_uuid(), 'node-a', 'powertools_webhooks', '{\"local_limit\": 5, \"paused\": true}')"
    )

    [incident] = (await project(hand)).values()

    assert incident.title == "1 delivery of webhook 1 cannot be sent: queue powertools_webhooks is paused"
    assert [(each.action, each.target_id) for each in incident.repairs] == [("queue_resume", "powertools_webhooks")]


async def test_a_delivery_that_waits_for_its_next_attempt_is_no_incident(hand: Hand) -> None:
    await TROUBLES["webhook_unserved"].happen(hand)
    await hand.rows("UPDATE oban_jobs SET state = 'scheduled', scheduled_at = now() + interval '1 h'")

    assert await project(hand) == {}


async def test_an_endpoint_that_is_disabled_has_none(hand: Hand) -> None:
    await TROUBLES["webhook_unserved"].happen(hand)
    await hand.powertools.webhooks.disable("1", actor="ada", reason="because of a test")

    assert await project(hand) == {}


# Signals


async def test_a_signal_that_nobody_has_taken_is_told_with_the_wait_that_looks_alike(hand: Hand) -> None:
    workflow_id = await waiting(hand, "payment", "order-7")

    [incident] = (await unclaimed(hand, "payment", "Order 7")).values()

    assert incident.fingerprint == "unclaimed_signal:payment"
    assert incident.title == "1 signal payment was stored and no wait has taken it; 1 wait looks alike"
    [alike] = incident.evidence["alike"]
    assert (alike["workflow_id"], alike["signal"], alike["correlation_key"]) == (workflow_id, "payment", "order-7")
    assert {repair.action for repair in incident.repairs} == {"signal_redirect", "signal_discard"}


@pytest.mark.parametrize(
    ("signal", "key"),
    [("payment", "order 7"), ("payment", "8"), ("paid", "order-7"), ("Payment", "9"), ("pay_ment", "order-7")],
)
async def test_waits_look_alike_by_key_or_by_name_however_spelt(hand: Hand, signal: str, key: str) -> None:
    await waiting(hand, "payment", "order-7")

    [incident] = (await unclaimed(hand, signal, key)).values()

    assert [alike["correlation_key"] for alike in incident.evidence["alike"]] == ["order-7"]


async def test_a_wait_that_is_alike_in_nothing_is_not_named(hand: Hand) -> None:
    await waiting(hand, "approval", "7")

    [incident] = (await unclaimed(hand, "payment", "8")).values()

    assert incident.evidence["alike"] == []
    assert incident.title == "1 signal payment was stored and no wait has taken it"


async def test_the_likeliest_wait_is_named_first(hand: Hand) -> None:
    for signal, key in (("payment", "a"), ("payment", "ORDER_7"), ("paid", "order-7")):
        await waiting(hand, signal, key)

    [incident] = (await unclaimed(hand, "payment", "order-7")).values()

    named = [(alike["signal"], alike["correlation_key"]) for alike in incident.evidence["alike"]]
    assert named == [("paid", "order-7"), ("payment", "ORDER_7"), ("payment", "a")]


@pytest.mark.parametrize("ago", [timedelta(minutes=59), timedelta(hours=25, minutes=1)])
async def test_a_signal_that_may_come_early_and_one_of_days_ago_are_no_incident(hand: Hand, ago: timedelta) -> None:
    assert await unclaimed(hand, "payment", "7", ago) == {}


async def test_how_long_a_signal_may_be_stored_is_a_shared_setting(hand: Hand) -> None:
    await hand.powertools.workflows.signal("payment", "7", None)
    await hand.rows(STORED, timedelta(minutes=2))

    found: dict[str, Any] = await project(hand, incident_unclaimed_after=timedelta(minutes=1))

    assert [*found] == ["unclaimed_signal:payment"]


async def test_an_incident_of_signals_is_over_when_they_are_taken(hand: Hand) -> None:
    await unclaimed(hand, "payment", "7")
    await waiting(hand, "payment", "7")

    assert await project(hand) == {}


async def test_what_an_incident_of_signals_holds_is_no_payload(hand: Hand) -> None:
    await hand.powertools.workflows.signal("payment", "7", {"iban": "canary"})
    await hand.rows(STORED, timedelta(hours=2))

    assert "canary" not in str(await project(hand))
