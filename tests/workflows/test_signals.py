"""Signals and waits find each other in either order; every delivery is a durable row that says what became of it."""

from datetime import timedelta
from typing import Any

import pytest

from oban_powertools import AwaitSignal, Workflow
from oban_powertools.errors import UnstorableValueError
from oban_powertools.states import WorkflowId
from tests.support.by_hand import Hand, chain, step

NUMBER: Any = 7
ASKED: Any = {"actor": "ops-1", "reason": "because of a test"}


def waiting(key: Any = "7", *, deadline: timedelta | None = None, **options: Any) -> Workflow:
    """paid, a wait, and after, which takes its result."""
    workflow = Workflow("order", **options)
    paid = workflow.await_signal("paid", signal="payment", correlation_key=key, deadline=deadline)
    workflow.add("after", step({"x": paid.result["amount"]}))
    return workflow


async def expire_waits(hand: Hand) -> None:
    await hand.rows("UPDATE powertools.waits SET deadline_at = now() WHERE deadline_at IS NOT NULL")
    await hand.sweep()


async def deliveries(hand: Hand) -> list[str]:
    return [row["status"] for row in await hand.rows("SELECT status FROM powertools.signals ORDER BY id")]


async def test_a_waiting_step_shows_what_it_waits_for_and_until_when(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting(deadline=timedelta(hours=1)))

    paid = (await hand.steps(workflow_id))["paid"]

    assert (paid.state, paid.signal, paid.correlation_key, paid.job_id) == ("awaiting_signal", "payment", "7", None)
    assert paid.released_at is not None and paid.deadline_at is not None
    assert timedelta(minutes=59) < paid.deadline_at - paid.released_at < timedelta(minutes=61)


