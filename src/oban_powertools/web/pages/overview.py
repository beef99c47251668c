"""The overview: must somebody act? If not, why one may believe that."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from ...lifeline import ExecutorHealth
from ...states import ExecutorState
from ..page import Page, get

_TOPICS: Final = ("incident:all", "executor:all", "workflow:all")


async def overview(page: Page) -> Response:
    """The page."""
    incidents, executors, repairs = await page.parts(
        page.calls.lifeline.list_incidents(),
        page.calls.lifeline.list_executor_health(),
        page.calls.audit.list(limit=5),
    )
    return page.render(
        "overview.html",
        title="Overview",
        topics=_TOPICS,
        incidents=incidents,
        executors=executors,
        nodes=_by_node(executors.value or ()),
        repairs=repairs,
    )


def _by_node(executors: Sequence[ExecutorHealth]) -> Mapping[str, Any]:
    """Node -> its executors, those that have not stopped."""
    nodes: dict[str, list[ExecutorHealth]] = {}
    for executor in executors:
        if executor.state is not ExecutorState.STOPPED:
            nodes.setdefault(executor.node, []).append(executor)
    return dict(sorted(nodes.items()))


ROUTES: Final = (get("/", overview),)
