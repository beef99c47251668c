"""Webhooks: send events to other systems over HTTP, signed and in order, until the receiver accepts them.

Sending needs the extra ``webhooks``. Messages are CloudEvents 1.0, signed as Standard Webhooks. The rules that must
never break: no event is left out, and a secret is shown once, when it is made.
"""

from .cloudevents import EVENT_TYPES
from .formats import Format
from .records import Answer, DeliveryState, EndpointId, IssuedSecret, WebhookDelivery, WebhookEndpoint, WebhookHour
from .webhooks import Webhooks

__all__ = [
    "EVENT_TYPES",
    "Answer",
    "DeliveryState",
    "EndpointId",
    "Format",
    "IssuedSecret",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookHour",
    "Webhooks",
]
