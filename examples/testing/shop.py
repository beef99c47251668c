"""The workers and workflows of a shop, as its tests meet them."""

from datetime import timedelta
from typing import Any

from oban import Snooze
from oban.decorators import job

from oban_powertools import Workflow, current_step


@job(queue="payments", max_attempts=5)
async def charge(order: int, total: int) -> dict[str, Any]:
    """Would ask the payment provider."""
    raise NotImplementedError


@job(queue="default", max_attempts=3)
async def reserve(order: int, lines: list[int]) -> list[int]:
    """Reserves each line in the store."""
    if not lines:
        raise ValueError(f"order {order} has no lines")
    return [line * 10 for line in lines]


@job(queue="default")
async def pack(order: int, line: int) -> str:
    """Packs one line."""
    return f"{order}:{line}"


@job(queue="default")
async def ship(order: int, parcels: list[str]) -> dict[str, Any]:
    """Hands the parcels to the carrier."""
    return {"order": order, "parcels": len(parcels), "to": current_step().context["customer"]}


@job(queue="default")
async def poll(order: int, days: int) -> Any:
    """Asks the carrier once a day."""
    asked = current_step().job.meta.get("snoozed", 0)
    return {"delivered_after": asked} if asked == days else Snooze(24 * 3600)


@job(queue="default")
async def refund(order: int, error: dict[str, Any] | None) -> Any:
    """Pays back, where there is something to pay back."""
    return "refunded" if error else "nothing to pay back"


@job(queue="default")
async def remind(order: int) -> str:
    """Asks how it was."""
    return f"asked about {order}"


def order_workflow(order: int, *, total: int = 30, lines: list[int] | None = None, days: int = 2) -> Workflow:
    """An order, from its payment to the reminder a month later."""
    parcels = Workflow("parcels")
    parcels.add("label", remind.new(order=order))

    workflow = Workflow("order", context={"customer": "ada"}, expires_in=timedelta(days=90))
    charged = workflow.add("charge", charge.new(order=order, total=total))
    reserved = workflow.add("reserve", reserve.new(order=order, lines=[1, 2] if lines is None else lines))
    workflow.await_signal(
        "approve", signal="approved", correlation_key=str(order), deadline=timedelta(days=3), deps=["charge"]
    )
    packed = workflow.map(
        "pack", pack, over=reserved.result, args={"order": order, "line": Workflow.item}, deps=["approve"]
    )
    workflow.add_workflow("parcels", parcels, deps=["pack"])
    workflow.add("ship", ship.new(order=order, parcels=packed.result), deps=["parcels"])
    workflow.add("poll", poll.new(order=order, days=days), deps=["ship"])
    workflow.add("remind", remind.new(order=order), deps=["poll"], delay=timedelta(days=30))
    workflow.add("refund", refund.new(order=order, error=charged.error), deps={"charge": "continue"})
    return workflow
