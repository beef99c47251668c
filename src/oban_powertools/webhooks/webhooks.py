"""The calls of ``powertools.webhooks``: each opens its connection and runs a feature function.

The rules that must never break: a secret leaves only in an ``IssuedSecret``; an operator's change is authorized and
recorded (invariant/I4).
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from ..arguments import (
    LONGEST,
    as_count,
    as_cursor,
    as_flag,
    as_id,
    as_span,
    as_text,
    as_word,
    check_text,
    unless_none,
)
from ..errors import InvalidSettingError, WebhookDeliveryNotFoundError
from ..events.reads import Log
from ..events.types import Cursor
from ..operators.audit import Operations
from ..operators.authorization import ActorLike
from ..operators.services import Facade, Services
from ..privacy.display import Kind
from ..privacy.logs import find_logger
from . import addresses, cloudevents, dispatch
from .changing import adding, changing, describe_added, find_endpoint, get_endpoint
from .formats import Format, as_console_url, check_types_of, choose_secret
from .records import Answer, DeliveryState, EndpointId, IssuedSecret, WebhookDelivery, WebhookEndpoint, WebhookHour
from .rendering import AlertSource, ping_message

logger: Final = find_logger(__name__)

OLD_SECRET_KEPT_FOR: Final = timedelta(hours=24)

MOST_HOURS: Final = 72
"""Hours for which outcomes are counted."""

MOST_TALLIED: Final = 5000
"""Newest deliveries of an endpoint that are counted by hour."""


class Webhooks(Facade):
    """Send events to other systems.

    Every change takes ``actor``, a name or a mapping with an ``id``; ``reason``, for whoever reads the audit; and
    ``source``, the door: ``api``, ``cli`` or ``web``. Refused, it raises ``NotAuthorizedError``,
    ``UnattributedActorError`` or ``ReasonRequiredError``, and that is recorded.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._log = Log(services)
        self._operations = Operations(services)

    async def add(
        self,
        url: str,
        *,
        actor: ActorLike,
        reason: str,
        description: str = "",
        types: Iterable[str] | None = None,
        workflow_name: str | None = None,
        allow_private: bool = False,
        secret: str | None = None,
        secret_from_env: str | None = None,
        format: Format | str = Format.CLOUDEVENTS,  # noqa: A002 - its name on every door
        console_url: str | None = None,
        since: int | str | None = None,
        source: str = "api",
    ) -> IssuedSecret:
        """Add an endpoint: send events to a URL from now on.

        Args:
            types: Only these, such as ``workflow.finished``; None for the default of the format, of CloudEvents
                the events of workflows; an empty list is refused.
            workflow_name: Only of workflows of this name; None for any.
            allow_private: Permit plain HTTP, and addresses that are not public.
            secret: ``whsec_...`` that the receiver already has; None makes a new one.
            secret_from_env: The environment variable with the secret wherever deliveries run; then the database does
            not store it.
            since: Begin after this event; None begins with the next one.

        Raises:
            InvalidSettingError: The URL, a type or the secret cannot be used.
            InvalidArgumentError: Another argument is not what it should be.
            CursorExpiredError: The log does not hold the events after ``since``.
        """
        form = as_word("format", format, Format)
        stored, plain = choose_secret(form, secret, secret_from_env)
        private, after = as_flag("allow_private", allow_private), unless_none(as_cursor, "since", since)
        args = {
            "url": addresses.check_url(as_text("url", url), allow_private=private),
            "description": self._display.render_text(Kind.DETAILS, check_text("description", description) or ""),
            "types": check_types_of(form, types),
            "workflow_name": unless_none(as_text, "workflow_name", workflow_name),
            "allow_private": private,
            "secret": stored,
            "format": form.value,
            "console_url": unless_none(as_console_url, "console_url", console_url),
        }
        async with adding(self._operations, url, workflow_name, actor, reason, source) as operation:
            async with self._log.placed() as (_, bounds):
                begin = bounds.head if after is None else Cursor(after)
                bounds.check(begin)
            async with operation.transaction() as session:
                row = await session.one("insert_webhook_endpoint", {**args, "cursor": begin})
                assert row is not None
                endpoint = await get_endpoint(session, row["id"])
                describe_added(operation, endpoint)
            return IssuedSecret(endpoint=endpoint, secret=plain)

    async def list(self) -> list[WebhookEndpoint]:
        """Every endpoint, the oldest first."""
        async with self._connect() as session:
            return await session.records(WebhookEndpoint, "read_webhook_endpoints", {"id": None})

    async def get(self, endpoint_id: int | str) -> WebhookEndpoint:
        """One endpoint.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        async with self._connect() as session:
            return await get_endpoint(session, _key(endpoint_id))

    async def update(
        self,
        endpoint_id: int | str,
        *,
        actor: ActorLike,
        reason: str,
        url: str | None = None,
        description: str | None = None,
        types: Iterable[str] | None = None,
        workflow_name: str | None = None,
        any_workflow: bool = False,
        allow_private: bool | None = None,
        console_url: str | None = None,
        source: str = "api",
    ) -> WebhookEndpoint:
        """Change the given fields; deliveries that wait for their next attempt are tried at once.

        Args:
            types: To get all events, name every type; an empty list is refused.
            any_workflow: Get events of workflows of any name from now on.

        Raises:
            WebhookNotFoundError: It does not exist.
            InvalidSettingError: The URL or a type cannot be used.
            InvalidArgumentError: Another argument is not what it should be.
        """
        key, name = _key(endpoint_id), unless_none(as_text, "workflow_name", workflow_name)
        check_text("description", description)
        args = {
            "id": key,
            "url": unless_none(as_text, "url", url),
            "description": description and self._display.render_text(Kind.DETAILS, description),
            "types": None if types is None else check_types_of(await self._format_of(key), types),
            "console_url": unless_none(as_console_url, "console_url", console_url),
            "workflow_name": "" if as_flag("any_workflow", any_workflow) else name,
            "allow_private": unless_none(as_flag, "allow_private", allow_private),
        }
        async with changing(self._operations, "update", key, actor, reason, source) as (session, _):
            endpoint = await get_endpoint(session, key)
            private = endpoint.allow_private if allow_private is None else allow_private
            addresses.check_url(endpoint.url if url is None else url, allow_private=private)
            await session.run("update_webhook_endpoint", args)
            await session.run("hurry_webhook", {"id": key})
            return await get_endpoint(session, key)

    async def rotate_secret(
        self,
        endpoint_id: int | str,
        *,
        actor: ActorLike,
        reason: str,
        keep_old_for: timedelta | float = OLD_SECRET_KEPT_FOR,
        secret: str | None = None,
        secret_from_env: str | None = None,
        source: str = "api",
    ) -> IssuedSecret:
        """Sign with a new secret, and for a while also with the old one.

        Raises:
            WebhookNotFoundError: It does not exist.
            InvalidSettingError: The secret cannot be used.
        """
        time, key = as_span("keep_old_for", keep_old_for, least=timedelta(0), most=LONGEST), _key(endpoint_id)
        stored, plain = choose_secret(await self._format_of(key), secret, secret_from_env)
        if stored is None:
            raise InvalidSettingError("the format of the webhook", "without a secret", "one that takes a secret")
        args = {"id": key, "secret": stored, "keep_old_for": time}
        async with changing(self._operations, "rotate_secret", key, actor, reason, source) as (session, _):
            await session.run("rotate_webhook_secret", args)
            return IssuedSecret(endpoint=await get_endpoint(session, key), secret=plain)

    async def disable(
        self, endpoint_id: int | str, *, actor: ActorLike, reason: str, source: str = "api"
    ) -> WebhookEndpoint:
        """Send nothing until it is enabled again; events wait in the log.

        Args:
            reason: Also shown with the endpoint.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        key = _key(endpoint_id)
        async with changing(self._operations, "disable", key, actor, reason, source) as (session, operation):
            args = {"id": key, "reason": operation.entry.reason}
            await session.run("set_webhook_disabled", args)
            return await get_endpoint(session, key)

    async def enable(
        self, endpoint_id: int | str, *, actor: ActorLike, reason: str, source: str = "api"
    ) -> WebhookEndpoint:
        """Enable it: deliveries continue where they stopped.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        key = _key(endpoint_id)
        async with changing(self._operations, "enable", key, actor, reason, source) as (session, _):
            await session.run("set_webhook_disabled", {"id": key, "reason": None})
            await session.run("hurry_webhook", {"id": key})
            return await get_endpoint(session, key)

    async def remove(self, endpoint_id: int | str, *, actor: ActorLike, reason: str, source: str = "api") -> None:
        """Remove it, with its secrets and deliveries.

        Raises:
            WebhookNotFoundError: It does not exist.
        """
        key = _key(endpoint_id)
        async with changing(self._operations, "remove", key, actor, reason, source) as (session, _):
            await session.run("delete_webhook_endpoint", {"id": key})

    async def test(self, endpoint_id: int | str) -> Answer:
        """Send a ping from this process at once, ahead of all waiting deliveries.

        Raises:
            WebhookNotFoundError: It does not exist.
            WebhooksNotInstalledError: The extra ``webhooks`` is missing.
        """
        from .sending import Sender

        key = _key(endpoint_id)
        async with self._connect() as session:
            endpoint = await get_endpoint(session, key)
            rows = await session.all("read_webhook_secrets", {"id": key})
        ping = self._ping(endpoint)
        secrets = [row["secret"] for row in rows]
        async with Sender() as sender:
            return await sender.send(
                endpoint.url, ping, secrets, allow_private=endpoint.allow_private, form=endpoint.format
            )

    def _ping(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        name = self._settings.webhook_source
        if endpoint.format is Format.CLOUDEVENTS:
            return cloudevents.ping_message(name)
        return ping_message(endpoint.format, AlertSource(name=name, console_url=endpoint.console_url))

    async def deliveries(
        self,
        endpoint_id: int | str,
        *,
        state: DeliveryState | str | None = None,
        before: int | str | None = None,
        limit: int = 50,
    ) -> Sequence[WebhookDelivery]:
        """Deliveries of an endpoint, of the newest event first; delivered ones for 3 days, dead ones for 30.

        Args:
            before: Only older ones: the last cursor of the previous page.
            limit: At most 1,000.

        Raises:
            WebhookNotFoundError: It does not exist.
            InvalidArgumentError: There is no such state, or the limit is out of range.
        """
        key = _key(endpoint_id)
        args = {
            "endpoint_id": key,
            "state": None if state is None else as_word("state", state, DeliveryState),
            "before": unless_none(as_cursor, "before", before),
            "page": as_count("limit", limit, most=1000),
        }
        async with self._connect() as session:
            await get_endpoint(session, key)
            return await session.records(WebhookDelivery, "read_webhook_deliveries", args)

    async def outcomes(self, *, hours: int = 24) -> Sequence[WebhookHour]:
        """What became of the deliveries of every endpoint, hour by hour; of each the newest 5,000 are looked at.

        Args:
            hours: So many, the one that runs now included; at most 72: delivered ones are kept for 3 days.

        Returns:
            By endpoint and hour; only hours in which something was delivered or given up.
        """
        args = {"hours": as_count("hours", hours, most=MOST_HOURS), "most": MOST_TALLIED}
        async with self._connect() as session:
            return await session.records(WebhookHour, "tally_webhook_outcomes", args)

    async def replay(
        self,
        endpoint_id: int | str,
        cursor: int | str | None = None,
        *,
        actor: ActorLike,
        reason: str,
        source: str = "api",
    ) -> int:
        """Deliver again with the same ``webhook-id``: one delivery, or all dead ones.

        Returns:
            How many.

        Raises:
            WebhookNotFoundError: It does not exist.
            WebhookDeliveryNotFoundError: It has no delivery of this event.
        """
        key, place = _key(endpoint_id), unless_none(as_cursor, "cursor", cursor)
        args = {"endpoint_id": key, "cursor": place}
        async with changing(self._operations, "replay", key, actor, reason, source) as (session, operation):
            rows = await session.all("replay_webhook_deliveries", args)
            if place is not None and not rows:
                raise WebhookDeliveryNotFoundError(key, place)
            await session.run("hurry_webhook", {"id": key})
            operation.update(details={**operation.entry.details, "cursor": place, "replayed": len(rows)})
        return len(rows)

    async def _format_of(self, endpoint_id: EndpointId) -> Format:
        async with self._connect() as session:
            endpoint = await find_endpoint(session, endpoint_id)
        return Format.CLOUDEVENTS if endpoint is None else endpoint.format

    async def dispatch(self) -> int:
        """Write deliveries for new events and insert the jobs that send them.

        Returns:
            How many deliveries were written; 0 while another node does it.
        """
        return await self._dispatch() or 0

    async def _dispatch(self) -> int | None:
        return await dispatch.dispatch(
            self._log, queue=self._settings.webhook_queue, source=self._settings.webhook_source
        )

    async def sweep(self) -> bool:
        """Dispatch, and remove old deliveries; returns whether this node did all of it.

        A fault is logged, and the sweep's other parts go on.
        """
        try:
            async with self._connect() as session:
                counts = await session.one("count_webhooks")
                if counts is None or not counts["endpoints"]:
                    return True
                await session.run("prune_webhooks")
            return not counts["enabled"] or await self._dispatch() is not None
        except Exception:
            logger.exception("webhooks could not be dispatched; trying again with the next sweep")
            return False


def _key(endpoint_id: object) -> EndpointId:
    return EndpointId(as_id("endpoint_id", endpoint_id))
