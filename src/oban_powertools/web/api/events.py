"""Events: a page of the log, and the stream of what happens from now on."""

from typing import Any, Final

from starlette.responses import Response

from ...errors import CursorExpiredError
from ...events import AnyEvent
from . import values
from .endpoint import LIMIT, Call, Endpoint, Shape
from .values import PLACE, Parameter

_TOPIC: Final = Parameter(
    name="topic",
    value=values.text(most=2020),
    about="`workflow:all`, `workflow:41`, `incident:all`, `incident:12`, `executor:all`, `executor:ID` or `audit:all`.",
    required=True,
    example="workflow:all",
)


async def list_events(call: Call) -> Any:
    """Events of a topic after a cursor, oldest first; without a cursor none, but where to go on from."""
    events, limit = call.calls.events, call["limit"]
    if "since" not in call.values:
        return {"items": [], "next_cursor": str(await events.head()), "has_more": False}
    found = await events.read_topic(call["topic"], since=call["since"], limit=limit + 1)
    shown = found[:limit]
    return {
        "items": [event.to_dict() for event in shown],
        "next_cursor": str(shown[-1].cursor if shown else call["since"]),
        "has_more": len(found) > limit,
    }


async def stream_events(call: Call) -> Response:
    """Events of a topic as they happen, as server-sent events.

    `Last-Event-ID`, else `after`, is the cursor of the last event that the client has; without one the stream begins
    now. `reset`: the cursor is not in the log any more; read again, then go on from the event's id.
    """
    raise NotImplementedError(call)  # the stream answers by itself: see ``app``


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/events",
        handler=list_events,
        tag="Events",
        answer=Shape(
            about="A page of events. `next_cursor` is always there: ask with it again for what has happened since.",
            kind=AnyEvent,
            paged=True,
        ),
        query=(
            _TOPIC,
            Parameter(name="cursor", value=PLACE, about="The `next_cursor` of the page before.", to="since"),
            LIMIT,
        ),
        errors=(CursorExpiredError,),
    ),
    Endpoint(
        method="GET",
        path="/events/stream",
        handler=stream_events,
        tag="Events",
        answer=Shape(about="The stream.", media=("text/event-stream",)),
        query=(_TOPIC, Parameter(name="after", value=PLACE, about="The cursor of the last event that the client has.")),
    ),
)
