"""The overview: must somebody act? If not, why one may believe that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.responses import Response

from ...incident_classes import IncidentClass
from ...lifeline import ExecutorCounts, ExecutorHealth, IncidentCounts
from ...states import ExecutorState, IncidentStatus, OperatorStatus, StepState
from ...upkeep.metrics import Readings
from ...workflows import WorkflowRecord
from ..page import Page, Panel, get

TOPICS: Final = ("incident:all", "executor:all", "workflow:all")
"""What the page is kept current by."""

STORM: Final = 20
"""So many incidents of one class that need a review are one row."""

_LOOKED_LATELY: Final = timedelta(minutes=1)
"""Whoever looks for incidents does so every few seconds; a longer silence says that nobody does."""

_MOST_COUNTED: Final = 100
"""Workflows of a word that are counted; more are "100+"."""

_SHOWN: Final = 5
"""Rows of one list."""

_NODES: Final = 24
"""Nodes of the strip, those in trouble first."""

_WAITING: Final = (
    StepState.PENDING,
    StepState.SCHEDULED,
    StepState.RETRYABLE,
    StepState.AWAITING_SIGNAL,
    StepState.SUSPENDED,
)
_WORST_FIRST: Final = (ExecutorState.MISSING, ExecutorState.LATE, ExecutorState.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExecutors:
    """The executors of one node."""

    name: str
    """Of the node."""

    executors: Sequence[ExecutorHealth]
    """Those that have not stopped, by queue."""

    @property
    def healthy(self) -> int:
        """How many of them are healthy."""
        return sum(executor.state is ExecutorState.HEALTHY for executor in self.executors)

    @property
    def urgency(self) -> int:
        """How soon one looks at it; 0 is first."""
        return min(_WORST_FIRST.index(executor.state) for executor in self.executors)


async def overview(page: Page) -> Response:
    """The page."""
    calls = page.calls
    counts, seen = await page.parts(calls.lifeline.count_incidents(), calls.lifeline.incidents_seen_ago())
    storms = find_storms(counts)
    urgent, over, review, blocked, steps, executors, reporting, acts, coming = await page.parts(
        calls.lifeline.list_incidents(status=IncidentStatus.NEEDS_REVIEW, but_not=list(storms), limit=_SHOWN),
        calls.lifeline.list_incidents(status=IncidentStatus.RESOLVED, limit=_SHOWN),
        calls.workflows.list(status=OperatorStatus.NEEDS_REVIEW, nested=False, limit=_MOST_COUNTED + 1),
        calls.workflows.list(status=OperatorStatus.BLOCKED, nested=False, limit=_MOST_COUNTED + 1),
        calls.metrics.read(only=("steps",)),
        calls.lifeline.list_executor_health(worst_nodes=_NODES),
        calls.lifeline.count_executors(),
        calls.audit.list(limit=_SHOWN + 1),
        calls.lifeline.list_upcoming(limit=_SHOWN),
    )
    fleet: ExecutorCounts | None = reporting.value
    nodes = by_node(executors.value or ())
    started = bool(fleet and fleet.total) or seen.value is not None
    return page.render(
        "overview.html",
        title=_title(counts, seen, review, started=started or not reporting),
        topics=TOPICS,
        counts=counts,
        seen=seen,
        is_late=bool(seen) and started and not has_looked(seen.value),
        storms=storms,
        urgent=urgent,
        over=over,
        review=_with_more(review),
        blocked=_with_more(blocked),
        steps=_steps(steps),
        executors=executors,
        nodes=nodes,
        fleet=fleet,
        more_nodes=fleet.nodes - len(nodes) if fleet else 0,
        started=started,
        acts=acts,
        coming=coming,
        incomplete=not all((counts, seen, urgent, review, blocked, executors, reporting)),
    )


def has_looked(seen_ago: timedelta | None) -> bool:
    """Whether somebody has looked for incidents lately, so that what is not listed is not there."""
    return seen_ago is not None and seen_ago <= _LOOKED_LATELY


def find_storms(counts: Panel[IncidentCounts]) -> dict[str, int]:
    """Class -> number, of those that would fill a list; one that only a newer release knows stays rows."""
    by_class: Mapping[str, int] = counts.value.by_class if counts.value else {}
    return {name: number for name, number in sorted(by_class.items()) if number >= STORM and name in IncidentClass}


def by_node(executors: Sequence[ExecutorHealth]) -> list[NodeExecutors]:
    """Nodes with those of their executors that have not stopped; those in trouble first, then by name."""
    nodes: dict[str, list[ExecutorHealth]] = {}
    for executor in executors:
        if executor.state is not ExecutorState.STOPPED:
            nodes.setdefault(executor.node, []).append(executor)
    made = [NodeExecutors(name=name, executors=sorted(each, key=_queue)) for name, each in nodes.items()]
    return sorted(made, key=lambda node: (node.urgency, node.name))


def _queue(executor: ExecutorHealth) -> str:
    return executor.producer_scope


def _title(
    counts: Panel[IncidentCounts], seen: Panel[timedelta], review: Panel[list[WorkflowRecord]], *, started: bool
) -> str:
    """The answer in one line. Nothing is clear that could not be read."""
    incidents = counts.value.needs_review if counts.value else 0
    workflows = len(review.value or ())
    if incidents:
        return f"{incidents:,} incidents need a person" if incidents > 1 else "1 incident needs a person"
    if workflows:
        some = f"{_MOST_COUNTED}+" if workflows > _MOST_COUNTED else str(workflows)
        return f"{some} workflows need a person" if workflows > 1 else "1 workflow needs a person"
    if not started:
        return "Nothing has run here yet"
    if not (counts and seen and review):
        return "Overview"
    return "All clear" if has_looked(seen.value) else "Nobody looks for incidents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Some workflows of a word."""

    part: Panel[list[WorkflowRecord]]
    """The first of them."""

    count: str
    """How many there are, ``100+`` for more than were counted."""

    open_steps: int
    """Their steps without an outcome."""


def _with_more(part: Panel[list[WorkflowRecord]]) -> Listed:
    workflows = part.value or []
    more = len(workflows) > _MOST_COUNTED
    return Listed(
        part=Panel(value=workflows[:_SHOWN], problem=part.problem),
        count=f"{_MOST_COUNTED}+" if more else str(len(workflows)),
        open_steps=sum(workflow.open for workflow in workflows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps without an outcome, each number at most 50,000."""

    answered: bool
    """Whether they could be counted."""

    waiting: int
    """For others, for time, for a signal, or for their next attempt."""

    signals: int
    """Of those, for a signal."""

    runnable: int
    """For a place in their queue."""

    running: int
    """In hand."""

    oldest: timedelta
    """How long the oldest runnable one has waited."""


def _steps(part: Panel[Readings]) -> Steps:
    readings = part.value
    values = {(each.name, each.word): each.value for each in readings.values} if readings else {}

    def open_steps(*states: StepState) -> int:
        return int(sum(values.get(("open_steps", state.value), 0) for state in states))

    return Steps(
        answered=readings is not None and readings.answered["steps"],
        waiting=open_steps(*_WAITING),
        signals=open_steps(StepState.AWAITING_SIGNAL),
        runnable=open_steps(StepState.AVAILABLE),
        running=open_steps(StepState.EXECUTING),
        oldest=timedelta(seconds=values.get(("oldest_waiting_step_seconds", None), 0)),
    )


ROUTES: Final = (get("/", overview),)