async def test_a_signal_for_a_waiting_step_is_its_result_and_releases_what_hangs_on_it(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(waiting())

    signal = await each_hand.workflows.signal("payment", "7", {"amount": 5})

    assert (signal.status, signal.wait_id is not None, signal.consumed_at is not None) == ("consumed", True, True)
    assert await each_hand.workflows.results(workflow_id) == {"paid": {"amount": 5}}
    assert (await each_hand.job(workflow_id, "after")).args == {"x": 5}


async def test_a_signal_without_a_payload_leaves_no_result(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting())

    await hand.workflows.signal("payment", "7")

    paid = (await hand.steps(workflow_id))["paid"]
    assert (paid.state, paid.has_result) == ("completed", False)


@pytest.mark.parametrize(("signal", "key"), [("payment", "8"), ("Payment", "7"), ("refund", "7")])
async def test_another_name_or_key_wakes_nobody(hand: Hand, signal: str, key: str) -> None:
    workflow_id = await hand.insert(waiting())

    delivered = await hand.workflows.signal(signal, key)

    assert (delivered.status, (await hand.states(workflow_id))["paid"]) == ("stored", "awaiting_signal")


async def test_an_early_signal_is_consumed_in_the_commit_that_begins_the_wait(each_hand: Hand) -> None:
    early = await each_hand.workflows.signal("payment", "7", {"amount": 5})

    workflow_id = await each_hand.insert(waiting())

    assert (early.status, await deliveries(each_hand)) == ("stored", ["consumed"])
    assert await each_hand.states(workflow_id) == {"paid": "completed", "after": "available"}


async def test_of_several_early_signals_each_wait_consumes_the_oldest_that_is_left(hand: Hand) -> None:
    for amount in (1, 2, 3):
        await hand.workflows.signal("payment", "7", {"amount": amount})

    workflow = Workflow("three in a row")
    for name, deps in (("a", []), ("b", ["a"]), ("c", ["b"])):
        workflow.await_signal(name, signal="payment", correlation_key="7", deps=deps)
    workflow_id = await hand.insert(workflow)

    assert await hand.workflows.results(workflow_id) == {"a": {"amount": 1}, "b": {"amount": 2}, "c": {"amount": 3}}
    assert (await hand.workflow(workflow_id)).state == "completed"


async def test_waits_that_begin_together_share_out_the_early_signals(hand: Hand) -> None:
    for amount in (1, 2):
        await hand.workflows.signal("payment", "7", amount)

    workflow = Workflow("two at once")
    for name in ("a", "b", "c"):
        workflow.await_signal(name, signal="payment", correlation_key="7")
    workflow_id = await hand.insert(workflow)

    assert await hand.workflows.results(workflow_id) == {"a": 1, "b": 2}


async def test_two_waits_of_one_workflow_are_served_in_order(hand: Hand) -> None:
    workflow = Workflow("two")
    for name in ("a", "b"):
        workflow.await_signal(name, signal="payment", correlation_key="7")
    workflow_id = await hand.insert(workflow)

    statuses = [(await hand.workflows.signal("payment", "7", n)).status for n in (1, 2)]

    assert (statuses, await hand.workflows.results(workflow_id)) == (["consumed"] * 2, {"a": 1, "b": 2})


async def test_a_signal_after_the_deadline_is_late_and_the_step_stays_expired(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting(deadline=timedelta(hours=1)))
    await expire_waits(hand)

    late = await hand.workflows.signal("payment", "7", {"amount": 5})
    await hand.sweep()

    assert (late.status, await deliveries(hand)) == ("late", ["late"])
    assert await hand.states(workflow_id) == {"paid": "expired", "after": "cancelled"}


async def test_a_signal_after_the_workflow_expired_is_late_too(hand: Hand) -> None:
    await hand.insert(waiting(expires_in=timedelta(hours=1)))
    await hand.rows("UPDATE powertools.workflows SET expires_at = now()")
    await hand.sweep()

    assert (await hand.workflows.signal("payment", "7")).status == "late"


async def test_with_several_workflows_waiting_nobody_is_woken_unless_one_is_named(each_hand: Hand) -> None:
    first, second = await each_hand.insert(waiting()), await each_hand.insert(waiting())

    ambiguous = await each_hand.workflows.signal("payment", "7", {"amount": 5})
    await each_hand.sweep()
    untouched = [(await each_hand.states(w))["paid"] for w in (first, second)]
    meant = await each_hand.workflows.signal("payment", "7", {"amount": 6}, workflow_id=second)

    assert (ambiguous.status, untouched, meant.status) == ("ambiguous", ["awaiting_signal"] * 2, "consumed")
    assert [(await each_hand.states(w))["paid"] for w in (first, second)] == ["awaiting_signal", "completed"]
    assert (await each_hand.workflows.signal("payment", "7")).status == "consumed"


async def test_an_early_signal_for_a_named_workflow_is_for_nobody_else(hand: Hand) -> None:
    first = await hand.insert(gated())
    await hand.workflows.signal("payment", "7", {"amount": 5}, workflow_id=first)

    other = await hand.insert(waiting())
    await hand.run(first, {"gate": None})

    assert (await hand.states(other))["paid"] == "awaiting_signal"
    assert (await hand.states(first))["paid"] == "completed"


def gated() -> Workflow:
    workflow = Workflow("gated")
    workflow.add("gate", step())
    workflow.await_signal("paid", signal="payment", correlation_key="7", deps="gate")
    return workflow


async def test_a_repeated_dedupe_key_changes_nothing_and_gives_the_first_delivery(each_hand: Hand) -> None:
    first = await each_hand.workflows.signal("payment", "7", {"amount": 5}, dedupe_key="d")
    before = await each_hand.workflows.signal("payment", "7", {"amount": 6}, dedupe_key="d")
    workflow_id = await each_hand.insert(waiting())
    second_workflow = await each_hand.insert(waiting())
    after = await each_hand.workflows.signal("payment", "7", {"amount": 7}, dedupe_key="d")

    assert [s.id for s in (before, after)] == [first.id] * 2
    assert [(s.status, s.wait_id is not None) for s in (before, after)] == [("duplicate", False), ("duplicate", True)]
    assert await deliveries(each_hand) == ["consumed", "duplicate", "duplicate"]
    assert await each_hand.workflows.results(workflow_id) == {"paid": {"amount": 5}}
    assert (await each_hand.states(second_workflow))["paid"] == "awaiting_signal"


async def test_a_dedupe_key_counts_for_its_signal_and_key_alone(hand: Hand) -> None:
    statuses = [
        (await hand.workflows.signal(signal, key, dedupe_key="d")).status
        for signal, key in (("payment", "7"), ("payment", "8"), ("refund", "7"))
    ]

    assert statuses == ["stored"] * 3


@pytest.mark.parametrize("ending", ["cancel", "complete", "fail"])
async def test_a_workflow_that_ended_never_consumes_a_signal_nor_keeps_one_from_the_next(
    each_hand: Hand, ending: str
) -> None:
    ended = await each_hand.insert(waiting())
    match ending:
        case "cancel":
            await each_hand.workflows.request_cancel(ended, **ASKED)
        case "complete":
            await each_hand.workflows.recover(ended, "paid", "skip", **ASKED)
            await each_hand.run_all(ended)
        case _:
            await each_hand.workflows.recover(ended, "paid", "cancel", **ASKED)
    before = await each_hand.states(ended)

    signal = await each_hand.workflows.signal("payment", "7", {"amount": 5})
    after = await each_hand.states(ended)
    following = await each_hand.insert(waiting())

    assert (signal.status, before == after) == ("stored", True)
    assert (await each_hand.states(following))["paid"] == "completed"


async def test_a_signal_for_a_workflow_that_was_named_and_has_ended_is_late(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting())
    await hand.workflows.request_cancel(workflow_id, **ASKED)
    following = await hand.insert(waiting())

    signal = await hand.workflows.signal("payment", "7", {"amount": 5}, workflow_id=workflow_id)

    assert (signal.status, (await hand.states(following))["paid"]) == ("late", "awaiting_signal")


async def test_a_step_that_was_retried_waits_again_and_may_be_woken(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting(deadline=timedelta(hours=1)))
    await expire_waits(hand)

    await hand.workflows.recover(workflow_id, "paid", **ASKED)
    paid = (await hand.steps(workflow_id))["paid"]
    woken = await hand.workflows.signal("payment", "7", {"amount": 5})

    assert (paid.state, paid.error, woken.status) == ("awaiting_signal", None, "consumed")
    assert await hand.rows("SELECT state, generation FROM powertools.waits ORDER BY id") == [
        {"state": "expired", "generation": 1},
        {"state": "consumed", "generation": 2},
    ]


async def test_a_key_may_be_a_reference_that_is_resolved_when_the_wait_begins(hand: Hand) -> None:
    workflow = Workflow("referring")
    order = workflow.add("order", step())
    workflow.await_signal("paid", signal="payment", correlation_key=order.result["id"])
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"order": {"id": 7}})

    assert (await hand.steps(workflow_id))["paid"].correlation_key == "7"
    assert (await hand.workflows.signal("payment", "7")).status == "consumed"


