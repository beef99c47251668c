"""Explain one job, of a step or plain.

Runs in the caller's transaction and locks nothing. The rule that must never break: a job is called
a step's only if the step believes in it; its meta can be edited by anybody.
"""

from ..database import Connection, Queries
from ..errors import JobNotFoundError
from ..states import JobId
from .actions import step_actions
from .explanations import Action, JobExplanation
from .facts import JobFacts, read_jobs, read_queues, read_step, read_workflow
from .findings import diagnose_job
from .imports import import_findings
from .sentences import error_line


async def explain_job(
    conn: Connection, queries: Queries, job_id: JobId, *, check_import: bool = False
) -> JobExplanation:
    """Why a job is as it is.

    Args:
        check_import: Import its worker in this process, which runs the code its row names.

    Raises:
        JobNotFoundError: It does not exist, or was pruned.
    """
    found = await read_jobs(conn, queries, [job_id])
    if not found:
        raise JobNotFoundError(job_id)
    job = found[0]
    queues = await read_queues(conn, queries, [job])
    imports = import_findings(job.worker) if check_import and not job.ended else []
    diagnosed = diagnose_job(job, queues.get(job.queue), imports)
    legal, illegal = await _actions(conn, queries, job)
    return JobExplanation(
        job_id=job.id,
        state=job.state,
        status=diagnosed.status,
        summary=diagnosed.summary,
        worker=job.worker,
        queue=job.queue,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        error=error_line(job.error),
        executor=job.node,
        workflow_id=job.workflow_id,
        step=job.step,
        blockers=diagnosed.blockers,
        legal_actions=legal,
        illegal_actions=illegal,
        explained_at=job.now,
    )


async def _actions(conn: Connection, queries: Queries, job: JobFacts) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
    if job.workflow_id is None or job.step is None:
        return (), ()
    workflow = await read_workflow(conn, queries, job.workflow_id)
    return step_actions(workflow, await read_step(conn, queries, job.workflow_id, job.step), ())
