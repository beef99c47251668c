"""The steps of an order, found by their module's name; plain functions run in threads, with the ORM."""

from oban import job

from oban_powertools import Workflow

from .models import Order


@job(queue="default", max_attempts=3)
def charge(order_id: int, amount: int) -> str:
    """Take the money."""
    return f"receipt {order_id} over {amount}"


@job(queue="default")
def ship(order_id: int, receipt: str) -> str:
    """Send the goods."""
    Order.objects.filter(pk=order_id).update(state="shipped")
    return f"shipped with {receipt}"


def order_workflow(order: Order) -> Workflow:
    """First the money, then the goods."""
    workflow = Workflow("order", context={"order_id": order.pk})
    charged = workflow.add("charge", charge.new(order_id=order.pk, amount=order.amount))
    workflow.add("ship", ship.new(order_id=order.pk, receipt=charged.result))
    return workflow
