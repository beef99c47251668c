"""Errors of managing webhooks."""

from typing import ClassVar

from .commands import NotFoundError
from .setup import ConfigurationError


class WebhookNotFoundError(NotFoundError):
    """No webhook endpoint has this id."""

    code = "webhook_not_found"
    names: ClassVar[tuple[str, ...]] = ("webhook", "endpoint_id")
    sentence = "webhook {endpoint_id} does not exist: powertools webhooks list shows those that do"

    endpoint_id: int


class WebhookDeliveryNotFoundError(NotFoundError):
    """The endpoint has no delivery of this event."""

    code = "webhook_delivery_not_found"
    names: ClassVar[tuple[str, ...]] = ("webhook_delivery", "endpoint_id", "cursor")
    sentence = (
        "webhook {endpoint_id} has no delivery {cursor} (or it was pruned): powertools webhooks deliveries "
        "{endpoint_id} lists them"
    )

    endpoint_id: int
    cursor: int


class WebhooksNotInstalledError(ConfigurationError):
    """The HTTP client that sends webhooks is not installed."""

    code = "webhooks_not_installed"
    sentence = "sending webhooks needs an HTTP client: pip install 'oban-powertools[webhooks]'"


class WebhookSecretMissingError(ConfigurationError):
    """The environment of this process lacks a secret."""

    code = "webhook_secret_missing"
    sentence = "the environment variable {variable}, which holds the secret of a webhook, is not set here"

    variable: str
