"""An order: its parts are checked by pyright and mypy from the first step to the result.

powertools install && python -m examples.typed.orders
"""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import assert_type

from oban import Snooze

from oban_powertools import Powertools, StepHandle, Workflow, current_step, job


@dataclass(frozen=True)
class Receipt:
    """Proof of a payment."""

    number: str
    total: Decimal
    paid_on: date


@dataclass(frozen=True)
class Parcel:
    """What is sent."""

    order_id: int
    box: str
    receipt: Receipt


@job(queue="default", max_attempts=3)
async def charge(order_id: int, total: Decimal) -> Receipt:
    """Charge the card; the key makes sure that it is charged once."""
    return Receipt(f"R-{order_id}-{current_step().idempotency_key[:4]}", total, date.today())


@job(queue="default")
def pack(order_id: int, fragile: bool = False) -> str | Snooze:
    """A plain function is a worker, too. It may end without a result."""
    return f"{'padded ' if fragile else ''}box of order {order_id}"


@job(queue="default")
async def ship(parcel: Parcel, receipt_number: str) -> date:
    """Send it."""
    assert isinstance(parcel.receipt.total, Decimal)
    assert receipt_number == parcel.receipt.number
    return parcel.receipt.paid_on + timedelta(days=2)


def order(order_id: int, total: Decimal) -> tuple[Workflow, StepHandle[date]]:
    """The workflow, and the step whose result is the day of delivery."""
    workflow = Workflow("order", context={"order_id": order_id})
    paid = workflow.add("charge", charge.new(order_id=order_id, total=total))
    packed = workflow.add("pack", pack.new(order_id, fragile=True))
    parcel = Parcel(order_id, packed.result, paid.result)
    shipped = workflow.add("ship", ship.new(parcel, receipt_number=paid.result.number))
    assert_type(paid, StepHandle[Receipt])
    assert_type(packed, StepHandle[str])
    return workflow, shipped


async def main() -> None:
    """Run one order."""
    workflow, shipped = order(7, Decimal("9.90"))
    async with Powertools.open(queues={"default": 10}) as powertools:
        handle = await powertools.workflows.insert(workflow)
        day = await handle.result(shipped, timeout=timedelta(seconds=30))
        print(f"delivered on {day:%A}")


if __name__ == "__main__":
    asyncio.run(main())