@pytest.mark.parametrize("order", [{}, {"id": None}, {"id": ""}])
async def test_a_key_that_resolves_to_nothing_fails_the_step(hand: Hand, order: Any) -> None:
    workflow = Workflow("referring")
    ordered = workflow.add("order", step())
    workflow.await_signal("paid", signal="payment", correlation_key=ordered.result["id"])
    workflow_id = await hand.insert(workflow)

    await hand.run(workflow_id, {"order": order})

    paid = (await hand.steps(workflow_id))["paid"]
    assert (paid.state, paid.signal) == ("discarded", None)
    assert "the correlation key is empty" in paid.error["error"]
    assert (await hand.workflow(workflow_id)).state == "failed"


@pytest.mark.parametrize(
    ("signal", "key", "payload"),
    [("", "7", None), ("payment", "", None), ("payment", "7", {1}), ("payment", "\0", None), ("a" * 3_000_000, "7", 0)],
)
async def test_what_cannot_be_stored_is_refused(hand: Hand, signal: str, key: str, payload: Any) -> None:
    with pytest.raises(UnstorableValueError):
        await hand.workflows.signal(signal, key, payload)

    assert await deliveries(hand) == []


async def test_a_signal_in_a_transaction_that_is_rolled_back_never_was(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting())

    async with hand.conn.transaction(force_rollback=True):
        inside = await hand.workflows.signal("payment", "7", conn=hand.conn)

    assert (inside.status, await deliveries(hand)) == ("consumed", [])
    assert (await hand.states(workflow_id))["paid"] == "awaiting_signal"


# Waits that running workers ask for


def asking() -> Workflow:
    workflow = Workflow("asking")
    a = workflow.add("a", step(max_attempts=3))
    workflow.add("after", step({"x": a.result}))
    return workflow


async def ask(hand: Hand, workflow_id: WorkflowId, deadline: timedelta | None = None) -> None:
    await hand.run(workflow_id, {"a": AwaitSignal("payment", "7", deadline)})


