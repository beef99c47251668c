"""Random workflows of every kind of step, as plain data: what the state machine inserts.

Parents stand before their children; the order of steps is the business of ``plays``.
"""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, ClassVar, Literal, cast

from hypothesis import strategies as st
from oban import Job

from oban_powertools import Workflow
from oban_powertools.workflows.builder import EffectsName
from tests.support.model import Policy
from tests.support.random_plays import POLICIES

KEYS = ("k0", "k1")
"""Few, so that signals meet several waits, or come early."""

RESULTS: tuple[Any, ...] = (None, 1, "k0", [], [1, 2], {"list": [1, 2, 3], "key": "k1"})
"""What workers return: among it lists to map and keys to wait for."""

WORKER = "tests.support.every_move.Scripted"
A_DAY = timedelta(days=1)


class Item:
    """The worker of a map's items."""

    _opts: ClassVar[dict[str, Any]] = {"max_attempts": 1}

    async def process(self, job: Job) -> Any:
        raise AssertionError("nobody runs it: tests.support.every_move moves its jobs")


class _Brief:
    """Shows only what differs from the default; so does Hypothesis."""

    def __repr__(self) -> str:
        given = [(part.name, getattr(self, part.name), part.default) for part in fields(cast("Any", self))]
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v, default in given if v != default)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class StepPlan(_Brief):
    """A step of any kind; what does not fit its kind is ignored."""

    kind: Literal["job", "signal", "workflow", "map"] = "job"
    parents: tuple[tuple[int, Policy], ...] = ()
    max_attempts: int = 1
    effects: EffectsName = "ask"
    delayed: bool = False
    key: str = KEYS[0]
    """Of a wait; its deadline is a day."""
    deadline: bool = False
    refers: bool = False
    """Takes its args, key or list from its first parent's result."""
    items: int = 2
    max_failures: int = 0
    nested: "WorkflowPlan | None" = None


@dataclass(frozen=True, repr=False)
class WorkflowPlan(_Brief):
    """A workflow; it expires in a day, or never."""

    steps: tuple[StepPlan, ...]
    expires: bool = False
    on_finished: bool = True


def define(plan: WorkflowPlan, name: str = "drawn") -> Workflow:
    """The workflow of a plan; its steps are s0, s1 and so on."""
    workflow = Workflow(
        name, expires_in=A_DAY if plan.expires else None, on_finished=Job(WORKER) if plan.on_finished else None
    )
    for number, step in enumerate(plan.steps):
        _add(workflow, f"s{number}", step)
    return workflow


def _add(workflow: Workflow, name: str, plan: StepPlan) -> None:
    deps = {f"s{parent}": policy for parent, policy in plan.parents}
    referred = Workflow.result(next(iter(deps))) if plan.refers and deps else None
    match plan.kind:
        case "job":
            job = Job(WORKER, args={"from": referred}, max_attempts=plan.max_attempts)
            delay = timedelta(hours=1) if plan.delayed else None
            workflow.add(name, job, deps=deps, effects=plan.effects, delay=delay)
        case "signal":
            key = referred["key"] if referred is not None else plan.key
            deadline = A_DAY if plan.deadline else None
            workflow.await_signal(name, signal="go", correlation_key=key, deadline=deadline, deps=deps)
        case "workflow":
            workflow.add_workflow(name, define(plan.nested or WorkflowPlan((StepPlan(),)), "nested"), deps=deps)
        case "map":
            over = referred["list"] if referred is not None else list(range(plan.items))
            workflow.map(name, Item, over=over, max_failures=plan.max_failures, deps=deps, effects=plan.effects)


@st.composite
def workflow_plans(draw: st.DrawFn, most: int = 4, levels: int = 2) -> WorkflowPlan:
    """Workflows with up to ``levels`` of nested ones."""
    size = draw(st.integers(1, most))
    steps = tuple(draw(_step_plans(number, most, levels)) for number in range(size))
    return WorkflowPlan(steps, expires=draw(st.booleans()), on_finished=draw(st.booleans()))


@st.composite
def _step_plans(draw: st.DrawFn, number: int, most: int, levels: int) -> StepPlan:
    kinds = ("job", "job", "signal", "map", "workflow") if levels else ("job", "job", "signal", "map")
    kind = draw(st.sampled_from(kinds))
    earlier = draw(st.lists(st.integers(0, number - 1), max_size=2, unique=True)) if number else []
    parents = tuple((parent, draw(POLICIES)) for parent in earlier)
    refers = bool(parents) and draw(st.booleans())
    match kind:
        case "job":
            return StepPlan(
                kind,
                parents,
                max_attempts=draw(st.integers(1, 2)),
                delayed=draw(st.booleans()),
                refers=refers,
                effects=draw(st.sampled_from(("ask", "ask", "repeatable", "never"))),
            )
        case "signal":
            return StepPlan(kind, parents, key=draw(st.sampled_from(KEYS)), deadline=draw(st.booleans()), refers=refers)
        case "map":
            return StepPlan(
                kind, parents, items=draw(st.integers(0, 2)), max_failures=draw(st.integers(0, 1)), refers=refers
            )
        case _:
            return StepPlan("workflow", parents, nested=draw(workflow_plans(max(1, most - 1), levels - 1)))
