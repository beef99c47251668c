"""What somebody who works with webhooks may meet."""

from .commands import NotFoundError
from .setup import ConfigurationError


class WebhookNotFoundError(NotFoundError):
    """No webhook endpoint has this id."""

    code = "webhook_not_found"

    def __init__(self, endpoint_id: int) -> None:
        super().__init__(endpoint_id)
        self.endpoint_id = endpoint_id

    def __str__(self) -> str:
        return f"webhook {self.endpoint_id} does not exist: powertools webhooks list shows those that do"


class WebhookDeliveryNotFoundError(NotFoundError):
    """The endpoint has no delivery of this event."""

    code = "webhook_delivery_not_found"

    def __init__(self, endpoint_id: int, cursor: int) -> None:
        super().__init__(endpoint_id, cursor)
        self.endpoint_id = endpoint_id
        self.cursor = cursor

    def __str__(self) -> str:
        return (
            f"webhook {self.endpoint_id} has no delivery {self.cursor} (or it was pruned): "
            f"powertools webhooks deliveries {self.endpoint_id} lists them"
        )


class WebhooksNotInstalledError(ConfigurationError):
    """The HTTP client that sends webhooks is not installed."""

    code = "webhooks_not_installed"

    def __str__(self) -> str:
        return "sending webhooks needs an HTTP client: pip install 'oban-powertools[webhooks]'"


class WebhookSecretMissingError(ConfigurationError):
    """The environment of this process lacks a secret."""

    code = "webhook_secret_missing"

    def __init__(self, variable: str) -> None:
        super().__init__(variable)
        self.variable = variable

    def __str__(self) -> str:
        return f"the environment variable {self.variable}, which holds the secret of a webhook, is not set here"
