"""What an order is made of: the workers, and the workflow that joins them."""

from oban.decorators import job

from oban_powertools import Workflow


@job(queue="shop")
async def charge(order_id: int, amount: int) -> dict[str, int]:
    return {"order": order_id, "charged": amount}


@job(queue="shop")
async def ship(charged: dict[str, int]) -> str:
    return f"order {charged['order']} is on its way"


def order_workflow(order_id: int, amount: int) -> Workflow:
    workflow = Workflow("order", context={"order_id": order_id}, tags=["shop"])
    charged = workflow.add("charge", charge.new(order_id=order_id, amount=amount))
    workflow.add("ship", ship.new(charged=charged.result))
    return workflow
