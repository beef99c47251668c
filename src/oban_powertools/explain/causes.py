"""Root causes: the steps that wait on nothing upstream and hold up the rest.

Runs in the caller's transaction and locks nothing. The rule that must never break: whatever holds
up a step is among the kinds that are found, however many steps are of one kind.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ..database import Connection, Queries, fetch_all
from ..states import OperatorStatus
from .explanations import RootCause, RootCauseGroup, Scope
from .facts import StepFacts, WorkflowFacts, read_queues, read_steps
from .findings import Diagnosis, diagnose_step

MAX_CAUSES: Final = 20
"""Most root causes of a step, or groups of them of a workflow, that are listed."""

MAX_EXAMPLES: Final = 3
"""Most steps of one group that are listed."""

URGENCY: Final = (
    OperatorStatus.NEEDS_REVIEW,
    OperatorStatus.BLOCKED,
    OperatorStatus.FINISHED,
    OperatorStatus.WAITING,
    OperatorStatus.RUNNING,
    OperatorStatus.RUNNABLE,
)
"""Whose root causes are named first. Finished ones are failures here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One root cause with what was found about it."""

    step: StepFacts
    """The step."""

    diagnosis: Diagnosis
    """What was found."""

    first_of: int
    """Steps of its kind when it is the first of them, else 0."""

    @property
    def record(self) -> RootCause:
        """As it is handed out."""
        return RootCause(
            step=self.step.name,
            position=self.step.position,
            state=self.diagnosis.state,
            status=self.diagnosis.status,
            code=self.diagnosis.code,
            summary=self.diagnosis.summary,
            job_id=self.step.job_id,
            retry_at=self.diagnosis.retry_at,
        )


async def find_causes(
    conn: Connection, queries: Queries, workflow: WorkflowFacts, *, upstream_of: StepFacts | None = None
) -> tuple[list[Cause], int]:
    """Root causes, the most urgent first, then by position; and how many there are in all.

    Args:
        upstream_of: Only what this step waits for, or was cancelled because of. None: of the whole
            workflow, with a few examples of each kind.
    """
    args: dict[str, Any] = {
        "workflow_id": workflow.id,
        "position": upstream_of.position if upstream_of else None,
        "examples": MAX_CAUSES if upstream_of else MAX_EXAMPLES,
        "page": MAX_CAUSES if upstream_of else MAX_CAUSES * MAX_EXAMPLES,
    }
    rows = {row["position"]: row for row in await fetch_all(conn, queries["explain_causes"], args)}
    steps = await read_steps(conn, queries, workflow.id, list(rows))
    queues = await read_queues(conn, queries, (step.job for step in steps))
    found = [
        Cause(
            step=step,
            diagnosis=diagnose_step(step, workflow, queues.get(step.job.queue) if step.job else None),
            first_of=rows[step.position]["members"] if rows[step.position]["place"] == 1 else 0,
        )
        for step in steps
    ]
    found.sort(key=lambda cause: URGENCY.index(cause.diagnosis.status))
    return found, next((row["total"] for row in rows.values()), 0)


def group_causes(causes: Iterable[Cause]) -> list[RootCauseGroup]:
    """Causes with the same code, and the same queue or worker where that matters, in the order given."""
    groups: dict[tuple[str, ...], list[Cause]] = {}
    for cause in causes:
        groups.setdefault(_group_of(cause), []).append(cause)
    return [_group(members) for members in groups.values()]


def _group_of(cause: Cause) -> tuple[str, ...]:
    found = cause.diagnosis
    match found.findings[0].scope if found.findings else None:
        case Scope.QUEUE:
            return (found.status, found.code, cause.step.job.queue if cause.step.job else cause.step.queue)
        case Scope.JOB:
            return (found.status, found.code, cause.step.worker)
        case _:
            return (found.status, found.code)


def _group(members: list[Cause]) -> RootCauseGroup:
    first = members[0].diagnosis
    count = sum(member.first_of for member in members)
    return RootCauseGroup(
        code=first.code,
        status=first.status,
        count=count,
        summary=first.summary if count == 1 else f"{first.summary} (and {count - 1} more like it)",
        examples=tuple(member.record for member in members[:MAX_EXAMPLES]),
    )
