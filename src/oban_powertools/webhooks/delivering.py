"""Send the due deliveries of one endpoint, one after another.

The rules that must never break: nothing is sent without the lease (webhooks/W2), and the outcome of an attempt is
stored before the next one begins.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from ..database import Connect, Session
from ..privacy.logs import find_logger
from .formats import Format
from .records import Answer, DeliveryState
from .schedule import DELIVER_FOR, LEASED_FOR, next_try
from .sending import Sender

logger: Final = find_logger(__name__)


async def deliver_due(
    connect: Connect,
    endpoint_id: int,
    job_id: int,
    stopping: Callable[[], bool],
) -> timedelta | None:
    """Send the due deliveries of an endpoint.

    Args:
        connect: An autocommit connection of our own pool; none is held while a receiver answers.

    Returns:
        When to come back; None when there is nothing left for this job to do.
    """
    until = time.monotonic() + DELIVER_FOR.total_seconds()
    claim_args = {"endpoint_id": endpoint_id, "job_id": job_id, "leased_for": LEASED_FOR}
    async with Sender() as sender:
        while time.monotonic() < until and not stopping():
            async with connect() as session:
                claim = await session.one("claim_webhook", claim_args)
            assert claim is not None
            if claim["outcome"] == "wait":
                return timedelta(seconds=claim["wait_for"])
            if claim["outcome"] != "claimed":
                return None
            answer = await sender.send(
                claim["url"],
                claim["message"],
                claim["secrets"],
                allow_private=claim["allow_private"],
                form=Format(claim["format"]),
            )
            async with connect() as session:
                await _finish(session, endpoint_id, claim, answer)
    return timedelta(0)


async def _finish(session: Session, endpoint_id: int, claim: dict[str, Any], answer: Answer) -> None:
    gone = answer.status == HTTPStatus.GONE
    state, retry_in = DeliveryState.DELIVERED, None
    if answer.error:
        retry_in = next_try(claim["attempts"], timedelta(seconds=claim["age"]), answer.retry_after)
        state = DeliveryState.DEAD if retry_in is None and not gone else DeliveryState.PENDING
    args = {
        "endpoint_id": endpoint_id,
        "lease": claim["lease"],
        "delivery": claim["delivery"],
        "state": state.value,
        "status": answer.status,
        "error": answer.error,
        "retry_in": None if gone else retry_in,
        "disabled_for": "the receiver answered 410 Gone: it wants no more" if gone else None,
    }
    row = await session.one("finish_webhook", args)
    assert row is not None
    _tell(endpoint_id, claim, answer, state, held=row["held"])


def _tell(endpoint_id: int, claim: dict[str, Any], answer: Answer, state: DeliveryState, *, held: bool) -> None:
    if not held:
        logger.warning("webhook %s: delivery %s was taken over by another job", endpoint_id, claim["delivery"])
    elif answer.status == HTTPStatus.GONE:
        logger.warning("webhook %s is disabled: its receiver answered 410 Gone", endpoint_id)
    elif state is DeliveryState.DEAD:
        logger.error(
            "webhook %s: delivery %s is given up after %s attempts: %s",
            endpoint_id,
            claim["delivery"],
            claim["attempts"],
            answer.error,
        )
    elif answer.error:
        logger.info("webhook %s: delivery %s failed: %s", endpoint_id, claim["delivery"], answer.error)
