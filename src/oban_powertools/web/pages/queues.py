"""Queues: what waits in each, who serves it, who holds its places, and what may be done to it."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from ...acts import Action, TargetType
from ...operators.authorization import Target
from ...states import OperatorStatus
from ...upkeep.queues import Queue
from ..page import Page, get

_ACTS: Final = (Action.QUEUE_PAUSE, Action.QUEUE_RESUME, Action.QUEUE_SCALE)


async def list_queues(page: Page) -> Response:
    """The list."""
    found = await page.part(page.calls.queues.list())
    queues: Sequence[Queue] = found.value or ()
    blocked = [queue for queue in queues if queue.status is OperatorStatus.BLOCKED]
    return page.render(
        "queues.html",
        title=_title(blocked),
        topics=("workflow:all", "executor:all"),
        found=found,
        queues=[*blocked, *(queue for queue in queues if queue.status is not OperatorStatus.BLOCKED)],
    )


def _title(blocked: Sequence[Queue]) -> str:
    if not blocked:
        return "Queues"
    return f"Queue {blocked[0].name} is blocked" if len(blocked) == 1 else f"{len(blocked)} queues are blocked"


async def show_queue(page: Page) -> Response:
    """One queue."""
    queue = await page.calls.queues.get(page.param("name"))
    return page.render(
        "queue.html",
        title=f"Queue {queue.name}",
        crumbs=[("Queues", page.url("/queues"))],
        queue=queue,
        acts=[(act, await _refusal(page, act, queue)) for act in _ACTS],
    )


async def _refusal(page: Page, act: Action, queue: Queue) -> str | None:
    if not queue.executors:
        return "No executor serves it that could be told."
    if act is Action.QUEUE_PAUSE and queue.paused == queue.executors:
        return "It is paused already."
    if act is Action.QUEUE_RESUME and not queue.paused:
        return "None of its executors is paused."
    return await page.refusal(act, Target(type=TargetType.QUEUE, id=queue.name, queue=queue.name))


ROUTES: Final = (get("/queues", list_queues), get("/queues/{name:path}", show_queue))
