"""One step: why it is as it is, what it needs, its attempts, what may be done; a page, and the panel beside the graph.

The core explains it and decides what is legal. The rule that must never break: args, result and error are shown only as
the display policy has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from ...acts import Action
from ...arguments import as_workflow_id
from ...errors import InvalidArgumentError, JobNotFoundError, StepNotFoundError, WorkflowNotFoundError
from ...explain import ExplainedAction, StepExplanation
from ...graph.reading import read_chart
from ...operators.authorization import Target
from ...states import StepState
from ...upkeep.jobs import JobDetail
from ...workflows.records import StepRecord, WorkflowRecord
from ..page import Page, Panel, get
from .drawings import DrawnChart, draw_chart

MOST_CHAIN: Final = 5
"""Root causes that are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedAct:
    """An act on a workflow or a step, for its button."""

    name: str
    """The act."""

    target_id: str
    """Of what."""

    refusal: str | None
    """Why this actor may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenStep:
    """A step with all that the page or the panel says of it."""

    workflow: WorkflowRecord
    """Its workflow."""

    record: StepRecord
    """As the display policy shows it."""

    why: Panel[StepExplanation]
    """Its explanation."""

    acts: Sequence[OfferedAct]
    """Legal repairs."""

    calls: Sequence[ExplainedAction]
    """Legal calls of the host's own program, which no page makes."""

    job: JobDetail | None
    """Its job; None where it has none, or that was removed."""

    job_gone: bool
    """Whether it had a job that was removed."""

    parents: Mapping[str, StepState]
    """Name -> state of the steps that it depends on."""

    oban_web: str | None
    """Its job in Oban Web."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name


async def show(page: Page) -> Response:
    """The page of a step."""
    workflow_id = as_workflow_id(page.param("id"))
    name = page.request.query_params.get("name", "")
    workflow = page.calls.as_displayed(await page.calls.workflows.get(workflow_id))
    seen = await read_step(page, workflow, name)
    history, chart = await page.parts(
        page.calls.workflows.history(workflow_id, step=seen.name, limit=200), _attempts(page, seen)
    )
    above = page.url(f"/workflows/{workflow_id}")
    return page.render(
        "workflow/step.html",
        title=seen.name,
        crumbs=[("Workflows", page.url("/workflows")), (f"{workflow.name} {workflow_id}", above)],
        topics=(f"workflow:{workflow_id}",),
        workflow=workflow,
        seen=seen,
        history=history,
        chart=chart,
        open_all=True,
    )


async def find_step(page: Page, workflow: WorkflowRecord, name: str) -> SeenStep | None:
    """The step that the address names: of this workflow, or ``workflow id/name`` of one inside it; None without one."""
    try:
        return await read_step(page, workflow, name)
    except StepNotFoundError:
        workflow_id, slash, inner = name.partition("/")
        if not slash:
            return None
    try:
        other = await page.calls.workflows.get(as_workflow_id(workflow_id))
        return await read_step(page, page.calls.as_displayed(other), inner)
    except (InvalidArgumentError, StepNotFoundError, WorkflowNotFoundError):
        return None


async def read_step(page: Page, workflow: WorkflowRecord, name: str) -> SeenStep:
    """A step of a workflow.

    Raises:
        StepNotFoundError: There is none of this name.
    """
    try:
        found = await page.calls.workflows.list_steps(workflow.id, step=name)
    except InvalidArgumentError as error:
        raise StepNotFoundError(workflow.id, name) from error
    if not found.steps:
        # Which raises, and says which step was meant.
        await page.calls.explain.workflow_step(workflow.id, name)
        raise StepNotFoundError(workflow.id, name)
    [record] = page.calls.as_displayed(found).steps
    why = await page.part(page.calls.explain.workflow_step(workflow.id, name))
    job = await _job(page, record)
    legal = why.value.legal_actions if why.value else ()
    oban_web = page.options.oban_web
    return SeenStep(
        workflow=workflow,
        record=record,
        why=why,
        acts=[await _offered(page, workflow, record, act.name) for act in legal if act.name in Action],
        calls=[act for act in legal if act.name not in Action],
        job=job,
        job_gone=record.job_id is not None and job is None,
        parents=found.parents,
        oban_web=f"{oban_web.rstrip('/')}/jobs/{record.job_id}" if oban_web and job else None,
    )


async def _job(page: Page, record: StepRecord) -> JobDetail | None:
    if record.job_id is None:
        return None
    try:
        return await page.calls.jobs.get(record.job_id)
    except JobNotFoundError:
        return None


async def _attempts(page: Page, seen: SeenStep) -> DrawnChart:
    return draw_chart(await read_chart(page.calls, seen.workflow.id, [seen.record]))


async def _offered(page: Page, workflow: WorkflowRecord, record: StepRecord, name: str) -> OfferedAct:
    action = Action(name)
    [kind, *_] = action.row.targets
    target_id = str(record.job_id) if kind == "job" else f"{workflow.id}/{record.name}"
    target = Target(
        type=kind,
        id=target_id,
        workflow_id=workflow.id,
        workflow_name=workflow.name,
        workflow_tags=workflow.tags,
        step=record.name,
        queue=record.queue,
        worker=record.worker,
        repair=action,
    )
    return OfferedAct(name=name, target_id=target_id, refusal=await page.refusal(Action.PREVIEW_REPAIR, target))


ROUTES: Final = (get("/workflows/{id}/step", show),)
