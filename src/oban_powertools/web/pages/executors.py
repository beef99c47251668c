"""Executors by node: who is healthy, late, missing or stopped, and what to suspect first."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from ...config import Settings
from ...lifeline import ExecutorCounts, ExecutorHealth, ExecutorStatus
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
    lifeline = page.calls.lifeline
    found, counted_ = await page.parts(
        lifeline.list_executor_health(status=status, after=cursor, limit=MOST + 1), lifeline.count_executors()
    )
    counts: ExecutorCounts | None = counted_.value
    # without a word those that have stopped are left out: they come last
    fitting = [executor for executor in found.value or () if status or executor.status is not ExecutorStatus.STOPPED]
    rows = fitting[:MOST]
    return page.render(
        "executors.html",
        title=await _title(page, counts),
        topics=_TOPICS,
        late_after=int(_DEFAULTS.executor_late_after.total_seconds()),
        missing_after=int(_DEFAULTS.executor_missing_after.total_seconds()),
        found=found,
        chosen=status,
        counts=counts,
        healthy=counts.by_status[ExecutorStatus.HEALTHY] if counts else 0,
        nodes=_by_node(rows),
        next=rows[-1].cursor if len(fitting) > MOST else None,
        first=cursor is None,
        all_in_trouble=counts and counts.working > 1 and not counts.by_status[ExecutorStatus.HEALTHY],
        tabs=_tabs(page, counts, status),
    )


def _place(executor: ExecutorHealth) -> tuple[str, str, str]:
    return (executor.node, executor.producer_scope, executor.executor_id)


def _by_node(executors: Sequence[ExecutorHealth]) -> Mapping[str, Sequence[ExecutorHealth]]:
    """Node -> its executors, both in order."""
    nodes: dict[str, list[ExecutorHealth]] = {}
    for executor in sorted(executors, key=_place):
        nodes.setdefault(executor.node, []).append(executor)
    return nodes


def _tabs(
    page: Page, counts: ExecutorCounts | None, status: ExecutorStatus | None
) -> list[tuple[str, str, bool, str | None]]:
    def number(status: ExecutorStatus) -> str | None:
        return f"{counts.by_status[status]:,}" if counts else None

    return [
        ("Not stopped", page.here(status=None), status is None, f"{counts.working:,}" if counts else None),
        *((each.value, page.here(status=each.value), each is status, number(each)) for each in _ORDER),
    ]


async def _title(page: Page, counts: ExecutorCounts | None) -> str:
    """What is wrong in a sentence, or the name of the page."""
    missing = counts.missing_nodes if counts else 0
    late = counts.by_status[ExecutorStatus.LATE] if counts else 0
    if not missing and not late:
        return "Executors"
    told = [await _missing(page, missing)] if missing else []
    if late:
        told.append(f"{counted(late, 'executor')} {'is' if late == 1 else 'are'} late")
    sentence = " and ".join(told)
    return sentence[:1].upper() + sentence[1:] if missing != 1 else sentence


async def _missing(page: Page, nodes: int) -> str:
    if nodes > 1:
        return f"{nodes:,} nodes are missing"
    first = await page.part(page.calls.lifeline.list_executor_health(status=ExecutorStatus.MISSING, limit=1))
    return f"{first.value[0].node} is missing" if first.value else "One node is missing"


ROUTES: Final = (get("/executors", list_executors),)
