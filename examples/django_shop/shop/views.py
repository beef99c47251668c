"""An order and its workflow are stored together, or neither is."""

from django.db import transaction
from django.http import HttpRequest, HttpResponseBadRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from oban_powertools.errors import NotFoundError
from oban_powertools.integrations.django import powertools

from .models import Order
from .steps import order_workflow


@csrf_exempt
@require_POST
def create(request: HttpRequest) -> JsonResponse | HttpResponseBadRequest:
    """Take an order."""
    with transaction.atomic():
        order = Order.objects.create(amount=int(request.POST["amount"]))
        order.workflow_id = powertools.workflows.insert(order_workflow(order)).id
        order.save()
        if order.amount < 0:
            transaction.set_rollback(True)
            return HttpResponseBadRequest("negative: both are rolled back")
    return JsonResponse({"order": order.pk, "workflow": order.workflow_id}, status=201)


def show(_: HttpRequest, order_id: int) -> JsonResponse:
    """An order, and how far its workflow is."""
    order = Order.objects.get(pk=order_id)
    try:
        said = powertools.explain.workflow(str(order.workflow_id)).summary
    except NotFoundError:
        said = "its workflow was pruned"
    return JsonResponse({"state": order.state, "workflow": said})
