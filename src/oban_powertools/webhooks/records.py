"""The records of endpoints and deliveries. The rule that must never break: no repr contains a secret."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType

from ..events.types import Cursor
from ..wire import AsDict
from .formats import Format

EndpointId = NewType("EndpointId", int)


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEndpoint(AsDict):
    """An endpoint: a URL, and the events that it gets."""

    id: EndpointId
    """Its id."""

    url: str = field(repr=False)
    """Its URL; the path may contain a secret of the receiver."""

    description: str
    """Your own description."""

    types: tuple[str, ...]
    """The event types it gets; empty for all."""

    workflow_name: str | None
    """The workflows whose events it gets; None for all."""

    allow_private: bool
    """Whether it may be plain HTTP and at an address that is not public."""

    enabled: bool
    """Whether anything is sent."""

    disabled_reason: str | None
    """Why nothing is sent; None while it is enabled."""

    cursor: Cursor
    """The newest event that was looked at."""

    missed: int
    """Events that retention removed from the log before they were looked at."""

    pending: int
    """Deliveries that wait or are under way, counted up to 10,001."""

    dead: int
    """Deliveries that were given up, counted up to 10,001."""

    old_secret_until: datetime | None
    """Until when the secret before the last rotation signs, too; None with one secret."""

    format: Format
    """What is sent."""

    console_url: str | None
    """Where an operator finds what is told of; None for nowhere."""

    inserted_at: datetime
    """When it was added."""

    updated_at: datetime
    """When it was last changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery(AsDict):
    """One event on its way to one endpoint."""

    endpoint_id: EndpointId
    """Its endpoint."""

    cursor: Cursor
    """The event's cursor; with the endpoint it identifies the delivery."""

    message: dict[str, Any]
    """What is sent: a CloudEvent; its ``id`` is the header ``webhook-id``. In another format ``body`` is sent."""

    state: DeliveryState
    """pending, delivered or dead."""

    attempts: int
    """How often it was tried, one under way included; from 0 again when it is replayed."""

    due_at: datetime
    """A pending delivery is not tried before this time."""

    queued_at: datetime
    """When it was written, or replayed: the 24 hours count from here."""

    attempted_at: datetime | None
    """When the last attempt began."""

    status: int | None
    """The HTTP status of the last answer; None when there was none."""

    error: str | None
    """Why the last attempt failed; None when it did not."""

    finished_at: datetime | None
    """When it was delivered or given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookHour(AsDict):
    """What became of an endpoint's deliveries in one hour."""

    endpoint_id: EndpointId
    """The endpoint."""

    began_at: datetime
    """When the hour began, in UTC."""

    delivered: int
    """Deliveries that the receiver took."""

    dead: int
    """Deliveries that were given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSecret(AsDict):
    """What ``add`` and ``rotate_secret`` return: the only time that the secret is shown."""

    endpoint: WebhookEndpoint
    """As it is now."""

    secret: str | None = field(repr=False)
    """``whsec_...``, for the receiver; None when it is read from the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(AsDict):
    """The result of one attempt."""

    status: int | None = None
    """The HTTP status; None when there was no answer."""

    error: str | None = None
    """Why it failed, without anything that the receiver wrote; None when it was accepted."""

    retry_after: timedelta | None = None
    """How long the receiver asked to be left alone."""
