"""Explain one job, of a step or plain.

Runs in the caller's transaction and locks nothing. The rule that must never break: a job is called
a step's only if the step believes in it; its meta can be edited by anybody.
"""

from ..database import Connection, Queries
from ..errors import JobNotFoundError
from ..states import JobId
from .actions import step_actions
from .explanations import Action, JobExplanation
from .findings import diagnose_job
from .imports import import_findings
from .reading import read_jobs, read_queues, read_recovery, read_step
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
    jobs = await read_jobs(conn, queries, [job_id])
    if not jobs:
        raise JobNotFoundError(job_id)
    job = jobs[0]
    queues = await read_queues(conn, queries, [job])
    found = import_findings(job.worker) if check_import and not job.ended else []
    step = await read_step(conn, queries, job.workflow_id, job.step) if job.workflow_id and job.step else None
    diagnosed = diagnose_job(job, queues.get(job.queue), found, step=step)
    legal: tuple[Action, ...] = ()
    illegal: tuple[Action, ...] = ()
    if step is not None:
        legal, illegal = step_actions(step, (), await read_recovery(conn, queries, step.workflow.id, step))
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
