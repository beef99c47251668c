"""Read the facts that explanations are computed from.

Runs in the caller's transaction and locks nothing. The number of queries does not depend on the number of steps.
"""

from collections.abc import Iterable, Sequence

from ..database import Session, record
from ..errors import WorkflowNotFoundError
from ..states import StepState, WorkflowId
from ..workflows.unknown_steps import unknown_step
from .facts import RecoveryFacts, StepFacts, WorkflowFacts
from .job_facts import JobFacts, QueueFacts


async def read_workflow(session: Session, workflow_id: WorkflowId) -> WorkflowFacts:
    """One workflow.

    Raises:
        WorkflowNotFoundError: It does not exist, or was pruned.
    """
    workflows = await read_workflows(session, [workflow_id])
    if not workflows:
        raise WorkflowNotFoundError(workflow_id)
    return workflows[workflow_id]


async def read_step(session: Session, workflow_id: WorkflowId, name: str) -> StepFacts:
    """One step by its name.

    Raises:
        WorkflowNotFoundError, StepNotFoundError: There is no such workflow or step.
    """
    row = await session.one("explain_position", {"workflow_id": workflow_id, "step": name})
    steps = await read_step_facts(session, [(workflow_id, row["position"])]) if row else []
    if not steps:
        await read_workflow(session, workflow_id)
        raise await unknown_step(session, workflow_id, name)
    return steps[0]


async def read_step_facts(session: Session, places: Sequence[tuple[int, int]]) -> list[StepFacts]:
    """The steps at these places, workflow and position, with their live jobs; by place."""
    args = {"workflow_ids": [place[0] for place in places], "positions": [place[1] for place in places]}
    rows = await session.all("explain_steps", args)
    workflows = await read_workflows(session, sorted({row["workflow_id"] for row in rows}))
    live = [row["job_id"] for row in rows if row["own_state"] == StepState.AVAILABLE]
    jobs = {job.id: job for job in await read_jobs(session, live)}
    return [record(StepFacts, row, workflow=workflows[row["workflow_id"]], job=jobs.get(row["job_id"])) for row in rows]


async def read_workflows(session: Session, ids: Sequence[int]) -> dict[int, WorkflowFacts]:
    """Id -> those of these workflows that exist."""
    workflows = await session.records(WorkflowFacts, "explain_workflows", {"ids": list(ids)}) if ids else []
    return {workflow.id: workflow for workflow in workflows}


async def read_jobs(session: Session, ids: Sequence[int]) -> list[JobFacts]:
    """The jobs of these ids that exist, by id."""
    return await session.records(JobFacts, "explain_jobs", {"ids": list(ids)}) if ids else []


async def read_queues(session: Session, jobs: Iterable[JobFacts | None]) -> dict[str, QueueFacts]:
    """Queue name -> facts, for the queues of the jobs that have not ended."""
    names = sorted({job.queue for job in jobs if job is not None and not job.ended})
    queues = await session.records(QueueFacts, "explain_queues", {"queues": names}) if names else []
    return {facts.queue: facts for facts in queues}


async def read_recovery(session: Session, workflow_id: WorkflowId, step: StepFacts | None = None) -> RecoveryFacts:
    """The obstacles to recovering a step, or all failed steps; none while a step lives."""
    if step is not None and not step.ended:
        return RecoveryFacts()
    args = {"workflow_id": workflow_id, "position": step.position if step else None}
    return await session.record(RecoveryFacts, "explain_recovery", args) or RecoveryFacts()


async def read_recoveries(session: Session, steps: Iterable[StepFacts]) -> dict[tuple[int, int], RecoveryFacts]:
    """Workflow and position of each ended step among these -> the obstacles to its recovery."""
    ended = [step for step in steps if step.ended]
    if not ended:
        return {}
    args = {"workflow_ids": [step.workflow.id for step in ended], "positions": [step.position for step in ended]}
    return {
        (row["workflow_id"], row["position"]): record(RecoveryFacts, row)
        for row in await session.all("recoveries_of", args)
    }
