"""Webhooks whose jobs only the test runs: the fixture ``post``."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from oban_powertools import WorkflowId
from oban_powertools.events.types import Cursor
from oban_powertools.webhooks import IssuedSecret, WebhookDelivery, WebhookEndpoint
from oban_powertools.webhooks.delivering import deliver_due
from tests.support.by_hand import Hand, chain

FINISHED = ("workflow.finished",)
ADA: Any = {"actor": "ada", "reason": "because of a test"}


class Post:
    """One node by hand: what its sweep does, and what its queue ``powertools_webhooks`` does."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.powertools = hand.powertools
        self.webhooks = hand.powertools.webhooks

    async def add(self, url: str, **options: Any) -> IssuedSecret:
        """An endpoint on loopback that gets the ends of workflows."""
        return await self.webhooks.add(url, **{"allow_private": True, "types": FINISHED, **ADA, **options})

    async def finish_workflows(self, many: int = 1, *, result: Any = None, **options: Any) -> list[WorkflowId]:
        ids: list[WorkflowId] = []
        for _ in range(many):
            ids.append(await self.hand.insert(chain(1, **options)))
            await self.hand.run(ids[-1], {"s0": result})
        return ids

    async def run_job(self, issued: IssuedSecret) -> timedelta | None:
        """Run the endpoint's job once; it says when it wants to come back."""
        job_id = await self.hand.one(
            "SELECT job_id FROM powertools.webhook_endpoints WHERE id = %s", issued.endpoint.id
        )
        return await self.run_job_as(issued, job_id)

    async def run_job_as(self, issued: IssuedSecret, job_id: int) -> timedelta | None:
        return await deliver_due(self.powertools._services.connect, issued.endpoint.id, job_id, lambda: False)

    async def deliver(self, issued: IssuedSecret) -> timedelta | None:
        """What the sweep and then the job do."""
        await self.webhooks.dispatch()
        return await self.run_job(issued)

    async def endpoint(self, issued: IssuedSecret) -> WebhookEndpoint:
        return await self.webhooks.get(issued.endpoint.id)

    async def deliveries(self, issued: IssuedSecret) -> Sequence[WebhookDelivery]:
        """The oldest event first."""
        return (await self.webhooks.deliveries(issued.endpoint.id))[::-1]

    async def states(self, issued: IssuedSecret) -> list[str]:
        return [delivery.state.value for delivery in await self.deliveries(issued)]

    async def pass_time(self, span: timedelta) -> None:
        """All clocks of deliveries and leases go on by so much."""
        await self.hand.rows(
            "UPDATE powertools.webhook_deliveries SET due_at = due_at - %s, queued_at = queued_at - %s, "
            "finished_at = finished_at - %s",
            span,
            span,
            span,
        )
        await self.hand.rows("UPDATE powertools.webhook_endpoints SET leased_until = leased_until - %s", span)

    async def end_job(self, issued: IssuedSecret, state: str = "completed") -> None:
        """What Oban writes down of the endpoint's job."""
        await self.hand.rows(
            "UPDATE oban_jobs SET state = %s::oban_job_state, attempted_at = timezone('UTC', now()), "
            "scheduled_at = scheduled_at + interval '1 hour' * (%s = 'scheduled')::int "
            "WHERE id = (SELECT job_id FROM powertools.webhook_endpoints WHERE id = %s)",
            state,
            state,
            issued.endpoint.id,
        )

    async def write_delivery(self, issued: IssuedSecret, cursor: Cursor, **columns: Any) -> None:
        message = {"id": f"msg_{cursor}", "type": "oban_powertools.ping"}
        await self.hand.rows(
            "INSERT INTO powertools.webhook_deliveries (endpoint_id, cursor, message, state, finished_at) "
            "VALUES (%s, %s, %s, %s, %s)",
            issued.endpoint.id,
            cursor,
            Jsonb(message),
            columns.get("state", "pending"),
            columns.get("finished_at"),
        )


@pytest.fixture
def post(hand: Hand) -> Post:
    return Post(hand)
