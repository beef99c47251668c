"""Executors by node: who is healthy, late, missing or stopped, and what to suspect first."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from ...config import Settings
from ...lifeline import ExecutorHealth, ExecutorStatus
from ...plural import counted
from ..page import Page, get

_TOPICS: Final = ("executor:all",)

_DEFAULTS: Final = Settings()
"""With which ages processes start; each may have its own."""

MOST: Final = 100
"""Executors of one page."""

_ORDER: Final = (ExecutorStatus.MISSING, ExecutorStatus.LATE, ExecutorStatus.HEALTHY, ExecutorStatus.STOPPED)


async def list_executors(page: Page) -> Response:
    """The list."""
    status, cursor = page.word("status", ExecutorStatus), page.query("cursor")
    found = await page.part(page.calls.lifeline.list_executor_health())
    everyone: Sequence[ExecutorHealth] = found.value or ()
    working = [executor for executor in everyone if executor.status is not ExecutorStatus.STOPPED]
    chosen = [executor for executor in everyone if executor.status is status] if status else working
    shown = sorted(chosen, key=_place)
    begin = next((place for place, executor in enumerate(shown) if executor.executor_id == cursor), -1) + 1
    rows = shown[begin : begin + MOST]
    return page.render(
        "executors.html",
        title=_title(working),
        topics=_TOPICS,
        late_after=int(_DEFAULTS.executor_late_after.total_seconds()),
        missing_after=int(_DEFAULTS.executor_missing_after.total_seconds()),
        found=found,
        chosen=status,
        newest=max((executor.beat_at for executor in working), default=None),
        working=working,
        everyone=everyone,
        nodes=_by_node(rows),
        next=rows[-1].executor_id if begin + MOST < len(shown) else None,
        first=cursor is None,
        all_in_trouble=len(working) > 1 and all(executor.status is not ExecutorStatus.HEALTHY for executor in working),
        tabs=_tabs(page, everyone, status),
    )


def _place(executor: ExecutorHealth) -> tuple[str, str, str]:
    return (executor.node, executor.producer_scope, executor.executor_id)


def _by_node(executors: Sequence[ExecutorHealth]) -> Mapping[str, Sequence[ExecutorHealth]]:
    """Node -> its executors, both in order."""
    nodes: dict[str, list[ExecutorHealth]] = {}
    for executor in executors:
        nodes.setdefault(executor.node, []).append(executor)
    return nodes


def _tabs(
    page: Page, everyone: Sequence[ExecutorHealth], status: ExecutorStatus | None
) -> list[tuple[str, str, bool, str]]:
    counts = {each: sum(executor.status is each for executor in everyone) for each in _ORDER}
    working = len(everyone) - counts[ExecutorStatus.STOPPED]
    return [
        ("Not stopped", page.here(status=None), status is None, str(working)),
        *((each.value, page.here(status=each.value), each is status, str(counts[each])) for each in _ORDER),
    ]


def _title(working: Sequence[ExecutorHealth]) -> str:
    """What is wrong in a sentence, or the name of the page."""
    missing = sorted({executor.node for executor in working if executor.status is ExecutorStatus.MISSING})
    late = sum(executor.status is ExecutorStatus.LATE for executor in working)
    if not missing and not late:
        return "Executors"
    told = [f"{missing[0]} is missing" if len(missing) == 1 else f"{len(missing)} nodes are missing"] if missing else []
    if late:
        told.append(f"{counted(late, 'executor')} {'is' if late == 1 else 'are'} late")
    sentence = " and ".join(told)
    return sentence[:1].upper() + sentence[1:] if not missing or len(missing) > 1 else sentence


ROUTES: Final = (get("/executors", list_executors),)
