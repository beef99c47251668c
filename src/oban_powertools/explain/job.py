"""Explain one job, a step's or a plain one.

Runs in the caller's transaction and locks nothing. A job counts as a step's only when the step's row names it, because
anybody can edit a job's meta.
"""

from ..database import Session
from ..errors import JobNotFoundError
from ..states import JobId
from .actions import job_actions, step_actions
from .diagnosing import diagnose_job
from .explanations import JobExplanation
from .facts import StepFacts
from .imports import import_findings
from .incidents import Subject, find_incidents
from .phrases import error_line
from .reading import read_jobs, read_queues, read_recovery, read_step


async def explain_job(session: Session, job_id: JobId, *, check_import: bool = False) -> JobExplanation:
    """Why a job is as it is.

    Args:
        check_import: Import its worker in this process, which runs the code its row names.

    Raises:
        JobNotFoundError: It does not exist, or was pruned.
    """
    jobs = await read_jobs(session, [job_id])
    if not jobs:
        raise JobNotFoundError(job_id)
    job = jobs[0]
    queues = await read_queues(session, [job])
    imports = import_findings(job.worker) if check_import and not job.ended else []
    step: StepFacts | None = None
    if job.workflow_id is not None and job.step is not None:
        step = await read_step(session, job.workflow_id, job.step)
    diagnosed = diagnose_job(job, queues.get(job.queue), imports, step=step)
    if step is None:
        legal, illegal = job_actions(job)
    else:
        legal, illegal = step_actions(step, (), await read_recovery(session, step.workflow.id, step))
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
        incidents=await find_incidents(session, [Subject(step=step, job=job, actions=legal)]),
        explained_at=job.now,
    )