async def test_a_worker_that_awaits_a_signal_ends_its_job_and_the_signal_is_the_result(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(asking())

    await ask(each_hand, workflow_id)
    a = (await each_hand.steps(workflow_id))["a"]
    signal = await each_hand.workflows.signal("payment", "7", {"amount": 5})

    assert (a.state, a.correlation_key, a.attempt, a.started_at is not None) == ("awaiting_signal", "7", 1, True)
    assert ((await each_hand.job(workflow_id, "a")).state, signal.status) == ("completed", "consumed")
    assert (await each_hand.job(workflow_id, "after")).args == {"x": {"amount": 5}}


async def test_a_worker_that_awaits_what_came_first_goes_on_at_once(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(asking())
    await each_hand.workflows.signal("payment", "7", "early")

    await ask(each_hand, workflow_id)

    assert (await each_hand.job(workflow_id, "after")).args == {"x": "early"}


async def test_a_workers_wait_expires(each_hand: Hand) -> None:
    workflow_id = await each_hand.insert(asking())
    await ask(each_hand, workflow_id, timedelta(hours=1))

    await expire_waits(each_hand)

    a = (await each_hand.steps(workflow_id))["a"]
    assert (a.state, a.cause, (await each_hand.states(workflow_id))["after"]) == (
        "expired",
        "wait_expired",
        "cancelled",
    )
    assert a.error["error"].startswith("no signal payment for 7 by ")


async def test_a_worker_awaits_again_after_its_step_was_retried(hand: Hand) -> None:
    workflow_id = await hand.insert(asking())
    await ask(hand, workflow_id, timedelta(hours=1))
    await expire_waits(hand)
    await hand.workflows.recover(workflow_id, "a", **ASKED)

    await ask(hand, workflow_id)

    assert await hand.rows("SELECT state FROM powertools.waits ORDER BY id") == [
        {"state": "expired"},
        {"state": "waiting"},
    ]
    await hand.workflows.signal("payment", "7", 2)
    assert await hand.workflows.results(workflow_id) == {"a": 2}


@pytest.mark.parametrize("cancelled", ["step", "workflow"])
async def test_a_worker_that_was_asked_to_stop_waits_for_nothing(each_hand: Hand, cancelled: str) -> None:
    workflow_id = await each_hand.insert(asking())
    [job] = await each_hand.start((await each_hand.job(workflow_id, "a")).id)
    if cancelled == "step":
        await each_hand.workflows.recover(workflow_id, "a", "cancel", **ASKED)
    else:
        await each_hand.workflows.request_cancel(workflow_id, **ASKED)

    await each_hand.ack(await each_hand.execute(job, AwaitSignal("payment", "7")))

    a = (await each_hand.steps(workflow_id))["a"]
    cause = "cancelled_by_operator" if cancelled == "step" else "cancel_requested"
    assert (a.state, a.cause) == ("cancelled", cause)


@pytest.mark.parametrize("wait", [AwaitSignal("", "7"), AwaitSignal("payment", ""), AwaitSignal("payment", NUMBER)])
async def test_a_wait_without_a_name_or_key_fails_the_attempt(hand: Hand, wait: AwaitSignal) -> None:
    workflow_id = await hand.insert(asking())

    await hand.run(workflow_id, {"a": wait})

    a = (await hand.steps(workflow_id))["a"]
    assert (a.state, "a wait needs a signal and a correlation key" in a.error["error"]) == ("retryable", True)


# Signals that are for some time, or for workflows that had begun, alone


async def run_out(hand: Hand) -> None:
    await hand.rows("UPDATE powertools.signals SET expires_at = clock_timestamp() WHERE expires_at IS NOT NULL")


async def test_a_signal_says_until_when_it_is_kept_and_whom_it_is_for(hand: Hand) -> None:
    await hand.insert(waiting("8"))

    plain = await hand.workflows.signal("payment", "7")
    kept = await hand.workflows.signal("payment", "7", expires_in=timedelta(hours=1), only_begun=True)

    assert (plain.expires_at, plain.only_begun, kept.only_begun) == (None, False, True)
    assert kept.expires_at is not None
    assert timedelta(minutes=59) < kept.expires_at - kept.inserted_at < timedelta(minutes=61)


async def test_a_signal_is_taken_within_its_time(hand: Hand) -> None:
    await hand.workflows.signal("payment", "7", expires_in=timedelta(hours=1))
    await hand.sweep()

    workflow_id = await hand.insert(waiting())

    assert (await hand.states(workflow_id))["paid"] == "completed"


async def test_a_signal_whose_time_is_over_is_taken_by_nobody_and_late_with_the_next_sweep(each_hand: Hand) -> None:
    await each_hand.workflows.signal("payment", "7", expires_in=timedelta(hours=1))
    await each_hand.workflows.signal("payment", "8")
    await run_out(each_hand)

    workflow_id = await each_hand.insert(waiting())
    await each_hand.sweep()

    assert (await each_hand.states(workflow_id))["paid"] == "awaiting_signal"
    assert await deliveries(each_hand) == ["late", "stored"]


async def test_a_second_click_is_not_for_the_workflow_that_begins_later(each_hand: Hand) -> None:
    first = await each_hand.insert(waiting())
    clicks = [await each_hand.workflows.signal("payment", "7", {"amount": n}, only_begun=True) for n in (1, 2)]

    following = await each_hand.insert(waiting())
    await each_hand.sweep()
    untouched = await each_hand.states(following)
    await each_hand.run_all(first)
    await each_hand.sweep()
    late = await each_hand.workflows.signal("payment", "7", only_begun=True)

    assert [click.status for click in clicks] == ["consumed", "stored"]
    assert untouched["paid"] == "awaiting_signal"
    assert await deliveries(each_hand) == ["consumed", "late", "consumed"]
    assert late.status == "consumed"


async def test_a_signal_for_workflows_that_have_begun_is_late_at_once_when_all_have_ended(hand: Hand) -> None:
    workflow_id = await hand.insert(waiting())
    await hand.workflows.request_cancel(workflow_id, **ASKED)

    assert (await hand.workflows.signal("payment", "7", only_begun=True)).status == "late"


async def test_a_signal_for_workflows_that_have_begun_comes_before_their_wait(each_hand: Hand) -> None:
    begun = await each_hand.insert(gated())
    early = await each_hand.workflows.signal("payment", "7", {"amount": 5}, only_begun=True)
    later = await each_hand.insert(waiting())
    await each_hand.sweep()

    await each_hand.run(begun, {"gate": None})

    assert (early.status, (await each_hand.states(later))["paid"]) == ("stored", "awaiting_signal")
    assert (await each_hand.states(begun))["paid"] == "completed"


async def test_a_workflow_in_another_has_begun_with_the_outermost(hand: Hand) -> None:
    outer = Workflow("outer")
    outer.add("gate", step())
    outer.add_workflow("inner", waiting(), deps="gate")
    workflow_id = await hand.insert(outer)
    await hand.workflows.signal("payment", "7", {"amount": 5}, only_begun=True)

    await hand.run(workflow_id, {"gate": None})

    assert await deliveries(hand) == ["consumed"]


async def test_of_two_that_wait_the_signal_is_clear_when_one_alone_had_begun(hand: Hand) -> None:
    await hand.workflows.signal("payment", "8", only_begun=True)
    first = await hand.insert(gated())
    kept = await hand.workflows.signal("payment", "7", {"amount": 5}, only_begun=True)
    await hand.insert(waiting())
    await hand.run(first, {"gate": None})

    assert (kept.status, (await hand.states(first))["paid"]) == ("stored", "completed")


# Signals that nobody will take


@pytest.mark.parametrize("ending", ["run", "cancel", "expire"])
async def test_what_is_stored_for_a_workflow_that_is_named_is_late_once_that_has_ended(
    each_hand: Hand, ending: str
) -> None:
    workflow_id = await each_hand.insert(chain(1, expires_in=timedelta(hours=1)))
    other = await each_hand.insert(chain(1))
    for meant in (workflow_id, other):
        await each_hand.workflows.signal("payment", "7", workflow_id=meant)

    match ending:
        case "run":
            await each_hand.run_all(workflow_id)
        case "cancel":
            await each_hand.workflows.request_cancel(workflow_id, **ASKED)
        case _:
            await each_hand.rows("UPDATE powertools.workflows SET expires_at = now() WHERE id = %s", workflow_id)
            await each_hand.sweep()

    assert await deliveries(each_hand) == ["late", "stored"]


async def test_a_signal_for_a_workflow_that_is_not_there_is_late(hand: Hand) -> None:
    assert (await hand.workflows.signal("payment", "7", workflow_id=WorkflowId(10**9))).status == "late"


async def test_what_has_met_nobody_is_looked_at_once(hand: Hand) -> None:
    await hand.insert(waiting("8"))
    await hand.workflows.signal("payment", "7")
    await hand.workflows.signal("payment", "9", expires_in=timedelta(hours=1), only_begun=True)
    due = "SELECT 'match_signals' = ANY (powertools.due_parts_v1('1 h', '7 days'))"

    before = await hand.one(due)
    await hand.sweep()

    assert (before, await hand.one(due)) == (True, False)
