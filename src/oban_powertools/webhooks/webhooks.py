"""The webhook calls of the facade: each opens its connection and hands over.

The rules that must never break: a secret leaves only through ``IssuedSecret``; an operator's change is authorized and
recorded (I4).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Final

from ..audit import Operations
from ..authorization import ActorLike, Guard
from ..config import Settings
from ..database import Connection, Queries, fetch_all, fetch_one
from ..display import DisplayPolicy, Kind
from ..errors import WebhookDeliveryNotFoundError
from ..events.reads import Log
from ..events.types import Cursor
from ..logs import find_logger
from . import addresses, dispatch, messages, signing
from .changing import adding, changing, get_endpoint, tell_added
from .records import Answer, DeliveryState, EndpointId, IssuedSecret, WebhookDelivery, WebhookEndpoint

logger = find_logger(__name__)

OLD_SECRET_KEPT_FOR: Final = timedelta(hours=24)


class Webhooks:
    """Send events to other systems.

    Args:
        connect: An autocommit connection of our own pool.
        guard: Decides who may change endpoints; None refuses all of it.
        display: Decides what is kept of reasons and descriptions; None for the default.

    Every change takes ``actor``, a name or a mapping with an ``id``; ``reason``, for whoever reads the audit; and
    ``source``, the door: ``api``, ``cli`` or ``web``. Refused, it raises ``NotAuthorizedError``,
    ``UnattributedActorError`` or ``ReasonRequiredError``, and that is recorded.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Connection]],
        queries: Queries,
        settings: Settings,
        guard: Guard | None = None,
        display: DisplayPolicy | None = None,
    ) -> None:
        self._connect = connect
        self._queries = queries
        self._settings = settings
        self._display = display or DisplayPolicy()
        self._log = Log(connect, queries, self._display)
        self._operations = Operations(
            connect=connect, queries=queries, guard=guard or Guard(None), display=self._display
        )

    async def add(
        self,
        url: str,
        *,
        actor: ActorLike,
        reason: str,
        description: str = "",
        types: Sequence[str] = (),
        workflow_name: str | None = None,
        allow_private: bool = False,
        secret: str | None = None,
        secret_from_env: str | None = None,
        since: Cursor | None = None,
        source: str = "api",
    ) -> IssuedSecret:
        """Begin to send events to a URL.

        Args:
            types: Only these, such as ``workflow.finished``; empty for all.
            workflow_name: Only of workflows of this name.
            allow_private: Permit plain HTTP, and addresses that are not public.
            secret: ``whsec_...`` that the receiver has already; a new one is made otherwise.
            secret_from_env: The variable that holds it wherever deliveries run, so that the database does not.
            since: Begin after this event; None: with the next one.

        Raises:
            InvalidSettingError: The URL, a type or the secret cannot be used.
            CursorExpiredError: The log does not hold the events after ``since``.
        """
        stored, shown = _choose_secret(secret, secret_from_env)
        args = {
            "url": addresses.check_url(url, allow_private=allow_private),
            "description": self._display.render_text(Kind.DETAILS, description),
            "types": messages.check_types(types),
            "workflow_name": workflow_name or None,
            "allow_private": allow_private,
            "secret": stored,
        }
        async with adding(self._operations, url, workflow_name or None, actor, reason, source) as operation:
            async with self._log.placed() as (_, bounds):
                begin = bounds.head if since is None else since
                bounds.check(begin)
            async with operation.transaction() as conn:
                row = await fetch_one(conn, self._queries["insert_webhook_endpoint"], {**args, "cursor": begin})
                assert row is not None
                endpoint = await get_endpoint(conn, self._queries, row["id"])
                tell_added(operation, endpoint)
            return IssuedSecret(endpoint=endpoint, secret=shown)

    async def list(self) -> list[WebhookEndpoint]:
        """Every endpoint, the oldest first."""
        async with self._connect() as conn:
            rows = await fetch_all(conn, self._queries["read_webhook_endpoints"], {"id": None})
        return [WebhookEndpoint.of(row) for row in rows]

    async def get(self, endpoint_id: EndpointId) -> WebhookEndpoint:
        """One endpoint.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        async with self._connect() as conn:
            return await get_endpoint(conn, self._queries, endpoint_id)

    async def update(
        self,
        endpoint_id: EndpointId,
        *,
        actor: ActorLike,
        reason: str,
        url: str | None = None,
        description: str | None = None,
        types: Sequence[str] | None = None,
        workflow_name: str | None = None,
        allow_private: bool | None = None,
        source: str = "api",
    ) -> WebhookEndpoint:
        """Change what is given; what waits for its next attempt is tried at once.

        Args:
            types: An empty list for all.
            workflow_name: An empty text for any.

        Raises:
            WebhookNotFoundError: It does not exist.
            InvalidSettingError: The URL or a type cannot be used.
        """
        async with changing(self._operations, "update", endpoint_id, actor, reason, source) as (conn, _):
            found = await get_endpoint(conn, self._queries, endpoint_id)
            private = found.allow_private if allow_private is None else allow_private
            addresses.check_url(url or found.url, allow_private=private)
            args = {
                "url": url,
                "description": description and self._display.render_text(Kind.DETAILS, description),
                "types": None if types is None else messages.check_types(types),
                "workflow_name": workflow_name,
                "allow_private": allow_private,
            }
            await conn.execute(self._queries["update_webhook_endpoint"], {"id": endpoint_id, **args})
            await conn.execute(self._queries["hurry_webhook"], {"id": endpoint_id})
            return await get_endpoint(conn, self._queries, endpoint_id)

    async def rotate_secret(
        self,
        endpoint_id: EndpointId,
        *,
        actor: ActorLike,
        reason: str,
        keep_old_for: timedelta = OLD_SECRET_KEPT_FOR,
        secret: str | None = None,
        secret_from_env: str | None = None,
        source: str = "api",
    ) -> IssuedSecret:
        """Sign with a new secret, and for a while with the old one too.

        Raises:
            WebhookNotFoundError: It does not exist.
            InvalidSettingError: The secret cannot be used.
        """
        stored, shown = _choose_secret(secret, secret_from_env)
        args = {"id": endpoint_id, "secret": stored, "keep_old_for": keep_old_for}
        async with changing(self._operations, "rotate_secret", endpoint_id, actor, reason, source) as (conn, _):
            await conn.execute(self._queries["rotate_webhook_secret"], args)
            return IssuedSecret(endpoint=await get_endpoint(conn, self._queries, endpoint_id), secret=shown)

    async def disable(
        self, endpoint_id: EndpointId, *, actor: ActorLike, reason: str, source: str = "api"
    ) -> WebhookEndpoint:
        """Send nothing until it is enabled again; events wait in the log.

        Args:
            reason: Shown with the endpoint too.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        async with changing(self._operations, "disable", endpoint_id, actor, reason, source) as (conn, operation):
            args = {"id": endpoint_id, "reason": operation.entry.reason}
            await conn.execute(self._queries["set_webhook_disabled"], args)
            return await get_endpoint(conn, self._queries, endpoint_id)

    async def enable(
        self, endpoint_id: EndpointId, *, actor: ActorLike, reason: str, source: str = "api"
    ) -> WebhookEndpoint:
        """Go on where it stopped.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        async with changing(self._operations, "enable", endpoint_id, actor, reason, source) as (conn, _):
            await conn.execute(self._queries["set_webhook_disabled"], {"id": endpoint_id, "reason": None})
            await conn.execute(self._queries["hurry_webhook"], {"id": endpoint_id})
            return await get_endpoint(conn, self._queries, endpoint_id)

    async def remove(self, endpoint_id: EndpointId, *, actor: ActorLike, reason: str, source: str = "api") -> None:
        """Forget it, with its secrets and deliveries.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        async with changing(self._operations, "remove", endpoint_id, actor, reason, source) as (conn, _):
            await conn.execute(self._queries["delete_webhook_endpoint"], {"id": endpoint_id})

    async def test(self, endpoint_id: EndpointId) -> Answer:
        """Send a ping from this process, at once and past everything that waits.

        Raises:
            WebhookNotFoundError: It does not exist.
            WebhooksNotInstalledError: The extra ``webhooks`` is missing.
        """
        from .sending import Sender

        async with self._connect() as conn:
            endpoint = await get_endpoint(conn, self._queries, endpoint_id)
            rows = await fetch_all(conn, self._queries["read_webhook_secrets"], {"id": endpoint_id})
        ping = messages.ping_message(self._settings.webhook_source)
        secrets = [row["secret"] for row in rows]
        async with Sender() as sender:
            return await sender.send(endpoint.url, ping, secrets, allow_private=endpoint.allow_private)

    async def deliveries(
        self,
        endpoint_id: EndpointId,
        *,
        state: DeliveryState | None = None,
        before: Cursor | None = None,
        limit: int = 50,
    ) -> Sequence[WebhookDelivery]:
        """Deliveries of an endpoint, of the newest event first; delivered ones for 3 days, dead ones for 30.

        Args:
            before: Only older ones: the last cursor of the previous page.
            limit: At most 1,000.

        Raises:
            WebhookNotFoundError: It does not exist.
            ValueError: The limit is out of range.
        """
        if not 0 < limit <= 1000:
            raise ValueError(f"limit must be 1 to 1,000, found {limit}")
        args = {"endpoint_id": endpoint_id, "state": state, "before": before, "page": limit}
        async with self._connect() as conn:
            await get_endpoint(conn, self._queries, endpoint_id)
            rows = await fetch_all(conn, self._queries["read_webhook_deliveries"], args)
        return [_delivery(row) for row in rows]

    async def replay(
        self,
        endpoint_id: EndpointId,
        cursor: Cursor | None = None,
        *,
        actor: ActorLike,
        reason: str,
        source: str = "api",
    ) -> int:
        """Deliver again, with the same ``webhook-id``: one delivery, or all that are dead.

        Returns:
            How many.

        Raises:
            WebhookNotFoundError: It does not exist.
            WebhookDeliveryNotFoundError: It has no delivery of this event.
        """
        args = {"endpoint_id": endpoint_id, "cursor": cursor}
        async with changing(self._operations, "replay", endpoint_id, actor, reason, source) as (conn, operation):
            rows = await fetch_all(conn, self._queries["replay_webhook_deliveries"], args)
            if cursor is not None and not rows:
                raise WebhookDeliveryNotFoundError(endpoint_id, cursor)
            await conn.execute(self._queries["hurry_webhook"], {"id": endpoint_id})
            operation.tell(details={**operation.entry.details, "cursor": cursor, "replayed": len(rows)})
        return len(rows)

    async def dispatch(self) -> int:
        """Write deliveries for new events and see to their jobs.

        Returns:
            How many deliveries were written; 0 while another node is at it.
        """
        return await self._dispatch() or 0

    async def _dispatch(self) -> int | None:
        return await dispatch.dispatch(
            self._log, self._queries, queue=self._settings.webhook_queue, source=self._settings.webhook_source
        )

    async def sweep(self) -> bool:
        """Dispatch, and remove old deliveries; whether all of it was done here.

        A fault is logged, and the sweep's other parts go on.
        """
        try:
            async with self._connect() as conn:
                found = await fetch_one(conn, self._queries["count_webhooks"])
                if found is None or not found["endpoints"]:
                    return True
                await conn.execute(self._queries["prune_webhooks"])
            return not found["enabled"] or await self._dispatch() is not None
        except Exception:
            logger.exception("webhooks could not be dispatched; trying again with the next sweep")
            return False


def _choose_secret(secret: str | None, variable: str | None) -> tuple[str, str | None]:
    """What is stored, and what is shown."""
    if secret is not None and variable is not None:
        raise ValueError("pass secret or secret_from_env, not both")
    if variable is not None:
        return signing.env_secret(variable), None
    chosen = signing.new_secret() if secret is None else signing.check_secret(secret)
    return chosen, chosen


def _delivery(row: dict[str, Any]) -> WebhookDelivery:
    fields: dict[str, Any] = {**row, "state": DeliveryState(row["state"])}
    return WebhookDelivery(**fields)
