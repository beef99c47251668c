"""Workflows: find, read, explain and draw them. What changes one is a repair (``previews``)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from ...acts import Action
from ...errors import StepNotFoundError, StepNotReleasedError, UnpublishableChangeError, WorkflowNotFoundError
from ...events import StepChange, StepUpdated
from ...explain import StepExplanation, WorkflowExplanation
from ...graph.alone import draw_alone
from ...graph.place import Direction, Size, place
from ...graph.reading import find_key, read_causes, read_drawn_steps
from ...graph.svg import Surroundings
from ...graph.view import Choice, choose
from ...spelling import did_you_mean
from ...states import OperatorStatus, Policy, Position, StepKind, StepState, WorkflowState
from ...wire import AsDict
from ...workflows import CallbackRecord, HistoryEntry, StepRecord, StepSpell, StepTimes, WorkflowRecord
from ..rates import Rate
from . import values
from .endpoint import AFTER, BEFORE, LIMIT, Call, Endpoint, Shape, cut_page, page
from .values import FLAG, ID, INSTANT, OBJECT, PROSE, Parameter

WORKFLOW: Final = Parameter(name="workflow_id", value=ID, about="The workflow.", required=True, example="41")
STEP: Final = Parameter(
    name="step",
    value=values.text(most=1000, whole_path=True),
    about="The name of the step.",
    required=True,
    example="charge",
)
REASON: Final = Parameter(
    name="reason",
    value=PROSE,
    about="Why: at least 8 characters, for the readers of the audit. Without one: 428.",
    example="the card was replaced, ticket 5512",
)

_FILTERS: Final = (
    Parameter(name="state", value=values.word(WorkflowState), about="Only in this raw state."),
    Parameter(name="status", value=values.word(OperatorStatus), about="Only with this operator's word."),
    Parameter(name="name", value=values.text(), about="Only of this name."),
    Parameter(name="tag", value=values.text(), about="Only with this tag."),
    Parameter(name="idempotency_key", value=values.text(), about="Only the one with this key."),
    Parameter(name="label", value=values.text(), about="Only with this `label` in the context."),
    Parameter(name="context", value=OBJECT, about="Only with these fields in the context: a JSON object."),
    Parameter(name="worker", value=values.text(), about="Only where some step has this worker."),
    Parameter(name="step", value=values.text(), about="Only where some step has this name."),
    Parameter(
        name="error", value=values.text(), about="Words, or beginnings of words, of the last error of some step."
    ),
    Parameter(name="nested", value=FLAG, about="Whether it runs in another workflow; both without it."),
    Parameter(name="inserted_from", value=INSTANT, about="Inserted at this instant or later."),
    Parameter(name="inserted_to", value=INSTANT, about="Inserted before this instant."),
    Parameter(name="finished_from", value=INSTANT, about="Finished at this instant or later."),
    Parameter(name="finished_to", value=INSTANT, about="Finished before this instant."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphStep(AsDict):
    """One step of a drawn workflow."""

    position: int
    """0, 1, 2 ... in the order the steps were added."""

    name: str
    """Unique in the workflow."""

    status: OperatorStatus
    """The operator's word."""

    state: StepState
    """The raw state."""

    kind: StepKind
    """What it runs on."""

    deps: Mapping[str, Policy]
    """Parent's name -> what its failure does to this step: `cancel` or `continue`."""

    child_id: int | None
    """The workflow that it runs; None where it runs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowGraph(AsDict):
    """The graph of a workflow."""

    workflow_id: int
    """The workflow."""

    name: str
    """Its name."""

    steps: tuple[GraphStep, ...]
    """By position: parents come before their children."""


async def list_workflows(call: Call) -> Any:
    """Workflows that match all given filters, newest first."""
    limit = call["limit"]
    found = await call.calls.workflows.list(**call.only(*(one.argument for one in _FILTERS), "before"), limit=limit + 1)
    return cut_page(found, limit, lambda workflow: workflow.id)


async def get_workflow(call: Call) -> WorkflowRecord:
    """One workflow as it is now."""
    return await call.calls.workflows.get(call["workflow_id"])


async def list_steps(call: Call) -> Any:
    """The steps of a workflow."""
    found = await call.calls.workflows.list_steps(
        call["workflow_id"], **call.only("state", "status", "failed_first", "after", "limit")
    )
    return page(found.steps, found.next_after, parents=found.parents, words=found.words)


async def get_step(call: Call) -> StepRecord:
    """One step as it is now."""
    found = await call.calls.workflows.list_steps(call["workflow_id"], step=call["step"], limit=1)
    if not found.steps:
        outline = await call.calls.workflows.outline(call["workflow_id"])
        meant = did_you_mean(call["step"], (step.name for step in outline))
        raise StepNotFoundError(call["workflow_id"], call["step"], meant)
    return found.steps[0]


async def get_history(call: Call) -> Any:
    """Everything that happened to a workflow, or to one of its steps, oldest first."""
    found = await call.calls.workflows.history(call["workflow_id"], **call.only("step", "after", "limit"))
    return page(
        found.entries,
        found.next_after,
        began_at=found.began_at,
        known_from=found.known_from,
        jobs_gone=found.jobs_gone,
        times=found.times,
    )


async def explain_workflow(call: Call) -> WorkflowExplanation:
    """Why a workflow is as it is, and what may be done."""
    return await call.calls.explain.workflow(call["workflow_id"])


async def explain_step(call: Call) -> StepExplanation:
    """Why a step is as it is, its root causes, and what may be done."""
    return await call.calls.explain.workflow_step(call["workflow_id"], call["step"])


async def list_commands(call: Call) -> Any:
    """Every command on a workflow, newest first."""
    return page(await call.calls.workflows.commands(call["workflow_id"], limit=call["limit"]), None)


async def list_callbacks(call: Call) -> Any:
    """The jobs that were to run when the workflow ended, oldest first."""
    return page(await call.calls.workflows.callbacks(call["workflow_id"]), None)


async def get_graph(call: Call) -> WorkflowGraph:
    """The graph of a workflow: its steps and what each depends on."""
    workflow = await call.calls.workflows.get(call["workflow_id"])
    records = await call.calls.workflows.outline(workflow.id)
    names = {record.position: record.name for record in records}
    steps = (
        GraphStep(
            position=record.position,
            name=record.name,
            status=record.status,
            state=record.state,
            kind=record.kind,
            deps={names[Position(position)]: policy for position, policy in record.parents.items()},
            child_id=record.child_id,
        )
        for record in records
    )
    return WorkflowGraph(workflow_id=workflow.id, name=workflow.name, steps=tuple(steps))


async def list_spells(call: Call) -> Any:
    """How the steps of a workflow spent their time, by position and then oldest first."""
    steps = [call["step"]] if "step" in call.values else None
    return page(await call.calls.workflows.spells(call["workflow_id"], steps=steps), None)


async def draw_graph(call: Call) -> Response:
    """The graph as a picture."""
    workflow = await call.calls.workflows.get(call["workflow_id"])
    steps = await read_drawn_steps(call.calls, workflow.id)
    choice = Choice(fold=call["fold"], hide_finished=call["hide_finished"])
    if "focus" in call.values:
        key = find_key(steps, call["focus"])
        causes = await read_causes(call.calls, key)
        choice = Choice(
            fold=call["fold"],
            hide_finished=call["hide_finished"],
            focus=key,
            up=call["up"],
            down=call["down"],
            causes=causes,
        )
    picture = place(choose(steps, choice), size=Size(call["size"]), direction=Direction(call["direction"]))
    drawn = draw_alone(
        picture, Surroundings(title=f"{workflow.name} {workflow.id}", description=f"{len(steps):,} steps")
    )
    # As a file: it has a stylesheet of its own, and is no page of the console.
    headers = {"Content-Disposition": f'attachment; filename="workflow-{workflow.id}.svg"'}
    return Response(drawn, media_type="image/svg+xml", headers=headers)


async def publish_step(call: Call) -> StepUpdated:
    """Tell subscribers of a change of a step that runs outside; it moves nothing."""
    event = await call.calls.events.publish(
        call["workflow_id"], call["step"], call["change"], **call.reasoned("attempt", "error")
    )
    assert event is not None, "it is not in a transaction of the caller's"
    return event


def _get(
    path: str, handler: Any, answer: Shape, *errors: Any, step: bool = False, query: tuple[Parameter, ...] = ()
) -> Any:
    return Endpoint(
        method="GET",
        path=f"/workflows/{{workflow_id}}{path}",
        handler=handler,
        tag="Workflows",
        answer=answer,
        path_inputs=(WORKFLOW, STEP) if step else (WORKFLOW,),
        query=query,
        errors=(WorkflowNotFoundError, *errors),
    )


_STEP_FILTERS: Final = (
    Parameter(name="state", value=values.word(StepState), about="Only in this raw state."),
    Parameter(name="status", value=values.word(OperatorStatus), about="Only with this operator's word."),
    Parameter(name="failed_first", value=FLAG, about="Whether failures come first; else by position.", default=True),
)
_PICTURE: Final = (
    Parameter(
        name="focus", value=values.text(), about="Only what is around this step, with the path to its root causes."
    ),
    Parameter(name="up", value=values.count(least=0, most=100), about="Edges up from the focus.", default=2),
    Parameter(name="down", value=values.count(least=0, most=100), about="Edges down from the focus.", default=2),
    Parameter(name="fold", value=FLAG, about="Whether equal siblings are one box.", default=True),
    Parameter(name="hide_finished", value=FLAG, about="Whether finished steps are left out.", default=False),
    Parameter(name="direction", value=values.word(Direction), about="Top to bottom, or left to right.", default="tb"),
    Parameter(name="size", value=values.word(Size), about="How much a box says.", default="m"),
)
_HISTORY_EXTRA: Final = {
    "began_at": datetime,
    "known_from": datetime | None,
    "jobs_gone": int,
    "times": tuple[StepTimes, ...],
}
_STEPS_EXTRA: Final = {"parents": Mapping[str, StepState], "words": Mapping[OperatorStatus, int]}
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/workflows",
        handler=list_workflows,
        tag="Workflows",
        answer=Shape(about="A page of workflows.", kind=WorkflowRecord, paged=True),
        query=(*_FILTERS, BEFORE, LIMIT),
    ),
    _get("", get_workflow, Shape(about="The workflow.", kind=WorkflowRecord, tagged=True)),
    _get(
        "/steps",
        list_steps,
        Shape(about="A page of steps.", kind=StepRecord, paged=True, extra=_STEPS_EXTRA),
        query=(*_STEP_FILTERS, AFTER, LIMIT),
    ),
    _get(
        "/steps/{step}",
        get_step,
        Shape(about="The step.", kind=StepRecord, tagged=True),
        StepNotFoundError,
        step=True,
    ),
    _get(
        "/history",
        get_history,
        Shape(about="A page of its history.", kind=HistoryEntry, paged=True, extra=_HISTORY_EXTRA),
        StepNotFoundError,
        query=(Parameter(name="step", value=values.text(), about="Only of this step."), AFTER, LIMIT),
    ),
    _get("/explain", explain_workflow, Shape(about="The explanation.", kind=WorkflowExplanation)),
    _get(
        "/explain/{step}",
        explain_step,
        Shape(about="The explanation.", kind=StepExplanation),
        StepNotFoundError,
        step=True,
    ),
    _get("/commands", list_commands, Shape(about="The commands.", kind=dict, paged=True), query=(LIMIT,)),
    _get("/callbacks", list_callbacks, Shape(about="The callbacks.", kind=CallbackRecord, paged=True)),
    _get("/graph", get_graph, Shape(about="Steps and edges.", kind=WorkflowGraph, tagged=True)),
    _get(
        "/spells",
        list_spells,
        Shape(about="All of them.", kind=StepSpell, paged=True),
        query=(Parameter(name="step", value=values.text(), about="Only of this step."),),
    ),
    _get(
        "/graph.svg",
        draw_graph,
        Shape(about="The picture.", media=("image/svg+xml",)),
        StepNotFoundError,
        query=_PICTURE,
    ),
    Endpoint(
        method="POST",
        path="/workflows/{workflow_id}/publish",
        handler=publish_step,
        tag="Workflows",
        answer=Shape(about="The event.", kind=StepUpdated),
        path_inputs=(WORKFLOW,),
        body=(
            STEP,
            Parameter(
                name="change", value=values.word(StepChange), about="What happened.", required=True, example="started"
            ),
            Parameter(name="attempt", value=values.count(least=0), about="Which attempt."),
            Parameter(name="error", value=values.text(), about="Class and text of an error, in one line."),
            REASON,
        ),
        act=Action.STEP_PUBLISH,
        errors=(WorkflowNotFoundError, StepNotFoundError, UnpublishableChangeError, StepNotReleasedError),
        rate=Rate.CHANGE,
        repeat="Writes the event again.",
    ),
)
