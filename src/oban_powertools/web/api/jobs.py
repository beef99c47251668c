"""Jobs, of steps and plain ones: find and explain them. What changes one is a repair (``previews``)."""

from collections.abc import Mapping
from typing import Any, Final

from ...errors import JobNotFoundError
from ...explain import JobExplanation
from ...states import JobState, OperatorStatus
from ...upkeep.jobs import JobDetail, JobRecord
from . import values
from .endpoint import BEFORE, LIMIT, Call, Endpoint, Shape, page
from .values import ID, INSTANT, Parameter

JOB: Final = Parameter(name="job_id", value=ID, about="The job.", required=True, example="8123")
_FILTERS: Final = (
    Parameter(name="state", value=values.word(JobState), about="Only in this state of Oban's."),
    Parameter(name="status", value=values.word(OperatorStatus), about="Only with this word of an operator."),
    Parameter(name="queue", value=values.text(), about="Only of this queue."),
    Parameter(name="worker", value=values.text(), about="Only of this worker: Oban's path of its class."),
    Parameter(name="tag", value=values.text(), about="Only with this tag."),
    Parameter(name="error", value=values.text(), about="Words, or beginnings of words, of the last error."),
    Parameter(name="inserted_from", value=INSTANT, about="Inserted at this instant or later."),
    Parameter(name="inserted_to", value=INSTANT, about="Inserted before this instant."),
)


async def list_jobs(call: Call) -> Any:
    """Jobs that match all given filters, newest first."""
    names = (*(one.argument for one in _FILTERS), "before", "limit")
    found = await call.calls.jobs.list(**call.only(*names))
    return page(found.jobs, found.next_before, searched=found.searched)


async def count_jobs(call: Call) -> Any:
    """How many jobs each state has, of all queues or of one; each count stops at 10,000."""
    return {"counts": dict(await call.calls.jobs.count(**call.only("queue")))}


async def get_job(call: Call) -> JobDetail:
    """One job with its args, meta and errors, as the display policy shows them."""
    return await call.calls.jobs.get(call["job_id"])


async def explain_job(call: Call) -> JobExplanation:
    """Why a job is as it is."""
    return await call.calls.explain.job(call["job_id"])


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/jobs",
        handler=list_jobs,
        tag="Jobs",
        answer=Shape(
            about="A page of jobs. `searched`: how many jobs were searched where these did not fill the page; go on "
            "with `next_cursor`.",
            kind=JobRecord,
            paged=True,
            extra={"searched": int | None},
        ),
        query=(*_FILTERS, BEFORE, LIMIT),
    ),
    Endpoint(
        method="GET",
        path="/jobs/counts",
        handler=count_jobs,
        tag="Jobs",
        answer=Shape(about="State -> how many.", extra={"counts": Mapping[JobState, int]}),
        query=(Parameter(name="queue", value=values.text(), about="Only of this queue."),),
    ),
    Endpoint(
        method="GET",
        path="/jobs/{job_id}",
        handler=get_job,
        tag="Jobs",
        answer=Shape(about="The job.", kind=JobDetail, tagged=True),
        path_inputs=(JOB,),
        errors=(JobNotFoundError,),
    ),
    Endpoint(
        method="GET",
        path="/jobs/{job_id}/explain",
        handler=explain_job,
        tag="Jobs",
        answer=Shape(about="The explanation.", kind=JobExplanation),
        path_inputs=(JOB,),
        errors=(JobNotFoundError,),
    ),
)
