"""Queues: who serves them, and pausing, resuming and scaling them."""

from collections.abc import Callable
from typing import Any, Final

from ...acts import Action
from ...errors import QueueNotFoundError
from ...upkeep.queues import Queue
from ..rates import Rate
from . import values
from .endpoint import Call, Endpoint, Shape, page
from .values import Parameter
from .workflows import REASON

_QUEUE: Final = Parameter(
    name="queue", value=values.text(most=1000, whole_path=True), about="The queue.", required=True, example="default"
)
_NODE: Final = Parameter(
    name="node", value=values.text(most=1000), about="Only the executors of this node.", example="node-a"
)


async def list_queues(call: Call) -> Any:
    """Every queue that an executor serves or that has jobs which have not ended, by name."""
    return page(await call.calls.queues.list(), None)


async def get_queue(call: Call) -> Queue:
    """One queue, with its executors and the jobs that hold its places."""
    return await call.calls.queues.get(call["queue"])


async def pause_queue(call: Call) -> Any:
    """Let the executors of a queue take no more jobs; jobs that run go on."""
    return {"executors": await call.calls.queues.pause(call["queue"], **call.reasoned("node"))}


async def resume_queue(call: Call) -> Any:
    """Let the executors of a queue take jobs again."""
    return {"executors": await call.calls.queues.resume(call["queue"], **call.reasoned("node"))}


async def scale_queue(call: Call) -> Any:
    """Let each executor of a queue run at most so many jobs at once."""
    return {"executors": await call.calls.queues.scale(call["queue"], call["limit"], **call.reasoned("node"))}


def _post(word: str, handler: Callable[..., Any], act: Action, *body: Parameter) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"/queues/{{queue}}/{word}",
        handler=handler,
        tag="Queues",
        answer=Shape(about="How many executors it concerns.", extra={"executors": int}),
        path_inputs=(_QUEUE,),
        body=(*body, _NODE, REASON),
        act=act,
        rate=Rate.CHANGE,
        repeat="The queue stays as it is then; the audit has another record.",
        errors=(QueueNotFoundError,),
    )


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/queues",
        handler=list_queues,
        tag="Queues",
        answer=Shape(about="All of them.", kind=Queue, paged=True),
    ),
    _post("pause", pause_queue, Action.QUEUE_PAUSE),
    _post("resume", resume_queue, Action.QUEUE_RESUME),
    _post(
        "scale",
        scale_queue,
        Action.QUEUE_SCALE,
        Parameter(
            name="limit", value=values.count(most=10_000), about="How many jobs at once.", required=True, example=5
        ),
    ),
    Endpoint(
        method="GET",
        path="/queues/{queue}",
        handler=get_queue,
        tag="Queues",
        answer=Shape(about="The queue.", kind=Queue, tagged=True),
        path_inputs=(_QUEUE,),
        errors=(QueueNotFoundError,),
    ),
)
