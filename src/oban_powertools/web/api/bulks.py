"""Bulk repairs: list the targets of one, begin it, follow it. The token is the idempotency key here, too."""

import hmac
from typing import Final

from ...acts import IN_BULK, Action
from ...errors import (
    BulkCountError,
    BulkFilterError,
    BulkNotFoundError,
    BulkTooLargeError,
    PreviewConsumedError,
    PreviewExpiredError,
    PreviewOfAnotherActorError,
)
from ...lifeline import Bulk, BulkPreview
from ..rates import Rate
from . import values
from .endpoint import Call, Endpoint, Reply, Shape
from .previews import HOLD_FOR, TOKEN
from .values import ID, OBJECT, Parameter
from .workflows import REASON

_BULK: Final = Parameter(name="bulk_id", value=ID, about="The bulk repair.", required=True, example="3")


async def create_bulk(call: Call) -> Reply:
    """List the targets of a bulk repair: at most 1,000, with a token that repairs exactly these."""
    made = await call.calls.lifeline.preview_bulk(
        call.actor, call["action"], call["filter"], **call.only("incident_fingerprint", "hold_for"), source="api"
    )
    return Reply(value=made, status=201, location=f"/bulks/{made.id}")


async def get_bulk(call: Call) -> Bulk:
    """A bulk repair, with the outcome of each target; its token only for the actor who made it, until it has ended."""
    return await call.calls.lifeline.bulk_status(call["bulk_id"], token_for=call.actor)


async def execute_bulk(call: Call) -> Reply:
    """Repair the targets one by one; the same request again goes on where it stopped, or returns what was done."""
    lifeline, token, own = call.calls.lifeline, call["preview_token"], call.actor.id
    bulk = await lifeline.bulk_status(call["bulk_id"], token_for=call.actor)
    if bulk.actor_id != own:
        # Somebody else's is refused by the call itself, which records that.
        bulk = await lifeline.bulk_status(call["bulk_id"], token_for=bulk.actor_id)
    if not hmac.compare_digest((bulk.preview_token or "").encode(), token.encode()):
        raise BulkNotFoundError
    if bulk.status == "done" and bulk.actor_id == own:
        return _reply(bulk, replayed=True)
    reason = call.values.get("reason", "")
    done = await lifeline.execute_bulk(call.actor, token, reason, **call.only("confirm_total"), source="api")
    return _reply(done, replayed=False)


def _reply(bulk: Bulk, *, replayed: bool) -> Reply:
    shown = {**bulk.to_dict(), "preview_token": None, "replayed": replayed}
    return Reply(value=shown, location=f"/bulks/{bulk.id}")


ENDPOINTS: Final = (
    Endpoint(
        method="POST",
        path="/bulks",
        handler=create_bulk,
        tag="Repairs",
        answer=Shape(about="The targets, with the token.", kind=BulkPreview, statuses=(201,)),
        body=(
            Parameter(
                name="action", value=values.word(IN_BULK), about="Which repair.", required=True, example="job_retry"
            ),
            Parameter(
                name="filter",
                value=OBJECT,
                about="What to match, all of it: `ids`, `state`, `queue`, `worker` and others by the type of target.",
                required=True,
                example={"state": "discarded", "queue": "mail"},
            ),
            Parameter(name="incident_fingerprint", value=values.text(most=2000), about="The incident that it is for."),
            HOLD_FOR,
        ),
        act=Action.PREVIEW_BULK,
        rate=Rate.BULK,
        repeat="Makes another list; it changes no target.",
        errors=(BulkFilterError, BulkTooLargeError),
    ),
    Endpoint(
        method="GET",
        path="/bulks/{bulk_id}",
        handler=get_bulk,
        tag="Repairs",
        answer=Shape(about="The bulk repair.", kind=Bulk, tagged=True),
        path_inputs=(_BULK,),
        errors=(BulkNotFoundError,),
    ),
    Endpoint(
        method="POST",
        path="/bulks/{bulk_id}/execute",
        handler=execute_bulk,
        tag="Repairs",
        answer=Shape(about="The bulk repair as it is then.", kind=Bulk, extra={"replayed": bool}),
        path_inputs=(_BULK,),
        body=(
            TOKEN,
            Parameter(
                name="confirm_total",
                value=values.count(most=1000),
                about="How many targets there are; above 100 it is needed.",
                example=3,
            ),
            REASON,
        ),
        act=Action.EXECUTE_BULK,
        also=IN_BULK,
        rate=Rate.BULK,
        repeat="Repairs no target twice: it goes on where it stopped, and when all are done returns them, with "
        "`replayed: true`.",
        errors=(
            BulkNotFoundError,
            PreviewExpiredError,
            PreviewConsumedError,
            PreviewOfAnotherActorError,
            BulkCountError,
        ),
    ),
)
