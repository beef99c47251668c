"""One workflow: what holds it up, and its graph, steps, times, events, history, context and audit.

The core explains it and decides what is legal; this page only lays it out.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from starlette.responses import Response

from ...acts import Action
from ...arguments import as_workflow_id
from ...errors import WorkflowNotFoundError
from ...events import Cursor
from ...explain import WorkflowExplanation
from ...graph.reading import read_chart
from ...operators.authorization import Target
from ...states import OperatorStatus, StepState
from ...workflows.reasons import step_reason, uncompleted_steps
from ...workflows.records import WorkflowRecord
from ..page import ROWS, Page, get
from .drawings import FOCUSED_ABOVE, MOST_DRAWN, draw_chart, read_graph
from .step import MOST_CHAIN, OfferedAct, SeenStep, find_step

_EVENTS: Final = 200
"""Events of a page."""


class Tab(StrEnum):
    """The views of a workflow."""

    GRAPH = "graph"
    STEPS = "steps"
    GANTT = "gantt"
    EVENTS = "events"
    HISTORY = "history"
    CONTEXT = "context"
    AUDIT = "audit"


async def show(page: Page) -> Response:
    """The page."""
    workflow_id = as_workflow_id(page.param("id"))
    found = await page.calls.workflows.find(workflow_id)
    if found is None:
        raise WorkflowNotFoundError(workflow_id)
    workflow = page.calls.as_displayed(found)
    large = workflow.total > FOCUSED_ABOVE
    tab = page.word("tab", Tab) or (Tab.STEPS if large else Tab.GRAPH)
    why = await page.part(page.calls.explain.workflow(workflow_id))
    name = page.query("step") or page.query("focus")
    seen = await find_step(page, workflow, name) if name and tab in _WITH_STEP else None
    body = await page.part(_BODIES[tab](page, workflow, why.value, seen))
    view = dict(body.value or {})
    if draw := view.pop("draw", None):
        graph = await draw()
        view |= {"graph": graph, "words": graph.words}
    return page.render(
        f"workflow/{tab}.html",
        title=f"{workflow.name} {workflow_id}",
        crumbs=[("Workflows", page.url("/workflows")), *await _above(page, workflow)],
        topics=(f"workflow:{workflow_id}",),
        workflow=workflow,
        why=why,
        acts=await _acts(page, workflow, why.value),
        uncompleted=uncompleted_steps(workflow),
        tab=tab,
        tabs=_tabs(page, workflow, tab, large=large),
        large=large,
        body=body,
        seen=seen,
        missing=name if name and tab in _WITH_STEP and seen is None else None,
        most_chain=MOST_CHAIN,
        open_all=False,
        **view,
    )


def _tabs(page: Page, workflow: WorkflowRecord, tab: Tab, *, large: bool) -> list[tuple[str, str, bool, str | None]]:
    first = Tab.STEPS if large else Tab.GRAPH
    order = [first, *(each for each in Tab if each is not first)]
    return [
        (
            each.value.capitalize(),
            page.url(page.path, tab=None if each is first else each.value, step=page.query("step")),
            each is tab,
            f"{workflow.total:,}" if each is Tab.STEPS else None,
        )
        for each in order
    ]


async def _above(page: Page, workflow: WorkflowRecord) -> list[tuple[str, str]]:
    """The workflows that this one is nested in, from the outermost."""
    above: list[tuple[str, str]] = []
    parent = workflow.parent_id
    while parent is not None and len(above) < _MOST_LEVELS:
        outer = await page.calls.workflows.find(parent)
        if outer is None:
            break
        above.append((f"{outer.name} {outer.id}", page.url(f"/workflows/{outer.id}")))
        parent = outer.parent_id
    return above[::-1]


_MOST_LEVELS: Final = 8


async def _acts(page: Page, workflow: WorkflowRecord, why: WorkflowExplanation | None) -> list[OfferedAct]:
    """The legal repairs of the whole workflow."""
    offered: list[OfferedAct] = []
    for act in why.legal_actions if why else ():
        if act.name in Action:
            target = replace(
                Target.of_workflow(workflow.id),
                workflow_name=workflow.name,
                workflow_tags=workflow.tags,
                repair=Action(act.name),
            )
            refusal = await page.refusal(Action.PREVIEW_REPAIR, target)
            offered.append(OfferedAct(name=act.name, target_id=str(workflow.id), refusal=refusal))
    return offered


# ---- the views


async def _graph(
    page: Page, workflow: WorkflowRecord, why: WorkflowExplanation | None, seen: SeenStep | None
) -> dict[str, Any]:
    if workflow.total > MOST_DRAWN:
        return {"graph": None, "words": {}, "most_drawn": MOST_DRAWN}
    key = f"{seen.workflow.id}/{seen.name}" if seen else None
    causes: list[str] = []
    if seen and seen.why.value:
        causes = [f"{cause.workflow_id}/{cause.step}" for cause in seen.why.value.root_causes]
    elif why and why.open:
        examples = [cause for group in why.root_causes for cause in group.examples if cause.status in _STUCK]
        causes = [f"{cause.workflow_id}/{cause.step}" for cause in examples]
    within = await _within(page, workflow, seen.workflow) if seen else []
    return {"draw": await read_graph(page, workflow, key, causes, within), "most_drawn": MOST_DRAWN}


async def _within(page: Page, outer: WorkflowRecord, inner: WorkflowRecord) -> list[str]:
    """Places of the steps of ``outer``, and of those between, that run ``inner``; empty where it is not inside."""
    places: list[str] = []
    below: WorkflowRecord | None = inner
    while below is not None and below.id != outer.id and len(places) < _MOST_LEVELS:
        if below.parent_id is None:
            return []
        places.append(f"{below.parent_id}.{below.parent_position}")
        below = await page.calls.workflows.find(below.parent_id)
    return places


_STUCK: Final = (OperatorStatus.NEEDS_REVIEW, OperatorStatus.BLOCKED)


async def _steps(
    page: Page, workflow: WorkflowRecord, _: WorkflowExplanation | None, __: SeenStep | None
) -> dict[str, Any]:
    word, state = page.word("word", OperatorStatus), page.word("state", StepState)
    by_place = page.query("order") == "position"
    found = await page.calls.workflows.list_steps(
        workflow.id,
        status=word,
        state=state,
        failed_first=not by_place,
        after=page.query("cursor"),
        limit=ROWS,
        payloads=False,
    )
    return {
        "steps": [(step, step_reason(step, found.parents)) for step in page.calls.as_displayed(found).steps],
        "next": found.next_after,
        "first_page": page.query("cursor") is None,
        "words": found.words,
        "word": word,
        "state": state,
        "by_place": by_place,
    }


async def _gantt(
    page: Page, workflow: WorkflowRecord, _: WorkflowExplanation | None, __: SeenStep | None
) -> dict[str, Any]:
    """A page of steps in their order; the axis is that of what is shown."""
    word, cursor = page.word("word", OperatorStatus), page.query("cursor")
    found = await page.calls.workflows.list_steps(
        workflow.id, status=word, failed_first=False, after=cursor, limit=ROWS, payloads=False
    )
    return {
        "chart": draw_chart(await read_chart(page.calls, workflow.id, found.steps)) if found.steps else None,
        "shown": found.steps,
        "fitting": found.words.get(word, 0) if word else workflow.total,
        "next": found.next_after,
        "first_page": cursor is None,
        "words": found.words,
        "word": word,
    }


async def _events(
    page: Page, workflow: WorkflowRecord, _: WorkflowExplanation | None, __: SeenStep | None
) -> dict[str, Any]:
    cursor = page.query("cursor") or "0"
    events = await page.calls.events.read(since=Cursor(int(cursor)), workflow_id=workflow.id, limit=_EVENTS + 1)
    return {
        "events": events[:_EVENTS],
        "next": events[_EVENTS - 1].cursor if len(events) > _EVENTS else None,
        "first_page": cursor == "0",
    }


async def _history(
    page: Page, workflow: WorkflowRecord, _: WorkflowExplanation | None, __: SeenStep | None
) -> dict[str, Any]:
    history = await page.calls.workflows.history(workflow.id, after=page.query("cursor"), limit=ROWS * 2)
    return {"history": history, "next": history.next_after, "first_page": page.query("cursor") is None}


async def _context(
    page: Page, workflow: WorkflowRecord, _: WorkflowExplanation | None, __: SeenStep | None
) -> dict[str, Any]:
    callbacks = await page.calls.workflows.callbacks(workflow.id)
    return {"callbacks": [page.calls.as_displayed(callback) for callback in callbacks]}


async def _audit(
    page: Page, workflow: WorkflowRecord, _: WorkflowExplanation | None, __: SeenStep | None
) -> dict[str, Any]:
    return {"commands": await page.calls.workflows.commands(workflow.id, limit=ROWS * 4)}


_BODIES: Final = {
    Tab.GRAPH: _graph,
    Tab.STEPS: _steps,
    Tab.GANTT: _gantt,
    Tab.EVENTS: _events,
    Tab.HISTORY: _history,
    Tab.CONTEXT: _context,
    Tab.AUDIT: _audit,
}
_WITH_STEP: Final = frozenset({Tab.GRAPH, Tab.STEPS, Tab.GANTT})

ROUTES: Final = (get("/workflows/{id}", show),)
