"""Change endpoints as an operator: ask the host's policy, then change and record in one transaction.

The rule that must never break: the audit contains no secret, and no path of a URL, which may be one.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from ..database import Session
from ..errors import WebhookNotFoundError
from ..operators.audit import Operation, Operations
from ..operators.authorization import Action, ActorLike, Target, TargetType
from ..privacy.urls import origin
from ..wire import rfc3339
from .records import EndpointId, WebhookEndpoint


async def find_endpoint(session: Session, endpoint_id: EndpointId) -> WebhookEndpoint | None:
    """One endpoint; None when it does not exist."""
    return await session.record(WebhookEndpoint, "read_webhook_endpoints", {"id": endpoint_id})


async def get_endpoint(session: Session, endpoint_id: EndpointId) -> WebhookEndpoint:
    """One endpoint.

    Raises:
        WebhookNotFoundError: It does not exist.
    """
    endpoint = await find_endpoint(session, endpoint_id)
    if endpoint is None:
        raise WebhookNotFoundError(endpoint_id)
    return endpoint


@asynccontextmanager
async def adding(
    operations: Operations, url: str, workflow_name: str | None, actor: ActorLike, reason: str, source: str
) -> AsyncGenerator[Operation]:
    """The operation that adds an endpoint; its target is the URL's origin, until the endpoint has an id."""
    target = Target(type=TargetType.WEBHOOK, id=origin(url), workflow_name=workflow_name)
    async with operations.begin(
        actor, Action.MANAGE_WEBHOOKS, target, reason=reason, source=source, details={"command": "add"}
    ) as operation:
        await operation.authorize()
        yield operation


def describe_added(operation: Operation, endpoint: WebhookEndpoint) -> None:
    """Name the new endpoint in the operation's record."""
    target = replace(operation.entry.target, id=str(endpoint.id))
    operation.update(target=target, after=_state(endpoint))


@asynccontextmanager
async def changing(
    operations: Operations, command: str, endpoint_id: EndpointId, actor: ActorLike, reason: str, source: str
) -> AsyncGenerator[tuple[Session, Operation]]:
    """Open the transaction in which the caller changes an endpoint; its state before and after is recorded.

    Args:
        command: The name of the call.

    Raises:
        WebhookNotFoundError: It does not exist.
        NotAuthorizedError, UnattributedActorError, ReasonRequiredError: It was refused, and that is recorded.

    Locks: the endpoint.
    """
    target = Target(type=TargetType.WEBHOOK, id=str(endpoint_id))
    args = {"id": endpoint_id}
    async with operations.begin(
        actor, Action.MANAGE_WEBHOOKS, target, reason=reason, source=source, details={"command": command}
    ) as operation:
        async with operations.services.connect() as session:
            endpoint = await find_endpoint(session, endpoint_id)
        if endpoint is not None:
            operation.update(target=replace(target, workflow_name=endpoint.workflow_name))
        await operation.authorize()
        async with operation.transaction() as session:
            await session.run("lock_webhook", args)
            before = await get_endpoint(session, endpoint_id)
            yield session, operation
            after = await find_endpoint(session, endpoint_id)
            operation.update(before=_state(before), after=None if after is None else _state(after))


def _state(endpoint: WebhookEndpoint) -> dict[str, Any]:
    until = endpoint.old_secret_until
    return {
        "url": origin(endpoint.url),
        # Shows whether the rest of the URL has changed.
        "url_digest": hashlib.sha256(endpoint.url.encode()).hexdigest()[:12],
        "description": endpoint.description,
        "types": list(endpoint.types),
        "workflow_name": endpoint.workflow_name,
        "allow_private": endpoint.allow_private,
        "format": endpoint.format,
        "console_url": endpoint.console_url,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "old_signs_until": rfc3339(until) if until else None,
    }
