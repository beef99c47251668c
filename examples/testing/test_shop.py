"""A hundred tests of the shop's workflows, as a user writes them."""

from datetime import timedelta
from typing import Any

import pytest
from shop import charge, order_workflow, reserve, ship

from oban_powertools.testing import SyncWorkflowRunner, WorkflowRunner, check, step_context

PAID = {"receipt": 12}
YES = {"approve": {"by": "bob"}}
TEN = range(10)
FIVE = range(5)


@pytest.mark.parametrize("order", TEN)
def test_an_order_is_shipped(sync_workflow_runner: SyncWorkflowRunner, order: int) -> None:
    run = sync_workflow_runner.run(order_workflow(order), fakes={"charge": PAID}, signals=YES)

    run.assert_finished("completed")
    run.assert_step("ship", result={"order": order, "parcels": 2, "to": "ada"})
    assert run.passed > timedelta(days=30)


@pytest.mark.parametrize("failures", FIVE)
def test_the_payment_is_tried_again(sync_workflow_runner: SyncWorkflowRunner, failures: int) -> None:
    outcomes: list[Any] = [TimeoutError("no answer")] * min(failures, 4) + [PAID]

    run = sync_workflow_runner.run(order_workflow(1), fakes={"charge": outcomes}, signals=YES)

    run.assert_step("charge", attempts=len(outcomes), result=PAID)


@pytest.mark.parametrize("order", FIVE)
def test_a_payment_that_fails_ends_the_order(sync_workflow_runner: SyncWorkflowRunner, order: int) -> None:
    run = sync_workflow_runner.run(order_workflow(order), fakes={charge: ValueError("card declined")})

    run.assert_finished("failed")
    run.assert_step("charge", state="discarded", error="card declined")
    run.assert_step("ship", state="cancelled")
    run.assert_step("refund", result="refunded")


@pytest.mark.parametrize("order", TEN)
def test_an_order_that_nobody_approves_expires(sync_workflow_runner: SyncWorkflowRunner, order: int) -> None:
    run = sync_workflow_runner.run(order_workflow(order), fakes={"charge": PAID})

    run.assert_step("approve", state="expired")
    run.assert_step("pack", state="cancelled")


@pytest.mark.parametrize("lines", [[1], [1, 2], [1, 2, 3], list(range(10)), list(range(20))], ids=len)
def test_every_line_is_packed(sync_workflow_runner: SyncWorkflowRunner, lines: list[int]) -> None:
    run = sync_workflow_runner.run(order_workflow(3, lines=lines), fakes={"charge": PAID}, signals=YES)

    run.assert_step("pack", result=[f"3:{line * 10}" for line in lines])


@pytest.mark.parametrize("order", FIVE)
def test_an_order_without_lines_is_refused(sync_workflow_runner: SyncWorkflowRunner, order: int) -> None:
    run = sync_workflow_runner.run(order_workflow(order, lines=[]), fakes={"charge": PAID}, signals=YES)

    run.assert_step("reserve", state="discarded", attempts=3, error="has no lines")


@pytest.mark.asyncio
@pytest.mark.parametrize("days", TEN)
async def test_the_carrier_is_asked_until_it_has_delivered(workflow_runner: WorkflowRunner, days: int) -> None:
    run = await workflow_runner.run(order_workflow(1, days=days), fakes={"charge": PAID}, signals=YES)

    run.assert_step("poll", result={"delivered_after": days})


@pytest.mark.asyncio
@pytest.mark.parametrize("order", TEN)
async def test_the_order_waits_for_its_approval(workflow_runner: WorkflowRunner, order: int) -> None:
    run = await workflow_runner.run(order_workflow(order), fakes={"charge": PAID}, until="approve")
    run.assert_step("approve", state="awaiting_signal")

    await workflow_runner.advance(timedelta(days=2))
    await workflow_runner.signal("approved", str(order), {"by": "bob"})

    run = await workflow_runner.look(run.id)
    run.assert_step("ship", state="completed")


@pytest.mark.asyncio
@pytest.mark.parametrize("order", FIVE)
async def test_a_failed_order_is_recovered(workflow_runner: WorkflowRunner, order: int) -> None:
    run = await workflow_runner.run(
        order_workflow(order), fakes={"charge": PAID, ship: OSError("no carrier")}, signals=YES
    )
    run.assert_finished("failed")

    await workflow_runner.powertools.workflows.recover(run.id, actor="ann", reason="the carrier is back")
    run = await workflow_runner.run(run.id)

    run.assert_finished("completed")


@pytest.mark.parametrize("attempt", TEN)
def test_shipping_tells_the_customer(attempt: int) -> None:
    with step_context(context={"customer": "bob"}, attempt=attempt + 1) as step:
        assert step.run_blocking(ship.new(order=1, parcels=["a"])) == {"order": 1, "parcels": 1, "to": "bob"}


@pytest.mark.parametrize("lines", TEN)
def test_lines_are_reserved(lines: int) -> None:
    with step_context() as step:
        assert step.run_blocking(reserve.new(order=1, lines=[lines])) == [lines * 10]


@pytest.mark.parametrize("order", range(15))
def test_the_definition_is_sound(order: int) -> None:
    check(order_workflow(order))
